"""Owns reading segments back, and putting a folder in order after any end of its writer. Appends nothing."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from recloser.core import Unavailable
from recloser.serving.log.folder import Segment, discard, quarantine, seal, segments
from recloser.serving.log.frame import Damage, scan
from recloser.serving.log.record import CloseRecord, Record, decode


@dataclass(frozen=True, slots=True)
class Contents:
    """What one segment says.

    Attributes:
        records: (sequence, record), ascending.
        damages: bytes that are no frame.
        unknown: sequences of whole frames whose form this release does not know.
        good_end: end of the last good frame.
    """

    records: list[tuple[int, Record]]
    damages: list[Damage]
    unknown: list[int]
    good_end: int

    @property
    def newest(self) -> int | None:
        """Return the highest sequence in it, None if it holds no good frame."""
        ends = [self.records[-1][0]] if self.records else []
        return max([*ends, *self.unknown], default=None)


def read_segment(segment: Segment, content: bytes | None = None) -> Contents:
    """Return every record of a segment that is whole.

    Raises:
        Unavailable: the file cannot be read.
    """
    found = scan(segment.read() if content is None else content, segment.salt)
    records, unknown = [], []
    for sequence, body in found.bodies:
        record = decode(body)
        if record is None:
            unknown.append(sequence)
        else:
            records.append((sequence, record))
    return Contents(records, found.damages, unknown, found.good_end)


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


def examine(folder: Path) -> Takeover:
    """Cut torn tails, keep damaged bytes in quarantine, and tell where the sequence goes on; repeatable.

    Raises:
        Unavailable: the folder cannot be read or written.
    """
    known = segments(folder)
    after, in_order, cut, damaged = 1, True, 0, 0
    for segment in known:
        if segment.sealed and segment != known[-1]:
            continue
        content = segment.read()
        found = read_segment(segment, content)
        if not segment.sealed:
            quarantine(segment, content, found.damages)
            cut += _cut(segment, content, found)
            damaged += sum(not damage.tail for damage in found.damages)
        after = max(after, segment.first, 0 if found.newest is None else found.newest + 1)
        last = found.records[-1][1] if found.records else None
        in_order = isinstance(last, CloseRecord) and not found.damages
    still_open = tuple(segment for segment in known if not segment.sealed)
    return Takeover(Recovery(after, in_order, cut, damaged, len(still_open)), still_open)


def finish(takeover: Takeover) -> None:
    """Seal what the last writer left open; only after a newer segment exists, which alone names the next sequence."""
    for segment in takeover.to_seal:
        if read_segment(segment).newest is not None:
            seal(segment)
        else:
            discard(segment)


def _cut(segment: Segment, content: bytes, found: Contents) -> int:
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
