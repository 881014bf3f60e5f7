"""Owns application fragments: function, indications, object headers with their ranges. Objects: `objects.py`.

Source: IEEE 1815-2012, clause 4.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from recloser.connectors.dnp3.objects import SIZED, Layout, attribute_size, layout_of, read_object

RESPONSES = {129, 130, 131}
BARE = {0, 1, 7, 8, 9, 10, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24}  # functions whose headers have no objects
RANGES = {0, 1, 2, 6, 7, 8, 9, 11}
DEFAULTED = {*range(1, 5), *range(10, 14), *range(20, 24), *range(30, 35), *range(40, 44), 60}
"""Groups whose variation 0 asks for, or names, points in whatever variation: such a header has no objects."""
FUNCTIONS = {
    0: "confirm",
    1: "read",
    2: "write",
    3: "select",
    4: "operate",
    5: "direct operate",
    6: "direct operate, no response",
    7: "freeze",
    8: "freeze, no response",
    9: "freeze and clear",
    10: "freeze and clear, no response",
    11: "freeze at time",
    12: "freeze at time, no response",
    13: "cold restart",
    14: "warm restart",
    15: "initialize data",
    16: "initialize application",
    17: "start application",
    18: "stop application",
    19: "save configuration",
    20: "enable unsolicited",
    21: "disable unsolicited",
    22: "assign class",
    23: "delay measurement",
    24: "record current time",
    25: "open file",
    26: "close file",
    27: "delete file",
    28: "get file information",
    29: "authenticate file",
    30: "abort file",
    31: "activate configuration",
    32: "authentication request",
    33: "authentication request, no acknowledgement",
    129: "response",
    130: "unsolicited response",
    131: "authentication response",
}
MOST = 65_536  # objects of one header: more is damage


@dataclass(frozen=True, slots=True)
class Point:
    """One object, or a header without objects (`index` None); `parts` as `read_object` gives them."""

    group: int
    variation: int
    qualifier: int
    index: int | None
    parts: dict[str, Any] = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Fragment:
    """An application fragment.

    Attributes:
        control: the application control byte.
        function: function code.
        indications: internal indications of a response, else None.
        points: what it carries.
        error: why it cannot be read at all, or None.
    """

    control: int
    function: int | None
    indications: int | None
    points: tuple[Point, ...]
    error: str | None = None


class _Short(Exception):
    """The fragment ends too early."""


@dataclass(slots=True)
class _Cursor:
    data: bytes
    place: int

    def take(self, count: int) -> bytes:
        taken = self.data[self.place : self.place + count]
        if len(taken) < count:
            raise _Short
        self.place += count
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")


def read_fragment(data: bytes) -> Fragment:
    """Return the fragment; what cannot be read is told in it, never raised."""
    if len(data) < 2:
        return Fragment(data[0] if data else 0, None, None, (), "an application fragment without a function")
    control, function = data[0], data[1]
    if function in RESPONSES and len(data) < 4:
        return Fragment(control, function, None, (), "a response without internal indications")
    indications = int.from_bytes(data[2:4]) if function in RESPONSES else None
    cursor = _Cursor(data, 4 if function in RESPONSES else 2)
    return Fragment(control, function, indications, tuple(_points(cursor, bare=function in BARE)))


def _points(cursor: _Cursor, *, bare: bool) -> Iterator[Point]:
    common_ms: int | None = None
    while cursor.place < len(cursor.data):
        head = cursor.data[cursor.place : cursor.place + 3]
        group, variation, qualifier = (*head, 0, 0)[:3]
        try:
            cursor.take(3)
            if qualifier & 15 not in RANGES:
                yield Point(group, variation, qualifier, None, error=f"qualifier 0x{qualifier:02x} is not defined")
                return
            indexes = _range(cursor, qualifier)
            without = bare or (variation == 0 and group in DEFAULTED)
            if indexes is None or (without and not qualifier >> 4 & 7):
                yield Point(group, variation, qualifier, None, _told(indexes))
                continue
            for point in _objects(cursor, (group, variation, qualifier), indexes, common_ms, bare=without):
                if group == 51 and "t_ns" in point.parts:
                    common_ms = point.parts["t_ns"] // 1_000_000
                yield point
                if point.error is not None:
                    return
        except _Short:
            yield Point(group, variation, qualifier, None, error="the fragment ends inside an object")
            return


def _told(indexes: range | None) -> dict[str, Any]:
    return {} if not indexes else {"range": [indexes[0], indexes[-1]]}


def _range(cursor: _Cursor, qualifier: int) -> range | None:
    """Return the indexes a header names, counted from 0 where it tells a count; None: all."""
    code = qualifier & 15
    if code in {0, 1, 2}:
        size = 1 << code
        first, last = cursor.number(size), cursor.number(size)
        return range(first, last + 1)
    if code in {7, 8, 9}:
        return range(cursor.number(1 << code - 7))
    if code == 11:
        return range(cursor.number(1))
    return None


def _objects(
    cursor: _Cursor, head: tuple[int, int, int], indexes: range, common_ms: int | None, *, bare: bool
) -> Iterator[Point]:
    group, variation, qualifier = head
    prefix = qualifier >> 4 & 7
    layout = layout_of(group, variation)
    if len(indexes) > MOST or prefix == 7:
        yield Point(*head, None, error=f"a header of {len(indexes)} objects, qualifier 0x{qualifier:02x}")
    elif prefix >= 4:
        yield from (_sized(cursor, head, index, 1 << prefix - 4) for index in indexes)
    elif bare:
        yield from (Point(*head, cursor.number(1 << prefix - 1)) for _ in indexes)
    elif layout is None:
        known = "carries its size" if group in SIZED else "is not known"
        yield Point(*head, None, error=f"object {group} variation {variation} {known}: the rest cannot be read")
    elif layout.bits:
        yield from _packed(cursor, head, indexes, layout)
    else:
        for place in indexes:
            index = cursor.number(1 << prefix - 1) if prefix else place
            size = layout.size if layout.size >= 0 else attribute_size(cursor.data[cursor.place :])
            yield Point(*head, index, read_object(layout, cursor.take(size), common_ms))


def _sized(cursor: _Cursor, head: tuple[int, int, int], index: int, size: int) -> Point:
    raw = cursor.take(cursor.number(size))
    return Point(*head, index, {"reading": raw.hex()})


def _packed(cursor: _Cursor, head: tuple[int, int, int], indexes: range, layout: Layout) -> Iterator[Point]:
    whole = cursor.number((len(indexes) * layout.bits + 7) // 8)
    mask = (1 << layout.bits) - 1
    for place, index in enumerate(indexes):
        yield Point(*head, index, {"reading": whole >> place * layout.bits & mask})
