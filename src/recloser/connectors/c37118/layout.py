"""Owns where each value of a data frame stands and how its number becomes a quantity, worked out once a configuration.

Does not read frames: `data.py` reads one at a time, `batches/batch.py` many at once, both with the same arithmetic.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from recloser.connectors.c37118.configuration import Configuration, PmuConfiguration

START = 14  # first byte after FRACSEC
Linear = tuple[float, float, float]  # value = raw * multiplier / divisor + offset
SAME: Linear = (1.0, 1.0, 0.0)


@dataclass(frozen=True, slots=True)
class Field:
    """One number of a data frame.

    Attributes:
        place: its first byte in the frame.
        code: letter of `struct`: h, H or f.
        linear: multiplier, divisor and offset that make the quantity.
        absent: raw number that means that there is no value.
    """

    place: int
    code: str
    linear: Linear = SAME
    absent: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Where the numbers of a data frame stand, in the order of the configuration.

    Attributes:
        configuration: what it was made from.
        size: bytes of a data frame.
        unpack: reads all fields of one frame, in the order of the frame.
        fields: all fields in the order of the frame; the others are places in it.
        stats: one field a PMU.
        phasors: two fields a phasor: magnitude and angle (rad), or real and imaginary part.
        frequencies: two fields a PMU: Hz and Hz/s.
        analogs: one field an analog value.
        digitals: one field a word.
        absent: fields of which a raw number means that there is no value.
        linear: the arithmetic of each field.
    """

    configuration: Configuration
    size: int
    unpack: struct.Struct
    fields: tuple[Field, ...]
    stats: tuple[int, ...]
    phasors: tuple[int, ...]
    frequencies: tuple[int, ...]
    analogs: tuple[int, ...]
    digitals: tuple[int, ...]
    absent: tuple[int, ...]
    linear: tuple[Linear, ...]


def layout_of(configuration: Configuration) -> Layout:
    """Return the layout of a configuration's data frames; keep it, as making it takes as long as many frames."""
    parts: tuple[list[int], ...] = ([], [], [], [], [])
    fields: list[Field] = []
    place = START
    for pmu in configuration.pmus:
        for part, code, rule, absent in _fields(pmu):
            parts[part].append(len(fields))
            fields.append(Field(place, code, rule, absent))
            place += struct.calcsize(code)
    return Layout(
        configuration=configuration,
        size=place + 2,
        unpack=struct.Struct(">" + "".join(field.code for field in fields)),
        fields=tuple(fields),
        stats=tuple(parts[0]),
        phasors=tuple(parts[1]),
        frequencies=tuple(parts[2]),
        analogs=tuple(parts[3]),
        digitals=tuple(parts[4]),
        absent=tuple(index for index, field in enumerate(fields) if field.absent is not None),
        linear=tuple(field.linear for field in fields),
    )


def _fields(pmu: PmuConfiguration) -> list[tuple[int, str, Linear, int | None]]:
    """Return (part, code, linear, absent) of a PMU's numbers in the order of the frame."""
    fields: list[tuple[int, str, Linear, int | None]] = [(0, "H", SAME, None)]
    for channel in pmu.phasors:
        scale: Linear = (channel.scale, 1.0, 0.0)
        if pmu.phasors_float:
            fields += [(1, "f", SAME, None), (1, "f", SAME, None)]
        elif pmu.polar:
            angle: Linear = (1.0, 10_000.0, -channel.angle_offset_rad)
            fields += [(1, "H", scale, None), (1, "h", angle, -32768)]
        else:
            fields += [(1, "h", scale, -32768), (1, "h", scale, -32768)]
    if pmu.frequency_float:
        fields += [(2, "f", SAME, None), (2, "f", SAME, None)]
    else:
        fields += [(2, "h", (1.0, 1_000.0, float(pmu.nominal_hz)), None), (2, "h", (1.0, 100.0, 0.0), None)]
    if pmu.analogs_float:
        fields += [(3, "f", SAME, None) for _ in pmu.analogs]
    else:
        fields += [(3, "h", (channel.scale, 1.0, channel.offset), None) for channel in pmu.analogs]
    return fields + [(4, "H", SAME, None) for _ in pmu.digitals]
