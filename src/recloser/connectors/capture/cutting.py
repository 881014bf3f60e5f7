"""Owns cutting a stream into frames by a protocol's own measure, and going on after damage. Knows no protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from recloser.connectors.capture.stream import ByteStream

Measure = Callable[[bytearray], int]
HEAD = 16  # bytes from which a wary cutter's `measure` tells a length
TRIED = 64  # places of a damaged piece, or beginnings of segments, that are looked at for the next frame


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
        wary: for frames that bytes within one may look like: after damage go on only where a segment begins and holds
            frames alone, or from where on what is there is frames alone; and wait for the rest of no frame whose length
            is belied by a later segment that is frames alone.
    """

    def __init__(self, measure: Measure, *, wary: bool = False) -> None:
        self._measure, self._wary = measure, wary
        self._bytes = ByteStream()
        self._doubt = False

    def feed(self, data: bytes, packet: int, lost: int = 0) -> Iterator[Cut]:
        """Yield the frames, and the bytes that are none, that are whole with these bytes.

        Args:
            data: the next bytes of the stream.
            packet: the packet they came in.
            lost: bytes missing before them.
        """
        if lost:
            reason = f"{lost} bytes of the stream are missing"
            self._doubt = True
            if len(self._bytes):
                yield from self.finish(reason)
            else:
                yield Cut(packet, b"", reason)
        self._bytes.append(data, packet)
        while len(self._bytes):
            length = self._measure(self._bytes.data)
            if self._wary:
                length = self._checked(length)
            if length == 0 or length > len(self._bytes):
                return
            taken, latest = self._bytes.take(abs(length))
            self._doubt = length < 0
            yield Cut(latest, taken, None if length > 0 else f"bytes that begin no frame: {shown(taken)}")

    @property
    def waiting(self) -> ByteStream:
        """Return the bytes that are no whole frame yet."""
        return self._bytes

    def finish(self, reason: str = "the stream ends inside a frame") -> Iterator[Cut]:
        """Yield what is left, as damage."""
        if len(self._bytes):
            taken, latest = self._bytes.take(len(self._bytes))
            yield Cut(latest, taken, f"{reason}: {shown(taken)}")

    def _checked(self, length: int) -> int:
        """Return the length as `measure` does, where it may be believed; else minus the bytes to go over."""
        there = len(self._bytes)
        if length < 0 or (self._doubt and not self._frames_alone(0, cut=True)):
            return -self._next_begin()
        if length <= there:
            return length
        latest = next(self._bytes.starts(1))
        return -latest if latest > 0 and self._frames_alone(latest) else length

    def _next_begin(self) -> int:
        """Return where, after the front, frames may begin; the number of bytes where nowhere."""
        data, starts, tried = self._bytes.data, set(self._bytes.starts(TRIED)), 0
        for place in range(1, len(data)):
            if place in starts:
                if self._frames_alone(place, cut=True):
                    return place
            elif tried < TRIED and self._measure(data[place : place + HEAD]) > 0:
                tried += 1
                if self._frames_alone(place):
                    return place
        return len(data)

    def _frames_alone(self, place: int, *, cut: bool = False) -> bool:
        """Return whether there are frames and nothing else from a place on; the last may be `cut`."""
        data = self._bytes.data
        while place < len(data):
            length = self._measure(data[place : place + HEAD])
            if length <= 0:
                return cut and length == 0
            place += length
        return cut or place == len(data)


def shown(data: bytes) -> str:
    """Return bytes as a person reads them: the first sixteen, and how many there are."""
    return data[:16].hex(" ") + (f" ... ({len(data)} bytes)" if len(data) > 16 else "")
