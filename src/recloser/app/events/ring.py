"""Owns the newest seconds of a stream of phasors as arrays on an even grid, gaps included. Connects to nothing."""

from __future__ import annotations

import numpy as np

from recloser.connectors.c37118.batches.phasors import Measured, slot_ns
from recloser.core import FloatArray
from recloser.features.phasors import PhasorBlock


class PhasorRing:
    """Keeps the newest `seconds` of p PMUs; instants that no frame told are unusable.

    Args:
        pmus: number of PMUs.
        rate: frames a second.
        nominal_hz: of the grid.
        seconds: that are kept.
        rated_v: voltage that is one per unit; None: each PMU's own median of what is kept when it is first asked.
    """

    def __init__(self, pmus: int, rate: int, nominal_hz: float, seconds: float, rated_v: float | None) -> None:
        self.rate, self._nominal_hz = rate, nominal_hz
        self._count = round(seconds * rate)
        self._rated: FloatArray | None = None if rated_v is None else np.full(pmus, rated_v)
        shape = (self._count, pmus)
        self._voltage, self._angle, self._frequency = (np.full(shape, np.nan) for _ in range(3))
        self._unusable = np.ones(shape, dtype=bool)
        self._end: int | None = None
        self.first: int | None = None
        self.late = 0

    @property
    def end(self) -> int | None:
        """Slot after the newest instant; None before the first frame."""
        return self._end

    def put(self, found: Measured) -> None:
        """Take frames in, in any order; those older than what is kept are counted as late and dropped."""
        if not len(found.slots):
            return
        newest = int(found.slots.max()) + 1
        if self._end is None or newest - self._end > self._count or self._end - newest > 2 * self._count:
            self._clear(
                newest, max(int(found.slots.min()), newest - self._count)
            )  # the first frames, or a clock that jumped
        elif newest > self._end:
            self._move(newest - self._end)
        assert self._end is not None
        places = found.slots - (self._end - self._count)
        kept = places >= 0
        self.late += int((~kept).sum())
        rows = places[kept]
        self._voltage[rows] = found.voltage[kept]
        self._angle[rows] = found.angle_rad[kept]
        self._frequency[rows] = found.frequency_hz[kept]
        self._unusable[rows] = found.unusable[kept]

    def _clear(self, end: int, first: int) -> None:
        for numbers in (self._voltage, self._angle, self._frequency):
            numbers[:] = np.nan
        self._unusable[:] = True
        self._end, self.first = end, first

    def _move(self, steps: int) -> None:
        assert self._end is not None
        for numbers in (self._voltage, self._angle, self._frequency):
            numbers[:-steps] = numbers[steps:]
            numbers[-steps:] = np.nan
        self._unusable[:-steps] = self._unusable[steps:]
        self._unusable[-steps:] = True
        self._end += steps

    def block(self, end: int, count: int) -> PhasorBlock | None:
        """Return the `count` instants before slot `end`, copied; None where they are not kept (any more).

        Args:
            end: slot after the last instant.
            count: instants.
        """
        if self._end is None:
            return None
        stop = end - (self._end - self._count)
        start = stop - count
        if start < 0 or stop > self._count:
            return None
        rated = self._rated_v(start, stop)
        at = np.array([slot_ns(slot, self.rate) for slot in range(end - count, end)], dtype=np.int64)
        return PhasorBlock(
            at,
            float(self.rate),
            self._nominal_hz,
            self._voltage[start:stop] / rated,
            self._angle[start:stop].copy(),
            self._frequency[start:stop].copy(),
            self._unusable[start:stop].copy(),
        )

    def _rated_v(self, start: int, stop: int) -> FloatArray:
        """Return what is one per unit; a PMU that has not been heard yet is told its own scale when it is."""
        if self._rated is None:
            self._rated = np.full(self._voltage.shape[1], np.nan)
        unknown = ~np.isfinite(self._rated)
        if unknown.any():
            usable = np.where(self._unusable[start:stop], np.nan, self._voltage[start:stop])
            heard = unknown & (np.isfinite(usable).mean(axis=0) > 0.5)
            if heard.any():
                self._rated[heard] = np.nanmedian(usable[:, heard], axis=0)
        return np.where(np.isfinite(self._rated) & (self._rated > 0.0), self._rated, 1.0)
