"""Owns reading packets of STTP's Time-Series Special Compression. A packet means nothing without all before it.

Does not own the numbers of packets: whoever feeds it must see that none is missing.
Source: IEEE 2664-2024, the TSSC algorithm; its published decoder in sttpapi (MIT) is the reference it is tested by.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

END, POINT, TIME, FLAGS, VALUE = 0, 1, 8, 18, 20  # first code of each kind; what a code says stands in front of it
POINT_NIBBLES = (1, 2, 3, 4, 5, 6, 8)  # half-bytes that differ, by code
FORWARD, REVERSE, TIME_BEFORE, TIME_XOR = 8, 12, 16, 17
FLAGS_BEFORE = 18
VALUE_SAME, VALUE_BEFORE, VALUE_THIRD, VALUE_ZERO, VALUE_XOR = 20, 21, 22, 23, 24
CODES, WORD32, WORD64, SIGN64 = 32, (1 << 32) - 1, (1 << 64) - 1, 1 << 63
FAR = SIGN64 - 1  # a step that has not been seen yet
STAGES = (5, 20, 100)  # codes after which the coding of a point is chosen anew
_FLOAT, _WORD = struct.Struct("<f"), struct.Struct("<I")

Compressed = tuple[int, int, int, float]
"""Run-time index of a signal, its time in ticks (64 bits), state flags (32 bits), value (of 32 bits)."""


class TsscDamage(Exception):
    """A packet that no encoder makes; nothing after it can be read."""


@dataclass(slots=True)
class _Point:
    """What is remembered of a signal: its latest flags and values, what came after it, and how its codes are short."""

    following: int
    flags: int = 0
    flags_before: int = 0
    value: int = 0
    value_before: int = 0
    value_third: int = 0
    short: tuple[int, ...] = (VALUE_SAME, VALUE_BEFORE, VALUE_THIRD)  # codes of one, two and three bits
    seen: list[int] = field(default_factory=lambda: [0] * CODES)
    count: int = 0
    stage: int = 0

    def note(self, code: int) -> None:
        """Take note of a code; after enough of them choose the coding anew."""
        self.count += 1
        self.seen[code] += 1
        if self.count > STAGES[self.stage]:
            self.stage = min(self.stage + 1, 2)
            self._adapt()

    def _adapt(self) -> None:
        first = second = third = 0
        most = [(0, 0), (1, 0), (2, 0)]  # code and how often
        for code, times in enumerate(self.seen):
            if times > most[2][1]:
                place = 0 if times > most[0][1] else 1 if times > most[1][1] else 2
                most.insert(place, (code, times))
                del most[3]
        total = self.count
        first, second, third = (times for _, times in most)
        sizes = (
            total * 5,
            first + (total - first) * 6,
            first + second * 2 + (total - first - second) * 7,
            first + second * 2 + third * 3 + (total - first - second - third) * 8,
        )
        self.short = tuple(code for code, _ in most[: sizes.index(min(sizes))])
        self.seen = [0] * CODES
        self.count = 0


class TsscDecoder:
    """Reads the packets of one stream, from its first on."""

    def __init__(self) -> None:
        self._points: dict[int, _Point] = {}
        self._last = _Point(0)
        self._time = self._time_before = 0  # signed 64 bits
        self._steps = [FAR] * 4  # the smallest that were seen
        self._data, self._place = b"", 0
        self._bits, self._left = 0, 0

    def decode(self, data: bytes, count: int) -> list[Compressed]:
        """Return the values of the next packet, `data` without version and number, of which there must be `count`.

        Raises:
            TsscDamage: it is damaged, or one before it is missing. The decoder is of no use any more.
        """
        self._data, self._place, self._left = data, 0, 0
        found: list[Compressed] = []
        try:
            while (one := self._next()) is not None:
                found.append(one)
                if len(found) > count:
                    raise TsscDamage(f"more than the {count} values that the packet announces")
        except (IndexError, struct.error) as error:
            raise TsscDamage("the packet ends inside a value") from error
        if len(found) != count:
            raise TsscDamage(f"{len(found)} values in a packet that announces {count}")
        return found

    def _next(self) -> Compressed | None:
        if self._place == len(self._data) and not self._left:
            return None
        last = self._last
        code = self._code(last)
        if code == END:
            self._left = 0
            return None
        if code < TIME:
            last.following ^= self._nibbles(POINT_NIBBLES[code - POINT])
            code = self._code(last, TIME)
        point = self._points.get(last.following)
        if point is None:
            point = self._points[last.following] = _Point(last.following + 1 & WORD32)
        index = last.following
        if code < FLAGS:
            self._read_time(code)
            code = self._code(last, FLAGS)
        if code < VALUE:
            told = point.flags_before if code == FLAGS_BEFORE else self._whole(5) & WORD32
            point.flags_before, point.flags = point.flags, told
            code = self._code(last, VALUE)
        self._read_value(code, point)
        self._last = point
        return index, self._time & WORD64, point.flags, _FLOAT.unpack(_WORD.pack(point.value))[0]

    def _code(self, point: _Point, least: int = 0) -> int:
        """Return the next code, in the coding of the signal before."""
        code = -1
        for short in point.short:
            if self._bit():
                code = short
                break
        if code < 0:
            code = 0
            for _ in range(5):
                code = code << 1 | self._bit()
        if code < least:
            raise TsscDamage(f"code {code} where one of {least} to {CODES - 1} must stand, at byte {self._place}")
        point.note(code)
        return code

    def _bit(self) -> int:
        if not self._left:
            self._bits, self._left = self._data[self._place], 8
            self._place += 1
        self._left -= 1
        return self._bits >> self._left & 1

    def _nibbles(self, count: int) -> int:
        """Return a number of so many half-bytes: an odd one comes first, as bits; then whole bytes, lowest first."""
        result = shift = 0
        if count & 1:
            for _ in range(4):
                result = result << 1 | self._bit()
            shift = 4
        end = self._place + (count >> 1)
        if end > len(self._data):
            raise IndexError
        result |= int.from_bytes(self._data[self._place : end], "little") << shift
        self._place = end
        return result

    def _whole(self, longest: int) -> int:
        """Return a number in groups of seven bits, the lowest first; the last of `longest` bytes has all eight."""
        result = 0
        for number in range(longest):
            byte = self._data[self._place]
            self._place += 1
            if byte < 128 or number == longest - 1:
                return result | byte << 7 * number
            result |= (byte & 127) << 7 * number
        raise AssertionError

    def _read_time(self, code: int) -> None:
        if code < REVERSE:
            told = self._time + self._steps[code - FORWARD]
        elif code < TIME_BEFORE:
            told = self._time - self._steps[code - REVERSE]
        elif code == TIME_BEFORE:
            told = self._time_before
        else:
            told = self._time ^ self._whole(9)
        told = _signed(told)
        between = _signed(self._time - told)
        step = between if between == -SIGN64 else abs(between)  # as an encoder's 64 bits overflow at a leap second
        if step < self._steps[3] and step not in self._steps:
            self._steps = sorted([*self._steps[:3], step])
        self._time_before, self._time = self._time, told

    def _read_value(self, code: int, point: _Point) -> None:
        if code == VALUE_SAME:
            return
        if code == VALUE_BEFORE:
            point.value, point.value_before = point.value_before, point.value
            return
        if code == VALUE_THIRD:
            told = point.value_third
        elif code == VALUE_ZERO:
            told = 0
        else:
            told = point.value ^ self._nibbles(code - VALUE_XOR + 1)
        point.value_third, point.value_before, point.value = point.value_before, point.value, told


def _signed(number: int) -> int:
    """Return a number as signed 64 bits hold it."""
    return (number + SIGN64 & WORD64) - SIGN64
