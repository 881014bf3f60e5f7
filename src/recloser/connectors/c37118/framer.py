"""Owns finding frames in a stream or a datagram, without trust in ports: by SYNC, size and check word.

Does not read payloads. A stream is believed to be C37.118 when one right check word was seen, or when frames fill what
came exactly; until then nothing is told about it, so that other traffic makes no noise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from recloser.connectors.c37118.frame import PREFIX, SYNC, crc_ok, plausible
from recloser.connectors.capture import ByteStream

HELD = 64  # strange frames kept until a stream is known
SEGMENTS = 64  # looked at for a good frame while another is waited for


@dataclass(frozen=True, slots=True)
class Found:
    """A frame, or bytes that are none.

    Attributes:
        packet: the packet that completed it.
        data: the bytes.
        error: why they are not a good frame; None for a good one.
        framed: whether the bytes have the form of a frame, so that their envelope may be told.
    """

    packet: int
    data: bytes
    error: str | None = None
    framed: bool = True


def frames_in_datagram(data: bytes, packet: int) -> list[Found]:
    """Return the frames of one datagram; an empty list where it is not C37.118."""
    found: list[Found] = []
    place = 0
    while len(data) - place >= 4 and plausible(data[place : place + 4]):
        size = data[place + 2] << 8 | data[place + 3]
        frame = data[place : place + size]
        if len(frame) < size:
            if not found and not _typical(data):
                return []
            return [*found, Found(packet, frame, "the datagram ends inside a frame", framed=len(frame) >= PREFIX.size)]
        found.append(Found(packet, frame, None if crc_ok(frame) else "wrong check word"))
        place += size
    good = any(item.error is None for item in found)
    if place < len(data):
        return [*found, Found(packet, data[place:], "bytes that are no frame", framed=False)] if good else []
    return found


def _typical(data: bytes) -> bool:
    """Return whether a cut frame is worth a row: more than the envelope is there."""
    return len(data) > PREFIX.size


class StreamFramer:
    """Cuts the bytes of one direction of a connection into frames; finds the next frame after damage."""

    def __init__(self) -> None:
        self._bytes = ByteStream()
        self._sure = False
        self._held: list[Found] = []

    @property
    def empty(self) -> bool:
        """Return whether all that came has been told."""
        return not len(self._bytes) and not self._held

    @property
    def waiting(self) -> bytes:
        """Return the bytes that are no whole frame yet."""
        return bytes(self._bytes.data)

    @property
    def holds(self) -> bool:
        """Return whether frames are held until the stream is known."""
        return bool(self._held)

    @property
    def unfinished(self) -> ByteStream | None:
        """Return the bytes of which something may be told yet; None where there are none."""
        return self._bytes if len(self._bytes) and (self._sure or len(self._bytes) >= PREFIX.size) else None

    def release(self) -> bytes:
        """Return the bytes that are no whole frame yet, and forget them."""
        return self._bytes.take(len(self._bytes))[0] if len(self._bytes) else b""

    def feed(self, data: bytes, packet: int, lost: int = 0) -> Iterator[Found]:
        """Yield the frames that are whole with these bytes.

        Args:
            data: the next bytes of the stream.
            packet: the packet they came in.
            lost: bytes missing before them.
        """
        if lost:
            reason = f"{lost} bytes of the stream are missing"
            if len(self._bytes):
                yield from self.finish(reason)
            else:
                yield from self._tell(Found(packet, b"", reason, framed=False))
        self._bytes.append(data, packet)
        while (item := self._next()) is not None:
            yield from self._tell(item)

    def finish(self, reason: str = "the stream ends inside a frame") -> Iterator[Found]:
        """Yield what is left, as damage."""
        if len(self._bytes):
            whole = len(self._bytes) >= PREFIX.size and plausible(self._bytes.data)
            data, packet = self._bytes.take(len(self._bytes))
            yield from self._tell(Found(packet, data, reason, framed=whole))

    def _tell(self, item: Found) -> Iterator[Found]:
        """Yield the item once the stream is known to be C37.118; frames before that are held, other bytes not."""
        if self._sure:
            yield from self._held
            self._held.clear()
            yield item
        elif item.framed and len(self._held) < HELD:
            self._held.append(item)

    def _next(self) -> Found | None:
        """Return the next frame or run of strange bytes; None until more has come."""
        data = self._bytes.data
        if len(data) < 4:
            return None
        if not plausible(data):
            return self._skip(0)
        size = data[2] << 8 | data[3]
        if len(data) < size:
            return self._skip(1) if self._good_frame_inside() else None
        good = crc_ok(bytes(data[:size]))
        if not good and not self._closes(size):
            return self._skip(1)
        self._sure = self._sure or good or len(data) == size
        frame, packet = self._bytes.take(size)
        return Found(packet, frame, None if good else "wrong check word")

    def _good_frame_inside(self) -> bool:
        """Return whether a later segment begins with a good frame: then the size of the one waited for is wrong."""
        data = self._bytes.data
        for place in self._bytes.starts(SEGMENTS):
            head = data[place : place + 4]
            if place <= 0 or len(head) < 4 or not plausible(head):
                continue
            end = place + (head[2] << 8 | head[3])
            if end <= len(data) and crc_ok(data[place:end]):
                return True
        return False

    def _closes(self, size: int) -> bool:
        """Return whether a frame with a wrong check word at least ends where the next one begins, or where all ends."""
        rest = self._bytes.data[size : size + 4]
        return not rest or (rest[0] == SYNC and (len(rest) < 4 or plausible(rest)))

    def _skip(self, start: int) -> Found:
        data = self._bytes.data
        place = data.find(SYNC, start)
        while place >= 0 and len(data) - place >= 4 and not plausible(data[place : place + 4]):
            place = data.find(SYNC, place + 1)
        skipped, packet = self._bytes.take(len(data) if place < 0 else max(place, 1))
        return Found(packet, skipped, "bytes that are no frame", framed=False)
