"""Owns reading one data frame with the least delay, and the forms of a phasor. Many at once: `batches/batch.py`."""

from __future__ import annotations

import cmath
import math
from dataclasses import dataclass

from recloser.connectors.c37118.frame import PREFIX
from recloser.connectors.c37118.layout import START, Layout
from recloser.core import InvalidInput

NAN = math.nan


@dataclass(frozen=True, slots=True)
class DataFrame:
    """The numbers of one data frame, in the order of the layout.

    Attributes:
        layout: what the numbers mean.
        soc: seconds since 1970 UTC.
        t_ns: nanoseconds since 1970 UTC.
        time_quality: leap-second bits and clock quality.
        stats: STAT word of each PMU.
        phasors: pairs as they were sent: (magnitude, angle in rad) or (real, imaginary); NaN where absent.
        frequencies: pairs of Hz and Hz/s.
        analogs: scaled values.
        raw_analogs: the numbers as sent.
        digitals: status words.
    """

    layout: Layout
    soc: int
    t_ns: int
    time_quality: int
    stats: tuple[int, ...]
    phasors: tuple[float, ...]
    frequencies: tuple[float, ...]
    analogs: tuple[float, ...]
    raw_analogs: tuple[float, ...]
    digitals: tuple[int, ...]


def read_data(frame: bytes, layout: Layout) -> DataFrame:
    """Return the numbers of a whole data frame; its check word is the caller's business.

    Raises:
        InvalidInput: the size does not fit the configuration.
    """
    if len(frame) != layout.size:
        raise InvalidInput(
            "a data frame that does not fit its configuration",
            got=f"{len(frame)} bytes",
            expected=f"{layout.size} bytes",
            next_step="Ask the device for its configuration again.",
        )
    _, _, _, _, soc, fraction = PREFIX.unpack_from(frame)
    raw = layout.unpack.unpack_from(frame, START)
    values = [
        number * multiplier / divisor + offset
        for number, (multiplier, divisor, offset) in zip(raw, layout.linear, strict=True)
    ]
    for index in layout.absent:
        if raw[index] == layout.fields[index].absent:
            values[index] = NAN
            if layout.fields[index - 1].code == "H":  # an absent angle leaves no magnitude
                values[index - 1] = NAN
    return DataFrame(
        layout,
        soc,
        soc * 1_000_000_000 + (fraction & 0xFFFFFF) * 1_000_000_000 // layout.configuration.time_base,
        fraction >> 24,
        tuple([raw[index] for index in layout.stats]),
        tuple([values[index] for index in layout.phasors]),
        tuple([values[index] for index in layout.frequencies]),
        tuple([values[index] for index in layout.analogs]),
        tuple([raw[index] for index in layout.analogs]),
        tuple([raw[index] for index in layout.digitals]),
    )


def forms(first: float, second: float, *, polar: bool, turn_rad: float = 0.0) -> tuple[float, float, float, float]:
    """Return (real, imaginary, magnitude, angle in degrees) of a phasor as sent.

    Args:
        first: magnitude, or real part.
        second: angle in radians, or imaginary part.
        polar: which of the two it is.
        turn_rad: angle to be taken off a rectangular phasor (integer phasors under CFG-3).
    """
    if polar:
        if not (math.isfinite(first) and math.isfinite(second)):
            return NAN, NAN, first, math.degrees(second)
        return first * math.cos(second), first * math.sin(second), first, math.degrees(second)
    phasor = complex(first, second)
    if turn_rad:
        phasor *= cmath.exp(-1j * turn_rad)
    return phasor.real, phasor.imag, math.hypot(phasor.real, phasor.imag), math.degrees(cmath.phase(phasor))
