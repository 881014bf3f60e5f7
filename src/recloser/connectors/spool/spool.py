"""Owns the bounded spool of one connector: accept durably, read in order, release what is stored, never lose silently.

Decides nothing about the store: `forwarding.py` moves. For one thread; the forwarder may be another process's reader.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from recloser.connectors.points import PointReading, ReadingBlock, Readings, nanoseconds, parts_of
from recloser.connectors.spool.reading import DAMAGED, known_record, with_holes
from recloser.connectors.spool.record import (
    Batch,
    Gap,
    LinkChange,
    Record,
    encode_close,
    encode_gap,
    encode_link,
    encode_readings,
    says_closed,
)
from recloser.core import Clock, InvalidInput, Unavailable
from recloser.journal import (
    Journal,
    OpenFile,
    Segment,
    SegmentFile,
    discard,
    examine,
    finish,
    identity_of,
    quarantine,
    scan,
    segments,
    take_lock,
)

OVERHEAD = 64  # bytes of a record's frame and of the segment that may begin after it
UNCLEAN = "the last process ended without closing the spool: what came in its last moments may be missing"
FULL = "the spool was full: the oldest readings were dropped"


@dataclass(frozen=True, slots=True)
class SpoolPolicy:
    """Bounds of a spool, and what happens at them.

    Attributes:
        most_bytes: of all segments together.
        segment_bytes: a segment of this size is closed and the next one begun.
        when_full: 'refuse' (nothing more is accepted; the connector must not acknowledge) or 'drop_oldest' (the oldest
            segment goes, counted in a gap record).
        segment_s: `seal_due` closes a segment this long after its first record; 0 for as soon as it holds one.
    """

    most_bytes: int = 1 << 30
    segment_bytes: int = 8 << 20
    when_full: str = "refuse"
    segment_s: float = 0.0

    def __post_init__(self) -> None:
        if self.when_full not in {"refuse", "drop_oldest"}:
            raise InvalidInput("unknown policy of a full spool", got=self.when_full, expected="refuse or drop_oldest")
        if not 0 < self.segment_bytes * 2 <= self.most_bytes:
            raise InvalidInput(
                "a spool smaller than two segments", got=self.most_bytes, expected=f">= {self.segment_bytes * 2}"
            )


@dataclass(frozen=True, slots=True)
class SpoolStatus:
    """What a spool holds: bytes and segments on disk, sequence of the next record, readings dropped since opening."""

    bytes: int
    segments: int
    next_sequence: int
    dropped: int
    in_order: bool


class Spool:
    """Takes the readings of one connector and makes them durable in its folder.

    Args:
        folder: of this connector alone; made if absent.
        policy: bounds.
        clock: tells when a gap was noted.
        timer: monotonic seconds.
        open_file: makes the file of a segment.

    Raises:
        Unavailable: another process writes there, or the folder cannot be used now.
    """

    def __init__(
        self,
        folder: Path,
        policy: SpoolPolicy,
        clock: Clock,
        timer: Callable[[], float],
        open_file: Callable[[Segment], OpenFile] = SegmentFile,
    ) -> None:
        self._folder, self._policy, self._clock = folder, policy, clock
        self._lock = take_lock(folder)
        self._dropped, self._stored = 0, 0
        try:
            self.identity = identity_of(folder)
            takeover = examine(folder, says_closed)
            self.recovery = takeover.recovery
            self._next = takeover.recovery.next_sequence
            self._journal = Journal(folder, self._next, timer, open_file)
            finish(takeover)
            if not self.recovery.in_order:
                self._write(lambda n: encode_gap(self._gap_now(n, UNCLEAN)))
        except (OSError, Unavailable) as error:
            os.close(self._lock)
            raise self._unavailable(error) from error

    def accept(self, readings: Readings) -> int:
        """Make readings durable and return their latest sequence; only now may the peer be told that they arrived.

        Each block is a record of its own, and each run of single readings; all are durable together.

        Raises:
            InvalidInput: no readings.
            Unavailable: the disk did not take them, or the spool is full and refuses; nothing was accepted, and the
                same call may be repeated.
        """
        bodies = [encode_readings(part) for part in parts_of(readings)]
        if not bodies:
            raise InvalidInput("no readings to accept")
        self._make_room(sum(len(body) + OVERHEAD for body in bodies))
        try:
            return self._append(bodies)
        except OSError as error:
            raise self._unavailable(error) from error

    def tell_gap(self, source: str, start_ns: int, end_ns: int, reason: str) -> int:
        """Record that readings of a source are missing, in order with the others; raises as `accept`."""
        return self._accepted(lambda n: encode_gap(Gap(n, source, start_ns, end_ns, reason)))

    def tell_link(self, source: str, state: str, at_ns: int, reason: str) -> int:
        """Record a change of the link, in order with the readings; raises as `accept`."""
        return self._accepted(lambda n: encode_link(LinkChange(n, source, state, at_ns, reason)))

    def seal_due(self) -> None:
        """Close the open segment if it is old enough, so that another process may move it away.

        Raises:
            Unavailable: the disk did not allow it; nothing is lost, the same call may be repeated.
        """
        if self._journal.empty or self._journal.age_s < self._policy.segment_s:
            return
        try:
            self._journal.rotate()
        except OSError as error:
            raise self._unavailable(error) from error

    def pending(self, after: int = 0) -> Iterator[Record]:
        """Yield what was accepted, in order, beyond a sequence; damaged places come as gaps.

        Raises:
            Unavailable: a segment cannot be read, or holds a record of a later release.
        """
        known = segments(self._folder)
        for place, segment in enumerate(known):
            following = known[place + 1].first if place + 1 < len(known) else None
            content = segment.read()
            found = scan(content, segment.salt)
            if found.damages and segment.sealed:
                quarantine(segment, content, found.damages)
            for sequence, body in with_holes(segment, found, following):
                if sequence <= after:
                    continue
                after = sequence
                record = self._lost(sequence) if body is None else known_record(segment, sequence, body)
                if record is not None:
                    yield record

    def release(self, through: int) -> None:
        """Give back the disk of segments whose records are all stored, up to and with this sequence.

        Raises:
            Unavailable: the disk did not allow it; nothing is lost, the same call may be repeated.
        """
        self._stored = max(self._stored, through)
        try:
            if through >= self._next - 1 and not self._journal.empty:
                self._journal.rotate()
            known = segments(self._folder)
            for segment, following in pairwise(known):
                if segment.sealed and following.first - 1 <= through:
                    discard(segment)
        except OSError as error:
            raise self._unavailable(error) from error

    def status(self) -> SpoolStatus:
        """Return what the spool holds."""
        known = segments(self._folder)
        return SpoolStatus(_size(known), len(known), self._next, self._dropped, self.recovery.in_order)

    def close(self) -> None:
        """End in order, with all records in sealed segments; the folder may be opened again."""
        with suppress(OSError):
            if not self._journal.empty:
                self._journal.rotate()
            self._write(lambda _: encode_close())
        self._journal.close()
        os.close(self._lock)

    def _accepted(self, body: Callable[[int], bytes]) -> int:
        try:
            return self._write(body)
        except OSError as error:
            raise self._unavailable(error) from error

    def _write(self, body: Callable[[int], bytes]) -> int:
        return self._append([body(self._next)])

    def _append(self, bodies: Sequence[bytes]) -> int:
        self._journal.append(list(enumerate(bodies, self._next)), sync=True)
        self._next += len(bodies)
        if self._journal.size >= self._policy.segment_bytes:
            with suppress(OSError):  # made up for with the next record: this one is durable
                self._journal.rotate()
        return self._next - 1

    def _make_room(self, needed: int) -> None:
        """Drop the oldest segments, or refuse, where the readings would not fit.

        Raises:
            Unavailable: full and refusing, or nothing is left to drop.
        """
        known = segments(self._folder)
        while _size(known) + needed > self._policy.most_bytes:
            oldest = known[0] if known and known[0].sealed else None
            if self._policy.when_full == "refuse" or oldest is None:
                raise Unavailable(
                    "the spool is full",
                    got=f"{_size(known)} bytes",
                    expected=f"at most {self._policy.most_bytes}",
                    where=str(self._folder),
                    next_step="See why the store takes nothing; readings are refused until then.",
                )
            self._drop(oldest)
            known = segments(self._folder)

    def _drop(self, segment: Segment) -> None:
        """Drop a segment; the gap is durable before the readings are gone. One that was moved just now is no loss."""
        if not segment.path.exists():
            return
        bodies = scan(segment.read(), segment.salt).bodies
        found = [known_record(segment, *body) for body in bodies if body[0] > self._stored]
        batches = [record.readings for record in found if isinstance(record, Batch)]
        gaps = [record for record in found if isinstance(record, Gap)]
        earlier, count = sum(gap.dropped for gap in gaps), sum(map(len, batches))
        times = [t_ns for batch in batches for t_ns in _arrivals(batch)]
        times += [t_ns for gap in gaps for t_ns in (gap.start_ns, gap.end_ns)]
        times = times or [self._now_ns()]
        gap = Gap(self._next, "", min(times), max(times), FULL, count + earlier)
        self._accepted(lambda _: encode_gap(gap))
        discard(segment)
        self._dropped += count

    def _lost(self, sequence: int) -> Gap:
        return self._gap_now(sequence, DAMAGED)

    def _gap_now(self, sequence: int, reason: str) -> Gap:
        return Gap(sequence, "", self._now_ns(), self._now_ns(), reason)

    def _now_ns(self) -> int:
        return nanoseconds(self._clock.now())

    def _unavailable(self, error: OSError | Unavailable) -> Unavailable:
        if isinstance(error, Unavailable):
            return error
        return Unavailable(
            "the spool's disk did not take it",
            got=error.strerror,
            where=str(self._folder),
            next_step="Make room on the disk; nothing was acknowledged that is not durable.",
        )


def _arrivals(readings: tuple[PointReading, ...] | ReadingBlock) -> list[int]:
    if isinstance(readings, ReadingBlock):
        return list(readings.receive_ns.tolist())
    return [reading.receive_ns for reading in readings]


def _size(known: Sequence[Segment]) -> int:
    total = 0
    for segment in known:
        with suppress(FileNotFoundError):
            total += segment.path.stat().st_size
    return total
