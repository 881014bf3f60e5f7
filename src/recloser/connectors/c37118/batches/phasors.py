"""Owns turning batches of phasor data into arrays an instant a row and a PMU a column, gaps included. No connection."""

from __future__ import annotations

import cmath
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recloser.connectors.c37118.batches.batch import DataBatch, Floats, Integers
from recloser.connectors.c37118.configuration import PhasorChannel
from recloser.connectors.c37118.layout import Layout
from recloser.core import InvalidInput

BILLION = 1_000_000_000
UNUSABLE_STAT = 0xE000
"""STAT bits 15-14 (data error) and 13 (not synchronised): IEEE C37.118.2-2011, table 7."""
LEAST_RATE, MOST_RATE = 10, 240
POSITIVE = ("V1", "VPOS", "POS", "PS")
"""Beginnings of the names that positive-sequence voltages usually have."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What some frames say of the grid.

    Attributes:
        slots: (n,) number of the instant since 1970, `rate` a second.
        voltage: (n, p) magnitude in V of each PMU's chosen phasor.
        angle_rad: (n, p) its angle.
        frequency_hz: (n, p).
        unusable: (n, p) whether STAT says so, or a number is absent.
    """

    slots: Integers
    voltage: Floats
    angle_rad: Floats
    frequency_hz: Floats
    unusable: NDArray[np.bool_]


class PhasorReader:
    """Picks one voltage phasor of every PMU of a configuration.

    Positive sequence by its name where there is one, else the first voltage; PMUs without a voltage take no part.

    Args:
        layout: of the data frames.

    Raises:
        InvalidInput: no PMU has a voltage, or the rate is not one of 10 to 240 frames a second.
    """

    def __init__(self, layout: Layout) -> None:
        configuration = layout.configuration
        if not LEAST_RATE <= configuration.rate <= MOST_RATE:
            raise InvalidInput(
                "events are not detected at this rate",
                got=f"{configuration.rate} frames a second",
                expected=f"{LEAST_RATE} to {MOST_RATE}",
                where=f"stream {configuration.idcode}",
            )
        self.layout, self.rate = layout, configuration.rate
        pmus, places, polar, turns, names = [], [], [], [], []
        first = 0
        for index, pmu in enumerate(configuration.pmus):
            chosen = _voltage(pmu.phasors)
            if chosen is not None:
                pmus.append(index)
                places.append(first + chosen)
                polar.append(pmu.polar)
                turns.append(0.0 if pmu.phasors_float or pmu.polar else pmu.phasors[chosen].angle_offset_rad)
                names.append(f"{pmu.station} {pmu.phasors[chosen].name}")
            first += len(pmu.phasors)
        if not pmus:
            raise InvalidInput("no PMU of the stream has a voltage", where=f"stream {configuration.idcode}")
        self.names, self.nominal_hz = tuple(names), float(configuration.pmus[pmus[0]].nominal_hz)
        self._pmus, self._places, self._polar = np.array(pmus), np.array(places), np.array(polar)
        self._turn = np.array([cmath.exp(-1j * turn) for turn in turns])

    def read(self, batch: DataBatch) -> Measured:
        """Return what the frames of a batch of this layout say."""
        first, second = batch.phasors[:, self._places, 0], batch.phasors[:, self._places, 1]
        turned = (first + 1j * second) * self._turn
        voltage = np.where(self._polar, first, np.abs(turned))
        angle = np.where(self._polar, second, np.angle(turned))
        frequency = batch.frequencies[:, self._pmus, 0]
        unusable = (batch.stats[:, self._pmus] & UNUSABLE_STAT) != 0
        unusable |= ~(np.isfinite(voltage) & np.isfinite(angle) & np.isfinite(frequency))
        return Measured(slots_of(batch.t_ns, self.rate), voltage, angle, frequency, unusable)


def slots_of(t_ns: Integers, rate: int) -> Integers:
    """Return the number of the nearest instant since 1970 of a grid of `rate` a second, exact in integers."""
    seconds, rest = np.divmod(t_ns, BILLION)
    result: Integers = seconds * rate + (rest * rate + BILLION // 2) // BILLION
    return result


def slot_ns(slot: int, rate: int) -> int:
    """Return the nanoseconds since 1970 of an instant."""
    second, place = divmod(slot, rate)
    return second * BILLION + place * BILLION // rate


def _voltage(channels: tuple[PhasorChannel, ...]) -> int | None:
    voltages = [index for index, channel in enumerate(channels) if channel.unit == "V"]
    named = [index for index in voltages if channels[index].name.strip().upper().startswith(POSITIVE)]
    return next(iter([*named, *voltages]), None)
