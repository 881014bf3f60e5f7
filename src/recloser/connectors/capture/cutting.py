"""Owns cutting a stream into frames by a protocol's own measure, and going on after damage. Knows no protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from recloser.connectors.capture.stream import ByteStream

Measure = Callable[[bytearray], int]


@dataclass(frozen=True, slots=True)
class Cut:
    """Bytes cut from a stream, the packet that completed them, and why they are no frame (None for a frame)."""

    packet: int
    data: bytes
    error: str | None = None


class Cutter:
    """Cuts one direction of a connection.

    Args:
        measure: told the bytes at hand, returns the length of the frame at their front (it may be longer than what is
            there), 0 when more bytes are needed to tell, or minus the number of bytes that begin no frame.
    """

    def __init__(self, measure: Measure) -> None:
        self._measure = measure
        self._bytes = ByteStream()

    def feed(self, data: bytes, packet: int, lost: int = 0) -> Iterator[Cut]:
        """Yield the frames, and the bytes that are none, that are whole with these bytes.

        Args:
            data: the next bytes of the stream.
            packet: the packet they came in.
            lost: bytes missing before them.
        """
        if lost:
            yield from self.finish(f"{lost} bytes of the stream are missing")
        self._bytes.append(data, packet)
        while len(self._bytes):
            length = self._measure(self._bytes.data)
            if length == 0 or length > len(self._bytes):
                return
            taken, latest = self._bytes.take(abs(length))
            yield Cut(latest, taken, None if length > 0 else f"bytes that begin no frame: {shown(taken)}")

    def finish(self, reason: str = "the stream ends inside a frame") -> Iterator[Cut]:
        """Yield what is left, as damage."""
        if len(self._bytes):
            taken, latest = self._bytes.take(len(self._bytes))
            yield Cut(latest, taken, f"{reason}: {shown(taken)}")


def shown(data: bytes) -> str:
    """Return bytes as a person reads them: the first sixteen, and how many there are."""
    return data[:16].hex(" ") + (f" ... ({len(data)} bytes)" if len(data) > 16 else "")
