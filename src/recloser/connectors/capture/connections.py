"""Owns both directions of TCP between two endpoints: which connection is under way, where it begins and ends.

Source: RFC 9293. Does not own the order of bytes (`tcp.py`).
"""

from __future__ import annotations

from collections.abc import Iterator

from recloser.connectors.capture.events import Chunk, Ended, Endpoint
from recloser.connectors.capture.tcp import FIN, RST, SYN, WHOLE, Direction, Piece, Segment, ahead

ACK = 16
Route = tuple[Endpoint, Endpoint]


class Connections:
    """The connections between two endpoints, one after another; both directions of one have the same number.

    An opening may be recorded of one side alone, or be tried again with another sequence number.
    """

    def __init__(self, route: Route) -> None:
        self._directions = {route: Direction(), _back(route): Direction()}
        self._number = 0  # of one whose opening was not seen
        self._first: dict[Route, int] = {}  # sequence numbers of the openings seen
        self._due: dict[Route, int] = {}  # what an opening must have been, by the answer to it

    @property
    def oldest(self) -> int | None:
        """Return the earliest packet whose bytes wait for missing ones."""
        return min((one.waiting[0].packet for one in self._directions.values() if one.waiting), default=None)

    def add(self, route: Route, segment: Segment, acknowledged: int) -> Iterator[Chunk | Ended]:
        """Yield what this segment of one side completes."""
        flags, opposite = segment.flags, _back(route)
        if flags & SYN:
            answered = (acknowledged - 1) % WHOLE if flags & ACK else None
            if self._first.get(route) == segment.sequence:
                return  # the opening repeated
            if not self._joins(route, segment.sequence, answered):
                yield from self._begin(segment)
            self._first[route] = segment.sequence
            if answered is not None and opposite not in self._first:
                self._due[opposite], self._directions[opposite].expected = answered, acknowledged
            if self._directions[route].expected is not None:
                return  # its answer, or what follows it, was recorded before it
        elif flags & ACK:
            yield from self._told(opposite, self._directions[opposite].acknowledged(acknowledged))
            yield from self._closed(opposite, segment)
        direction = self._directions[route]
        yield from self._told(route, direction.add(segment))
        if flags & FIN:
            direction.ends_at = (segment.sequence + len(segment.data)) % WHOLE
        yield from self._closed(route, segment)
        if flags & RST:
            yield from self._reset(route, segment)

    def finish(self) -> Iterator[Chunk]:
        """Yield what still waits for bytes that never came."""
        for route, direction in self._directions.items():
            yield from self._told(route, direction.give_up())

    def _joins(self, route: Route, sequence: int, answered: int | None) -> bool:
        """Return whether an opening is the other half of the connection under way."""
        if route in self._first:
            return False
        if route in self._due:
            return self._due[route] == sequence
        other = self._first.get(_back(route))
        return other is not None and answered in {None, other}

    def _begin(self, segment: Segment) -> Iterator[Chunk | Ended]:
        """Begin a new connection; what is left of the one before is told."""
        yield from self.finish()
        for route in self._directions:
            yield Ended(segment.packet, segment.t_ns, *route, self._number)
            self._directions[route] = Direction()
        self._number += 1
        self._first, self._due = {}, {}

    def _closed(self, route: Route, segment: Segment) -> Iterator[Ended]:
        """Tell the end of a direction once all bytes before its FIN have been told."""
        direction = self._directions[route]
        end, expected = direction.ends_at, direction.expected
        if end is not None and (expected is None or ahead(expected, end) >= 0):
            direction.ends_at = None
            yield Ended(segment.packet, segment.t_ns, *route, self._number)

    def _reset(self, route: Route, segment: Segment) -> Iterator[Chunk | Ended]:
        """Tell the end of both directions; a reset of something earlier ends nothing."""
        expected = self._directions[route].expected
        yield from self._told(route, self._directions[route].give_up())
        if expected is not None and ahead(segment.sequence, expected) < 0:
            return
        yield from self.finish()
        for end in self._directions:
            yield Ended(segment.packet, segment.t_ns, *end, self._number)

    def _told(self, route: Route, pieces: Iterator[Piece]) -> Iterator[Chunk]:
        for piece in pieces:
            yield Chunk(piece.packet, piece.t_ns, "tcp", *route, piece.data, self._number, piece.lost)


def _back(route: Route) -> Route:
    return route[1], route[0]
