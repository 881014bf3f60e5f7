"""Owns the bytes of a stream that framers look at, with the packet each byte came in. Does not know any framing."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator
from itertools import islice

LOOKED_AT = 64  # packets of which bytes wait in a stream; of more the earliest is not looked for anew


class ByteStream:
    """A growing row of bytes; whoever takes bytes from its front learns the packet that completed them."""

    def __init__(self) -> None:
        self.data = bytearray()
        self._marks: deque[tuple[int, int]] = deque()  # (bytes of the packet that are left, number of the packet)

    @property
    def pieces(self) -> int:
        """Return of how many packets there are bytes."""
        return len(self._marks)

    def __len__(self) -> int:
        return len(self.data)

    def append(self, data: bytes, packet: int) -> None:
        """Add bytes that came in the packet of this number."""
        if data:
            self.data += data
            self._marks.append((len(data), packet))

    def starts(self, most: int) -> Iterator[int]:
        """Yield where the pieces begin that came last, the latest first, at most so many."""
        place = len(self.data)
        for length, _ in islice(reversed(self._marks), most):
            place -= length
            yield place

    def earliest(self) -> int | None:
        """Return the earliest packet that brought any of the bytes; None where there are none."""
        return min((packet for _, packet in self._marks), default=None)

    def take(self, count: int) -> tuple[bytes, int]:
        """Remove `count` bytes from the front; return them and the latest packet that brought any of them."""
        taken = bytes(self.data[:count])
        del self.data[:count]
        latest = 0
        while count > 0 and self._marks:
            length, packet = self._marks.popleft()
            latest = max(latest, packet)
            if length > count:
                self._marks.appendleft((length - count, packet))
            count -= length
        return taken, latest


class Unfinished:
    """Which streams hold bytes that are told later, and the earliest packet that brought any of them."""

    def __init__(self) -> None:
        self._packets: dict[Hashable, int] = {}

    def begin(self, name: Hashable, packet: int) -> None:
        """Say that bytes of this packet come to a stream; what they complete is told from now on."""
        self._packets[name] = min(self._packets.get(name, packet), packet)

    def settle(self, name: Hashable, stream: ByteStream | None) -> None:
        """Say that all that could be told of a stream was told; `stream` is what waits in it."""
        if not stream:
            self._packets.pop(name, None)
        elif stream.pieces <= LOOKED_AT:
            self._packets[name] = stream.earliest() or 0

    def earliest(self) -> int | None:
        """Return the earliest packet of any stream; None where none holds bytes."""
        return min(self._packets.values(), default=None)
