"""Owns the envelope of every C37.118 frame: SYNC, size, identity, time, check word. Does not own payloads.

Source: IEEE C37.118.2-2011, clause 6.2 and annex B (CRC-CCITT, start value 0xFFFF).
"""

from __future__ import annotations

import struct
from binascii import crc_hqx
from dataclasses import dataclass
from enum import IntEnum

SYNC = 0xAA
PREFIX = struct.Struct(">BBHHII")  # SYNC, type and version, size, id code, SOC, FRACSEC
CHECK = 2
SMALLEST = PREFIX.size + CHECK
BILLION = 1_000_000_000


class FrameType(IntEnum):
    """What a frame carries; the three bits of SYNC."""

    DATA = 0
    HEADER = 1
    CFG1 = 2
    CFG2 = 3
    CMD = 4
    CFG3 = 5


TYPES = frozenset(FrameType)


@dataclass(frozen=True, slots=True)
class Envelope:
    """The words that all frames share.

    Attributes:
        type: what the frame carries.
        version: of the standard, 1 (2005) or 2 (2011).
        size: length of the frame in bytes, check word included.
        idcode: the stream's identity, 1 .. 65534.
        soc: seconds since 1970 UTC.
        fracsec: fraction of the second in units of one over the configuration's time base.
        time_quality: the byte with leap-second bits and clock quality.
    """

    type: FrameType
    version: int
    size: int
    idcode: int
    soc: int
    fracsec: int
    time_quality: int

    @property
    def leap_pending(self) -> bool:
        """Return whether a leap second comes within a minute."""
        return bool(self.time_quality & 0x10)

    @property
    def leap_occurred(self) -> bool:
        """Return whether a leap second was within the last 24 hours."""
        return bool(self.time_quality & 0x20)

    @property
    def leap_delete(self) -> bool:
        """Return whether the leap second is one taken out."""
        return bool(self.time_quality & 0x40)

    def t_ns(self, time_base: int) -> int:
        """Return nanoseconds since 1970 UTC, in integers (a time base of 16,777,215 has no exact fraction)."""
        return self.soc * BILLION + self.fracsec * BILLION // time_base


def plausible(data: bytes | bytearray | memoryview) -> bool:
    """Return whether bytes (at least four) may begin a frame: SYNC, a known type, a possible size."""
    return data[0] == SYNC and data[1] < 0x60 and (data[2] << 8 | data[3]) >= SMALLEST


def read_envelope(frame: bytes | bytearray | memoryview) -> Envelope:
    """Return the envelope of bytes that `plausible` accepted; at least 14 of them.

    Raises:
        struct.error: fewer than 14 bytes.
    """
    _, kind, size, idcode, soc, fraction = PREFIX.unpack_from(frame)
    return Envelope(FrameType(kind >> 4), kind & 15, size, idcode, soc, fraction & 0xFFFFFF, fraction >> 24)


def check_word(data: bytes | bytearray | memoryview) -> int:
    """Return the check word over `data`."""
    return crc_hqx(data, 0xFFFF)


def crc_ok(frame: bytes | bytearray | memoryview) -> bool:
    """Return whether a whole frame ends with the right check word."""
    return crc_hqx(frame, 0xFFFF) == 0  # a message followed by its own check word leaves nothing


def seal(kind: FrameType, idcode: int, time: tuple[int, int], payload: bytes, version: int = 1) -> bytes:
    """Return a whole frame.

    Args:
        kind: what it carries.
        idcode: the stream's identity.
        time: (SOC, FRACSEC with its quality byte).
        payload: everything between FRACSEC and the check word.
        version: of the standard.
    """
    size = SMALLEST + len(payload)
    body = PREFIX.pack(SYNC, kind << 4 | version, size, idcode, *time) + payload
    return body + check_word(body).to_bytes(2)
