"""Owns writing C37.118 frames: for simulated devices, and as the other side of the decoder's property tests.

Source: IEEE C37.118.2-2011, tables 5 to 15.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

from recloser.connectors.c37118.configuration import Configuration, PmuConfiguration
from recloser.connectors.c37118.frame import FrameType, seal
from recloser.connectors.c37118.layout import layout_of
from recloser.core import InvalidInput

LARGEST_PIECE = 65_000
Time = tuple[int, int]  # SOC, FRACSEC with its quality byte


def command_frame(idcode: int, command: int, time: Time = (0, 0), extended: bytes = b"", version: int = 1) -> bytes:
    """Return a CMD frame."""
    return seal(FrameType.CMD, idcode, time, command.to_bytes(2) + extended, version)


def header_frame(idcode: int, text: str, time: Time = (0, 0), version: int = 1) -> bytes:
    """Return a HEADER frame."""
    return seal(FrameType.HEADER, idcode, time, text.encode(), version)


def data_frame(configuration: Configuration, numbers: Sequence[float], time: Time, version: int = 1) -> bytes:
    """Return a data frame of raw numbers in the order of the frame.

    Raises:
        InvalidInput: the numbers are not those of the configuration.
    """
    try:
        payload = layout_of(configuration).unpack.pack(*numbers)
    except struct.error as error:
        raise InvalidInput("numbers that do not fit the configuration", got=str(error)) from error
    return seal(FrameType.DATA, configuration.idcode, time, payload, version)


def configuration_frames(
    configuration: Configuration, time: Time = (0, 0), version: int = 1, piece: int = LARGEST_PIECE
) -> list[bytes]:
    """Return the frames that tell the configuration: one, or for a CFG-3 longer than `piece` bytes several.

    Raises:
        InvalidInput: a CFG-1 or CFG-2 that no frame can hold, or a CFG-3 without locations.
    """
    one = _pmu3 if configuration.kind == 3 else _pmu
    payload = struct.pack(">IH", configuration.time_base, len(configuration.pmus))
    payload += b"".join(one(pmu) for pmu in configuration.pmus) + struct.pack(">h", configuration.rate)
    if configuration.kind != 3:
        if len(payload) > 65_500:
            raise InvalidInput("a configuration too long for one frame", expected="CFG-3, or fewer channels")
        kind = FrameType.CFG1 if configuration.kind == 1 else FrameType.CFG2
        return [seal(kind, configuration.idcode, time, payload, version)]
    parts = [payload[start : start + piece] for start in range(0, len(payload), piece)]
    numbers = [0] if len(parts) == 1 else [*range(1, len(parts)), 0xFFFF]
    return [
        seal(FrameType.CFG3, configuration.idcode, time, number.to_bytes(2) + part, version)
        for number, part in zip(numbers, parts, strict=True)
    ]


def _pmu(pmu: PmuConfiguration) -> bytes:
    names = _names(pmu)
    units = [(channel.unit == "A") << 24 | round(channel.scale * 1e5) for channel in pmu.phasors]
    units += [channel.kind << 24 | int(channel.scale) & 0xFFFFFF for channel in pmu.analogs]
    return (
        _short(pmu.station)
        + struct.pack(">HH", pmu.idcode, pmu.format)
        + struct.pack(">HHH", len(pmu.phasors), len(pmu.analogs), len(pmu.digitals))
        + b"".join(map(_short, names))
        + struct.pack(f">{len(units)}I", *units)
        + b"".join(struct.pack(">HH", word.normal, word.valid) for word in pmu.digitals)
        + struct.pack(">HH", pmu.nominal_hz == 50, pmu.change_count)
    )


def _pmu3(pmu: PmuConfiguration) -> bytes:
    place = pmu.location
    if place is None:
        raise InvalidInput("a CFG-3 without a location", where=pmu.station)
    names = _names(pmu)
    where = [math.inf if v is None else v for v in (place.latitude_deg, place.longitude_deg, place.elevation_m)]
    return (
        _long(pmu.station)
        + struct.pack(">H", pmu.idcode)
        + bytes.fromhex(place.global_id)
        + struct.pack(">HHHH", pmu.format, len(pmu.phasors), len(pmu.analogs), len(pmu.digitals))
        + b"".join(map(_long, names))
        + b"".join(struct.pack(">Iff", (c.unit == "A") << 11, c.scale, c.angle_offset_rad) for c in pmu.phasors)
        + b"".join(struct.pack(">ff", c.scale, c.offset) for c in pmu.analogs)
        + b"".join(struct.pack(">HH", word.normal, word.valid) for word in pmu.digitals)
        + struct.pack(">fff", *where)
        + struct.pack(">cii", place.service_class.encode()[:1] or b"M", place.window_us, place.group_delay_us)
        + struct.pack(">HH", pmu.nominal_hz == 50, pmu.change_count)
    )


def _names(pmu: PmuConfiguration) -> list[str]:
    names = [channel.name for channel in pmu.phasors] + [channel.name for channel in pmu.analogs]
    return names + [name for word in pmu.digitals for name in word.names]


def _short(name: str) -> bytes:
    return name.encode()[:16].ljust(16)


def _long(name: str) -> bytes:
    raw = name.encode()[:255]
    return bytes([len(raw)]) + raw
