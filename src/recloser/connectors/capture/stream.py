"""Owns the bytes of a stream that framers look at, with the packet each byte came in. Does not know any framing."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice


class ByteStream:
    """A growing row of bytes; whoever takes bytes from its front learns the packet that completed them."""

    def __init__(self) -> None:
        self.data = bytearray()
        self._marks: deque[tuple[int, int]] = deque()  # (bytes of the packet that are left, number of the packet)

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
