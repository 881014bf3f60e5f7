"""Owns the frames of an STTP command channel: what a subscriber sends, what a publisher answers. No I/O, no values.

Source: IEEE 2664-2024, clause 5; numbers as in its reference implementations (sttpapi, MIT).
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum

VERSION = 2
LONGEST = 64 << 20  # bytes of a frame, and of what it holds when unpacked; metadata of a whole system are below
HEAD = 6  # response, command, length once more


class Command(IntEnum):
    """What a subscriber says."""

    METADATA_REFRESH = 0x01
    SUBSCRIBE = 0x02
    UNSUBSCRIBE = 0x03
    DEFINE_OPERATIONAL_MODES = 0x06
    CONFIRM_BUFFER_BLOCK = 0x08
    CONFIRM_UPDATE_BASE_TIMES = 0x09
    CONFIRM_UPDATE_SIGNAL_INDEX_CACHE = 0x0A


class Response(IntEnum):
    """What a publisher says."""

    SUCCEEDED = 0x80
    FAILED = 0x81
    DATA_PACKET = 0x82
    UPDATE_SIGNAL_INDEX_CACHE = 0x83
    UPDATE_BASE_TIMES = 0x84
    UPDATE_CIPHER_KEYS = 0x85
    DATA_START_TIME = 0x86
    PROCESSING_COMPLETE = 0x87
    BUFFER_BLOCK = 0x88
    NOTIFY = 0x89
    CONFIGURATION_CHANGED = 0x8A
    NO_OPERATION = 0xFF


class Mode:
    """Bits of the operational modes, which a subscriber asks for first."""

    GZIP, TSSC, UTF8 = 0x20, 0x40, 0x200
    COMPRESS_PAYLOAD, COMPRESS_SIGNAL_INDEX, COMPRESS_METADATA = 0x2000_0000, 0x4000_0000, 0x8000_0000


class PacketFlag:
    """Bits of the first byte of a data packet."""

    COMPACT, COMPRESSED, CACHE_INDEX = 0x02, 0x08, 0x10


@dataclass(frozen=True, slots=True)
class Answer:
    """A publisher's frame: `code` of Response, or another number; `command` it answers; `data` behind the head."""

    code: int
    command: int
    data: bytes


def measure(data: bytearray) -> int:
    """Return the length of the frame at the front of a stream, as `Cutter` asks for it."""
    if len(data) < 4:
        return 0
    length = int.from_bytes(data[:4], "big")
    return 4 + length if HEAD <= length <= LONGEST else -len(data)


def measure_command(data: bytearray) -> int:
    """Return the length of the command at the front of a stream, as `Cutter` asks for it."""
    if len(data) < 4:
        return 0
    length = int.from_bytes(data[:4], "big")
    return 4 + length if 1 <= length <= LONGEST else -len(data)


def read_answer(frame: bytes) -> Answer:
    """Return what a whole frame says."""
    return Answer(frame[4], frame[5], frame[4 + HEAD :])


def command(code: Command, data: bytes = b"") -> bytes:
    """Return the frame of a command."""
    return struct.pack(">IB", 1 + len(data), code) + data


def answer(code: Response, told: int, data: bytes = b"") -> bytes:
    """Return the frame of an answer to the command `told`."""
    return struct.pack(">IBBI", HEAD + len(data), code, told, len(data)) + data


def operational_modes(*, compressed: bool) -> bytes:
    """Return the frame that asks for version 2, UTF-8, and packed metadata; for TSSC where `compressed`."""
    bits = VERSION | Mode.UTF8 | Mode.GZIP | Mode.COMPRESS_SIGNAL_INDEX | Mode.COMPRESS_METADATA
    bits |= Mode.COMPRESS_PAYLOAD | Mode.TSSC if compressed else 0
    return command(Command.DEFINE_OPERATIONAL_MODES, struct.pack(">I", bits))


def subscription(expression: str) -> bytes:
    """Return the frame that subscribes to the signals of a filter expression, each value as it comes.

    Times are wanted in ticks, and values that are no number too: a hole must not look like silence.
    """
    words = (
        "throttled=False;publishInterval=1.000000;includeTime=True;enableTimeReasonabilityCheck=False;"
        "lagTime=10.000000;leadTime=5.000000;useLocalClockAsRealTime=False;processingInterval=-1;"
        "useMillisecondResolution=False;requestNaNValueFilter=False;"
        "assemblyInfo={source=Recloser;version=1;updatedOn=2026-01-01};"
        f"filterExpression={{{expression}}}"
    ).encode()
    return command(Command.SUBSCRIBE, struct.pack(">BI", PacketFlag.COMPACT, len(words)) + words)


def unpacked(data: bytes) -> bytes:
    """Return what gzip packed; data that begin otherwise as they are (a publisher may refuse to pack).

    Raises:
        ValueError: damaged, or larger than LONGEST.
    """
    if data[:2] != b"\x1f\x8b":
        return data
    unpacking = zlib.decompressobj(31)
    try:
        result = unpacking.decompress(data, LONGEST)
    except zlib.error as error:
        raise ValueError(f"damaged gzip data: {error}") from error
    if not unpacking.eof:
        raise ValueError(f"gzip data that are cut off, or larger than {LONGEST} bytes")
    return result


def sentence(data: bytes) -> str:
    """Return the text of an answer; some publishers put its length in front."""
    if len(data) >= 4 and int.from_bytes(data[:4], "big") == len(data) - 4:
        data = data[4:]
    return data.decode("utf-8", "replace").strip()[:400]
