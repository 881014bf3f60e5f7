"""Owns a stretch of synchronised phasor measurements as arrays. Decodes, stores and judges nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recloser.core import FloatArray, InvalidInput

Flags = npt.NDArray[np.bool_]
Nanoseconds = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PhasorBlock:
    """n instants of p PMUs, on one clock, at an even rate.

    Attributes:
        at_ns: (n,) nanoseconds since 1970 UTC, ascending by 1 / rate.
        rate_hz: frames a second.
        nominal_hz: 50 or 60.
        voltage_pu: (n, p) magnitude of the positive sequence over its rated value; NaN where nothing came.
        angle_rad: (n, p) its angle against the reference of nominal frequency, wrapped or not.
        frequency_hz: (n, p), as reported.
        unusable: (n, p) whether the PMU or its clock said so (STAT: data error, not synchronised), or nothing came.
    """

    at_ns: Nanoseconds
    rate_hz: float
    nominal_hz: float
    voltage_pu: FloatArray
    angle_rad: FloatArray
    frequency_hz: FloatArray
    unusable: Flags

    def __post_init__(self) -> None:
        """Check the shapes.

        Raises:
            InvalidInput: arrays of different shapes, no PMU, or a rate that is not positive.
        """
        shape = self.voltage_pu.shape
        parts = (self.angle_rad.shape, self.frequency_hz.shape, self.unusable.shape)
        if len(shape) != 2 or shape[1] == 0 or any(part != shape for part in parts) or self.at_ns.shape != shape[:1]:
            raise InvalidInput(
                "phasor arrays of different shapes",
                got=f"at_ns {self.at_ns.shape}, voltage {shape}, angle, frequency, unusable {parts}",
                expected="(n,) instants and (n, p) numbers each, p at least 1",
            )
        if not self.rate_hz > 0.0 or not self.nominal_hz > 0.0:
            raise InvalidInput("a rate that is not positive", got=f"{self.rate_hz} frames/s, {self.nominal_hz} Hz")

    def __len__(self) -> int:
        """Return the number of instants."""
        return len(self.at_ns)

    def part(self, start: int, end: int) -> PhasorBlock:
        """Return the instants from `start` to before `end`; views, nothing is copied."""
        return PhasorBlock(
            self.at_ns[start:end],
            self.rate_hz,
            self.nominal_hz,
            self.voltage_pu[start:end],
            self.angle_rad[start:end],
            self.frequency_hz[start:end],
            self.unusable[start:end],
        )


def window_ends(block: PhasorBlock, window_s: float, step_s: float) -> list[int]:
    """Return the end index (exclusive) of each whole window of `window_s` that begins every `step_s`.

    Raises:
        InvalidInput: a window or step shorter than two frames.
    """
    window, step = round(window_s * block.rate_hz), round(step_s * block.rate_hz)
    if window < 2 or step < 1:
        raise InvalidInput("a window or step of less than a frame", got=f"{window_s} s, {step_s} s")
    return list(range(window, len(block) + 1, step))
