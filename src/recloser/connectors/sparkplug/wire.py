"""Owns fields of Protocol Buffers on the wire: reading and writing them one by one. Knows no message.

Ours, so that the links need neither generated code nor the library, whose versions exclude each other.
Source: protobuf.dev, "Encoding".
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from recloser.core import InvalidInput

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MOST_VARINT = 10  # bytes
MASK64 = (1 << 64) - 1

Field = tuple[int, int, int | bytes]  # number, wire type, and a varint or the bytes of the other types


def read_fields(data: bytes) -> Iterator[Field]:
    """Yield the fields of a message in their order; those of fixed size as their bytes.

    Raises:
        InvalidInput: bytes that are no message; what came before has been yielded.
    """
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        number, kind = tag >> 3, tag & 7
        if not 0 < number < 1 << 29:
            raise InvalidInput("not a protobuf message", got=f"field {number}", where=f"byte {place}")
        if kind == VARINT:
            value, place = _varint(data, place)
            yield number, kind, value
            continue
        if kind == BYTES:
            size, place = _varint(data, place)
        elif kind in {FIXED64, FIXED32}:
            size = 8 if kind == FIXED64 else 4
        else:
            raise InvalidInput("not a protobuf message", got=f"wire type {kind}", where=f"byte {place}")
        if size > len(data) - place:
            raise InvalidInput("a protobuf message that is cut short", where=f"byte {place}")
        yield number, kind, data[place : place + size]
        place += size


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = 0
    for count in range(MOST_VARINT):
        if place >= len(data):
            raise InvalidInput("a protobuf message that is cut short", where=f"byte {place}")
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << 7 * count
        if byte < 0x80:
            return value & MASK64, place
    raise InvalidInput("a protobuf number without end", where=f"byte {place}")


def varint(value: int) -> bytes:
    """Return a number of 64 bits, negative ones in two's complement."""
    value &= MASK64
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number: int, value: int | bytes | str) -> bytes:
    """Return a field: a number as varint, text and bytes with their length."""
    if isinstance(value, int):
        return varint(number << 3 | VARINT) + varint(value)
    raw = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | BYTES) + varint(len(raw)) + raw


def fixed(number: int, code: str, value: float) -> bytes:
    """Return a field of fixed size; `code` is '<f' or '<d'."""
    kind = FIXED32 if code == "<f" else FIXED64
    return varint(number << 3 | kind) + struct.pack(code, value)
