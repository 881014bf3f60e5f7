"""Owns how records lie in a segment file: frames with length, sequence and checksums. Pure; opens no file.

A segment begins with MAGIC. A frame is a header of 24 bytes, little endian: mark, length of the body, sequence (8),
CRC-32 of the body, CRC-32 of the header's first 20 bytes; then the body. Both checksums start from the segment's
salt, which stands in the file's name: a frame of another file, or one that a caller wrote into a text, is none here.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from zlib import crc32

MAGIC = b"RCLPLOG1"
MARK = b"\xf5\x9cRL"
HEADER = struct.Struct("<4sIQII")
_CHECKED = HEADER.size - 4
LONGEST_BODY = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes [start, end) of a segment that are no frame; `tail` if no good frame follows them."""

    start: int
    end: int
    tail: bool


@dataclass(frozen=True, slots=True)
class Scan:
    """What a segment holds.

    Attributes:
        bodies: (sequence, body) of every good frame, sequences strictly ascending.
        damages: what lies between and behind them, in order.
        good_end: end of the last good frame.
    """

    bodies: list[tuple[int, bytes]]
    damages: list[Damage]
    good_end: int


def frame(body: bytes, sequence: int, salt: int) -> bytes:
    """Return the frame of one record; `salt` is that of its segment (32 bits)."""
    head = struct.pack("<4sIQI", MARK, len(body), sequence, crc32(body, salt))
    return b"".join((head, crc32(head, salt).to_bytes(4, "little"), body))


def scan(content: bytes, salt: int) -> Scan:
    """Read every frame that is whole, whatever lies between them.

    A changed byte costs at most the one frame it lies in: CRC-32 finds every burst of up to 32 bits for certain, and
    other damage but for one case in 2**32. A frame that repeats an earlier sequence counts as damage.
    """
    bodies: list[tuple[int, bytes]] = []
    damages: list[Damage] = []
    position = good_end = len(MAGIC) if content.startswith(MAGIC) else 0
    newest = -1
    while position < len(content):
        found = _frame_at(content, position, salt)
        if found is not None and found[0] > newest:
            newest, body, position = found
            bodies.append((newest, body))
            good_end = position
            continue
        bad, position = position, _next_frame(content, position + 1, salt, newest)
        damages.append(Damage(bad, position, tail=position == len(content)))
    return Scan(bodies, damages, good_end)


def _frame_at(content: bytes, position: int, salt: int) -> tuple[int, bytes, int] | None:
    """Return sequence, body and end of the good frame that begins at `position`, None if there is none."""
    if position + HEADER.size > len(content):
        return None
    mark, length, sequence, body_crc, head_crc = HEADER.unpack_from(content, position)
    if mark != MARK or length > LONGEST_BODY or crc32(content[position : position + _CHECKED], salt) != head_crc:
        return None
    begin = position + HEADER.size
    body = content[begin : begin + length]
    if len(body) != length or crc32(body, salt) != body_crc:
        return None
    return sequence, body, begin + length


def _next_frame(content: bytes, position: int, salt: int, newest: int) -> int:
    """Return where the next good frame of a higher sequence begins, the end of the content if there is none."""
    position = content.find(MARK, position)
    while position >= 0:
        found = _frame_at(content, position, salt)
        if found is not None and found[0] > newest:
            return position
        position = content.find(MARK, position + 1)
    return len(content)
