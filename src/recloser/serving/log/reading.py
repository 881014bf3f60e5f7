"""Owns reading the records of the prediction log back. Segments and their recovery are the journal's."""

from __future__ import annotations

from dataclasses import dataclass

from recloser.journal import Damage, Segment, scan
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


def says_closed(body: bytes) -> bool:
    """Return whether a record is the one that a writer leaves when it ends in order."""
    return isinstance(decode(body), CloseRecord)
