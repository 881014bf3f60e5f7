"""Owns what waits to be written: a bounded queue that numbers answers and keeps count of those it had to drop.

Not thread safe: the log calls it under its lock. Writes nothing.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from recloser.serving.log.record import Decided, GapRecord, Record, microseconds, weight_of

FULL = "the disk took no records and the queue was full, or the log could not be opened"


class Entry(NamedTuple):
    """One thing to write, with its sequence and about how many bytes it holds."""

    sequence: int
    item: Decided | Record
    weight: int


class Waiting:
    """Numbers every answer, keeps what fits and counts the rest as a gap.

    Args:
        first: sequence of the first answer.
        limit: bytes that may wait; what is being written counts until `release`.
    """

    def __init__(self, first: int, limit: int) -> None:
        self._entries: deque[Entry] = deque()
        self._limit = limit
        self._gap: GapRecord | None = None
        self.next = first
        self.weight = 0
        self.dropped = 0
        self.gaps = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def gap_open(self) -> bool:
        """Tell whether the newest answers were dropped."""
        return self._gap is not None

    def offer(self, decided: Decided) -> int | None:
        """Return the sequence of an answer that will be written, None if it was dropped for lack of room."""
        weight = weight_of(decided)
        if self.weight and self.weight + weight > self._limit:
            self.drop(microseconds(decided.made_at))
            return None
        self.end_gap()
        return self._add(decided, weight)

    def drop(self, from_us: int, to_us: int | None = None, count: int = 1) -> None:
        """Count answers of that time as not logged; each uses up a sequence."""
        gap = self._gap
        self.gaps += gap is None
        first, begun = (self.next, from_us) if gap is None else (gap.first, gap.from_us)
        self.next += count
        self.dropped += count
        self._gap = GapRecord(first, self.next - 1, begun, from_us if to_us is None else to_us, FULL)

    def add(self, record: Record) -> int:
        """Queue a record of the log's own and return its sequence."""
        return self._add(record, 200)

    def end_gap(self) -> None:
        """Queue the record of the gap, if there is one."""
        gap, self._gap = self._gap, None
        if gap is not None:
            self.add(gap)

    def take(self) -> list[Entry]:
        """Return everything that waits; it counts until it is released."""
        if not self._entries:
            self.end_gap()
        taken = list(self._entries)
        self._entries.clear()
        return taken

    def release(self, weight: int) -> None:
        """Forget so many bytes that were taken and are written now."""
        self.weight -= weight

    def _add(self, item: Decided | Record, weight: int) -> int:
        sequence = self.next
        self._entries.append(Entry(sequence, item, weight))
        self.next += 1
        self.weight += weight
        return sequence
