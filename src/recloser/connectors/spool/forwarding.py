"""Owns moving a spool into a store exactly once. Does not own either."""

from __future__ import annotations

from typing import Protocol

from recloser.connectors.spool.record import Batch, Gap
from recloser.connectors.spool.spool import Spool


class ReadingSink(Protocol):
    """Where readings go. Not thread safe.

    `store` commits the readings and the sequence in ONE transaction and is idempotent: a sequence not above the last
    one committed for the stream changes nothing. It raises Unavailable when it cannot now; nothing was stored then.
    """

    def committed(self, stream: str) -> int:
        """Return the highest sequence committed for a stream, 0 for none."""
        ...

    def store(self, stream: str, record: Batch | Gap) -> None:
        """Commit a record of a stream; Unavailable where it cannot be now."""
        ...


class Forwarder:
    """Moves one spool into one sink, in order."""

    def __init__(self, spool: Spool, sink: ReadingSink) -> None:
        self._spool, self._sink = spool, sink
        self._stream = f"spool:{spool.identity}"

    def step(self, most: int = 1_000) -> int:
        """Move up to `most` records and release what is stored; return how many were moved.

        A crash at any line is made up for by the next step: the sink knows what it has, the spool keeps the rest.

        Raises:
            Unavailable: the sink or the disk cannot now; what was moved stays moved.
        """
        done = self._sink.committed(self._stream)
        moved = 0
        for record in self._spool.pending(done):
            if moved >= most:
                break
            self._sink.store(self._stream, record)
            done, moved = max(done, record.sequence), moved + 1
        self._spool.release(done)
        return moved
