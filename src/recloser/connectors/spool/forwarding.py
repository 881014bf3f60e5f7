"""Owns moving a spool into a store exactly once. Does not own either."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from recloser.connectors.points import ReadingBlock
from recloser.connectors.spool.record import Batch, Record

TOGETHER, IN_BLOCKS = 20_000, 250_000  # readings, after which a commit ends: single ones, and those of blocks


class SpoolSource(Protocol):
    """A spool to move from: a `Spool` in the process that writes it, a `SealedSpool` in another."""

    identity: str

    def pending(self, after: int = 0) -> Iterator[Record]:
        """Yield the records beyond a sequence, in order."""
        ...

    def release(self, through: int) -> None:
        """Give back the disk of what is stored."""
        ...


class ReadingSink(Protocol):
    """Where readings go. Not thread safe.

    `store` commits the records and the sequence of the last of them in ONE transaction and is idempotent: records not
    above the last sequence committed for the stream change nothing. It raises Unavailable when it cannot now; nothing
    was stored then.
    """

    def committed(self, stream: str) -> int:
        """Return the highest sequence committed for a stream, 0 for none."""
        ...

    def store(self, stream: str, records: Sequence[Record]) -> None:
        """Commit neighbouring records of a stream; Unavailable where it cannot be now."""
        ...


class Forwarder:
    """Moves one spool into one sink, in order."""

    def __init__(self, spool: SpoolSource, sink: ReadingSink) -> None:
        self._spool, self._sink = spool, sink
        self._stream = f"spool:{spool.identity}"

    def step(self, most: int = 1_000) -> int:
        """Move up to `most` records, some together, and release what is stored; return how many were moved.

        A crash at any line is made up for by the next step: the sink knows what it has, the spool keeps the rest.

        Raises:
            Unavailable: the sink or the disk cannot now; what was moved stays moved.
        """
        done, moved, waiting, size = self._sink.committed(self._stream), 0, list[Record](), 0.0
        for record in self._spool.pending(done):
            if moved + len(waiting) >= most:
                break
            waiting.append(record)
            size += _share(record)
            if size >= 1.0:
                self._sink.store(self._stream, waiting)
                done, moved, waiting, size = record.sequence, moved + len(waiting), [], 0.0
        if waiting:
            self._sink.store(self._stream, waiting)
            done, moved = waiting[-1].sequence, moved + len(waiting)
        self._spool.release(done)
        return moved


def _share(record: Record) -> float:
    """Return how much of a commit a record makes."""
    if not isinstance(record, Batch):
        return 1 / TOGETHER
    return len(record.readings) / (IN_BLOCKS if isinstance(record.readings, ReadingBlock) else TOGETHER)
