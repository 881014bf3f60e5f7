"""Owns one direction of a TCP connection: bytes in order, repetitions dropped, holes waited for, then told.

Source: RFC 9293. Does not own windows, timers or check sums: the recorder has seen what it has seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

FIN, SYN, RST = 1, 2, 4
HALF, WHOLE = 1 << 31, 1 << 32
WAITING_BYTES, WAITING_SEGMENTS = 4 << 20, 2_000


@dataclass(frozen=True, slots=True)
class Segment:
    """What a TCP packet says in one direction.

    Attributes:
        packet: number of the packet.
        t_ns: its receive time, nanoseconds since 1970 UTC.
        sequence: number of the first byte.
        flags: the low byte of TCP's flags.
        data: the payload.
    """

    packet: int
    t_ns: int
    sequence: int
    flags: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes in order, with the packet that brought them and the number of bytes missing before them."""

    packet: int
    t_ns: int
    data: bytes
    lost: int = 0


@dataclass(slots=True)
class Direction:
    """The state of one direction.

    Attributes:
        expected: sequence number of the next byte, None before the first.
        ends_at: that of the end which its sender has told, None while none is told.
        waiting: segments behind a hole, as they came; `waiting_bytes` in all.
    """

    expected: int | None = None
    ends_at: int | None = None
    waiting: list[Segment] = field(default_factory=list)
    waiting_bytes: int = 0

    def add(self, segment: Segment) -> Iterator[Piece]:
        """Yield what can be told in order now that this segment has come."""
        sequence = (segment.sequence + 1) % WHOLE if segment.flags & SYN else segment.sequence
        if segment.flags & SYN:
            self.expected, self.waiting, self.waiting_bytes = sequence, [], 0
        if not segment.data:
            return
        if self.expected is None:
            self.expected = sequence
        if ahead(sequence, self.expected) <= 0:
            yield from self._tell(segment, sequence)
            yield from self._catch_up()
            return
        self.waiting.append(Segment(segment.packet, segment.t_ns, sequence, 0, segment.data))
        self.waiting_bytes += len(segment.data)
        if self.waiting_bytes > WAITING_BYTES or len(self.waiting) > WAITING_SEGMENTS:
            yield from self.give_up()

    def acknowledged(self, number: int) -> Iterator[Piece]:
        """Yield what waits behind a hole that the receiver has acknowledged: the recorder missed those bytes."""
        while self.waiting and self.expected is not None and ahead(number, self.expected) > 0:
            first = min(self.waiting, key=self._distance)
            if ahead(number, first.sequence) < 0:
                return
            yield from self._over_the_hole(first)

    def give_up(self) -> Iterator[Piece]:
        """Yield all that waits, each hole told as lost bytes."""
        while self.waiting:
            yield from self._over_the_hole(min(self.waiting, key=self._distance))

    def _distance(self, segment: Segment) -> int:
        return ahead(segment.sequence, self.expected or 0)

    def _over_the_hole(self, first: Segment) -> Iterator[Piece]:
        self.waiting.remove(first)
        self.waiting_bytes -= len(first.data)
        lost = max(self._distance(first), 0)
        self.expected = first.sequence if lost else self.expected
        yield from self._tell(first, first.sequence, lost)
        yield from self._catch_up()

    def _tell(self, segment: Segment, sequence: int, lost: int = 0) -> Iterator[Piece]:
        """Yield the part of the segment that is new; move `expected`."""
        assert self.expected is not None
        fresh = segment.data[-ahead(sequence, self.expected) if sequence != self.expected else 0 :]
        if fresh:
            self.expected = (self.expected + len(fresh)) % WHOLE
            yield Piece(segment.packet, segment.t_ns, fresh, lost)

    def _catch_up(self) -> Iterator[Piece]:
        while self.waiting:
            first = min(self.waiting, key=self._distance)
            if self._distance(first) > 0:
                return
            self.waiting.remove(first)
            self.waiting_bytes -= len(first.data)
            yield from self._tell(first, first.sequence)


def ahead(sequence: int, expected: int) -> int:
    """Return how far a sequence number lies ahead (behind: negative), in arithmetic modulo 2**32."""
    return (sequence - expected + HALF) % WHOLE - HALF
