"""Owns reading configuration frames 1, 2 and 3, a CFG-3 in several pieces included. Does not keep configurations.

Source: IEEE C37.118.2-2011, tables 8, 9 and 10.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

from recloser.connectors.c37118.configuration import (
    AnalogChannel,
    Configuration,
    DigitalWord,
    Location,
    PhasorChannel,
    PmuConfiguration,
)
from recloser.connectors.c37118.frame import CHECK, PREFIX, FrameType, read_envelope
from recloser.core import InvalidInput

NAME, PHASOR_UNIT = 16, 1e-5
FIRST_PIECE, LAST_PIECE = 0, 0xFFFF


@dataclass(slots=True)
class _Reader:
    """Takes words off the front of a payload."""

    data: bytes
    place: int = 0

    def take(self, form: str) -> tuple[int, ...]:
        values = struct.unpack_from(form, self.data, self.place)
        self.place += struct.calcsize(form)
        return values

    def word(self) -> int:
        return int(self.take(">H")[0])

    def name(self) -> str:
        """Return a name of 16 bytes."""
        return self._text(NAME)

    def long_name(self) -> str:
        """Return a name that tells its length first."""
        return self._text(int(self.take(">B")[0]))

    def _text(self, length: int) -> str:
        raw = self.data[self.place : self.place + length]
        if len(raw) < length:
            raise struct.error("the payload ends inside a name")
        self.place += length
        return text(raw)


def text(raw: bytes) -> str:
    """Return a name or header text: UTF-8 where it is that, else Latin-1; cut at the first zero, blanks stripped."""
    cut = raw.split(b"\0", 1)[0]
    try:
        return cut.decode("utf-8").strip()
    except UnicodeDecodeError:
        return cut.decode("latin-1").strip()


def read_configuration(frame: bytes) -> Configuration:
    """Return what a whole configuration frame says.

    Raises:
        InvalidInput: shorter or longer than its own counts, a time base of zero, or one piece of several.
    """
    envelope = read_envelope(frame)
    payload = frame[PREFIX.size : -CHECK]
    if envelope.type is not FrameType.CFG3:
        return _configuration(envelope.idcode, payload, kind=1 if envelope.type is FrameType.CFG1 else 2)
    if payload[:2] not in {b"\0\0", b""}:
        raise InvalidInput("one piece of a configuration", got=payload[:2].hex(), expected="a whole one")
    return _configuration(envelope.idcode, payload[2:], kind=3)


class PieceCollector:
    """Puts the pieces of one stream's CFG-3 together (CONT_IDX 1, 2, ... 0xFFFF)."""

    LARGEST = 1 << 20

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def add(self, frame: bytes) -> Configuration | None:
        """Return the configuration when this frame completes it, else None.

        Raises:
            InvalidInput: a piece is missing, or the whole does not fit its own counts.
        """
        envelope, index = read_envelope(frame), int.from_bytes(frame[PREFIX.size : PREFIX.size + 2])
        piece = frame[PREFIX.size + 2 : -CHECK]
        if index == FIRST_PIECE:
            self._pieces = []
            return _configuration(envelope.idcode, piece, kind=3)
        if index == 1:
            self._pieces = []
        elif index not in {len(self._pieces) + 1, LAST_PIECE} or not self._pieces:
            self._pieces = []
            raise InvalidInput("a configuration with a piece missing", got=index)
        self._pieces.append(piece)
        if sum(map(len, self._pieces)) > self.LARGEST:
            self._pieces = []
            raise InvalidInput("a configuration in too many pieces", expected=f"at most {self.LARGEST} bytes")
        if index != LAST_PIECE:
            return None
        whole, self._pieces = b"".join(self._pieces), []
        return _configuration(envelope.idcode, whole, kind=3)


def _configuration(idcode: int, payload: bytes, kind: int) -> Configuration:
    reader = _Reader(payload)
    try:
        time_base, count = reader.take(">IH")
        one = _pmu3 if kind == 3 else _pmu
        pmus = tuple(one(reader) for _ in range(count))
        (rate,) = reader.take(">h")
    except struct.error as error:
        raise InvalidInput("a configuration shorter than its own counts", got=f"{len(payload)} bytes") from error
    if reader.place != len(payload):
        raise InvalidInput(
            "a configuration longer than its own counts", got=f"{len(payload)} bytes", expected=f"{reader.place}"
        )
    if not time_base & 0xFFFFFF:
        raise InvalidInput("a time base of zero")
    return Configuration(idcode, time_base & 0xFFFFFF, pmus, rate, kind)


def _pmu(reader: _Reader) -> PmuConfiguration:
    station, idcode, form = reader.name(), reader.word(), reader.word()
    phasors, analogs, digitals = reader.take(">HHH")
    phasor_names = [reader.name() for _ in range(phasors)]
    analog_names = [reader.name() for _ in range(analogs)]
    bit_names = [tuple(reader.name() for _ in range(16)) for _ in range(digitals)]
    phasor_units = [reader.take(">I")[0] for _ in range(phasors)]
    analog_units = [reader.take(">I")[0] for _ in range(analogs)]
    masks = [reader.take(">HH") for _ in range(digitals)]
    nominal, changes = reader.take(">HH")
    return PmuConfiguration(
        station,
        idcode,
        form,
        tuple(
            PhasorChannel(name, "A" if unit >> 24 else "V", (unit & 0xFFFFFF) * PHASOR_UNIT)
            for name, unit in zip(phasor_names, phasor_units, strict=True)
        ),
        tuple(
            AnalogChannel(name, float(_signed24(unit)) or 1.0, kind=unit >> 24)
            for name, unit in zip(analog_names, analog_units, strict=True)
        ),
        tuple(DigitalWord(names, *mask) for names, mask in zip(bit_names, masks, strict=True)),
        50 if nominal & 1 else 60,
        changes,
    )


def _pmu3(reader: _Reader) -> PmuConfiguration:
    station, idcode = reader.long_name(), reader.word()
    global_id = bytes(reader.take(">16B")).hex()
    form, phasors, analogs, digitals = reader.take(">HHHH")
    phasor_names = [reader.long_name() for _ in range(phasors)]
    analog_names = [reader.long_name() for _ in range(analogs)]
    bit_names = [tuple(reader.long_name() for _ in range(16)) for _ in range(digitals)]
    phasor_scales = [reader.take(">Iff") for _ in range(phasors)]
    analog_scales = [reader.take(">ff") for _ in range(analogs)]
    masks = [reader.take(">HH") for _ in range(digitals)]
    latitude, longitude, elevation = reader.take(">fff")
    service, window, delay = reader.take(">Bii")
    nominal, changes = reader.take(">HH")
    return PmuConfiguration(
        station,
        idcode,
        form,
        tuple(
            PhasorChannel(name, "A" if flags & 0x800 else "V", scale, angle)
            for name, (flags, scale, angle) in zip(phasor_names, phasor_scales, strict=True)
        ),
        tuple(
            AnalogChannel(name, scale or 1.0, offset)
            for name, (scale, offset) in zip(analog_names, analog_scales, strict=True)
        ),
        tuple(DigitalWord(names, *mask) for names, mask in zip(bit_names, masks, strict=True)),
        50 if nominal & 1 else 60,
        changes,
        Location(
            global_id,
            _place(latitude),
            _place(longitude),
            _place(elevation),
            text(bytes([service])),
            window,
            delay,
        ),
    )


def _place(number: float) -> float | None:
    return number if math.isfinite(number) else None  # unknown is infinity


def _signed24(word: int) -> int:
    low = word & 0xFFFFFF
    return low - (1 << 24) if low & 0x800000 else low
