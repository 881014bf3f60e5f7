"""Owns putting a folder of segments in order after any end of its writer. Appends nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from recloser.core import Unavailable
from recloser.journal.folder import Segment, discard, quarantine, seal, segments
from recloser.journal.frame import Scan, scan


@dataclass(frozen=True, slots=True)
class Recovery:
    """What was found and done when a folder was taken over.

    Attributes:
        next_sequence: of the next record.
        in_order: the last writer closed the log, or there was none.
        cut_bytes: torn bytes behind the last good record, cut off and kept in quarantine.
        damaged: damaged places in the middle of the segments that were open.
        sealed: segments found open and sealed now.
    """

    next_sequence: int = 1
    in_order: bool = True
    cut_bytes: int = 0
    damaged: int = 0
    sealed: int = 0


@dataclass(frozen=True, slots=True)
class Takeover:
    """A recovery and the open segments that it still has to seal once a newer segment exists."""

    recovery: Recovery
    to_seal: tuple[Segment, ...]


def examine(folder: Path, says_closed: Callable[[bytes], bool]) -> Takeover:
    """Cut torn tails, keep damaged bytes in quarantine, and tell where the sequence goes on; repeatable.

    Args:
        folder: of the journal.
        says_closed: whether a record is the one that a writer leaves when it ends in order.

    Raises:
        Unavailable: the folder cannot be read or written.
    """
    known = segments(folder)
    after, in_order, cut, damaged = 1, True, 0, 0
    for segment in known:
        if segment.sealed and segment != known[-1]:
            continue
        content = segment.read()
        found = scan(content, segment.salt)
        if not segment.sealed:
            quarantine(segment, content, found.damages)
            cut += _cut(segment, content, found)
            damaged += sum(not damage.tail for damage in found.damages)
        after = max(after, segment.first, found.bodies[-1][0] + 1 if found.bodies else 0)
        in_order = bool(found.bodies) and says_closed(found.bodies[-1][1]) and not found.damages
    still_open = tuple(segment for segment in known if not segment.sealed)
    return Takeover(Recovery(after, in_order, cut, damaged, len(still_open)), still_open)


def finish(takeover: Takeover) -> None:
    """Seal what the last writer left open; only after a newer segment exists, which alone names the next sequence."""
    for segment in takeover.to_seal:
        if scan(segment.read(), segment.salt).bodies:
            seal(segment)
        else:
            discard(segment)


def _cut(segment: Segment, content: bytes, found: Scan) -> int:
    surplus = len(content) - found.good_end
    if surplus > 0:
        try:
            handle = os.open(segment.path, os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.ftruncate(handle, found.good_end)
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as error:
            raise Unavailable("a torn log cannot be cut", got=error.strerror, where=str(segment.path)) from error
    return max(surplus, 0)
