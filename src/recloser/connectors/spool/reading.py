"""Owns reading what a spool's segments hold, also while another process writes them. Appends nothing."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import msgspec

from recloser.connectors.points import nanoseconds
from recloser.connectors.spool.record import Gap, Record, decode
from recloser.core import Clock, Unavailable
from recloser.journal import Scan, Segment, discard, identity_of, quarantine, scan, segments

DAMAGED = "a segment of the spool was damaged: records in it are lost"
LOOKS = 20


class SealedSpool:
    """The sealed segments of a spool that another process writes: whole, durable, and never written again.

    Args:
        folder: of the spool.
        clock: tells when damage was noted.

    Raises:
        Unavailable: the folder cannot be used now.
    """

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder, self._clock = folder, clock
        self.identity = identity_of(folder)

    def pending(self, after: int = 0) -> Iterator[Record]:
        """Yield what lies in sealed segments, in order, beyond a sequence; damaged places come as gaps.

        Raises:
            Unavailable: a segment cannot be read, or holds a record of a later release.
        """
        for segment, following in self._ended():
            if following - 1 <= after:
                continue
            content = segment.read()
            found = scan(content, segment.salt)
            if found.damages:
                quarantine(segment, content, found.damages)
            for sequence, body in with_holes(segment, found, following):
                if sequence <= after:
                    continue
                now_ns = nanoseconds(self._clock.now())
                lost = Gap(sequence, "", now_ns, now_ns, DAMAGED)
                record = lost if body is None else known_record(segment, sequence, body)
                if record is not None:
                    yield record

    def release(self, through: int) -> None:
        """Delete the segments whose records are all stored, up to and with this sequence.

        Raises:
            Unavailable: the disk did not allow it; the same call may be repeated.
        """
        for segment, following in self._ended():
            if following - 1 <= through:
                try:
                    discard(segment)
                except OSError as error:
                    raise Unavailable("a stored segment stays", got=error.strerror, where=str(segment.path)) from error

    def _ended(self) -> list[tuple[Segment, int]]:
        """Return the sealed segments up to the first open one, each with the first sequence of the next.

        A folder is listed while files are renamed in it: only a look that the next one confirms is believed.
        """
        seen: list[Segment] | None = None
        for _ in range(LOOKS):
            found = segments(self._folder)
            if found == seen:
                break
            seen = found
        else:
            raise Unavailable("the spool changes too fast to be read", where=str(self._folder))
        ended: list[tuple[Segment, int]] = []
        for segment, following in pairwise(found):
            if not segment.sealed:
                break
            ended.append((segment, following.first))
        return ended


def with_holes(segment: Segment, found: Scan, following: int | None) -> Iterator[tuple[int, bytes | None]]:
    """Yield (sequence, body) of a segment in order; None for each record that damage has taken."""
    expected = segment.first
    for sequence, body in found.bodies:
        yield from ((lost, None) for lost in range(expected, sequence))
        yield sequence, body
        expected = sequence + 1
    if following is not None:
        yield from ((lost, None) for lost in range(expected, following))


def known_record(segment: Segment, sequence: int, body: bytes) -> Record | None:
    """Return what a record says; None for the end of a writer.

    Raises:
        Unavailable: a record that this release does not know.
    """
    try:
        return decode(sequence, body)
    except msgspec.MsgspecError as error:
        raise Unavailable(
            "a record of the spool that this release does not know",
            got=str(error),
            where=str(segment.path),
            next_step="Start the release that wrote it; nothing was thrown away.",
        ) from error
