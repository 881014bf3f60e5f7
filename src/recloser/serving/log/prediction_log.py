"""Owns the log that a gateway appends to: hands over, syncs in groups, survives a full disk. Reads nothing back."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from recloser.core import Clock, Unavailable
from recloser.journal import (
    Journal,
    OpenFile,
    Recovery,
    Segment,
    SegmentFile,
    examine,
    finish,
    identity_of,
    sync_folder,
    take_lock,
)
from recloser.serving.log.policy import LogPolicy, LogStatus
from recloser.serving.log.reading import says_closed
from recloser.serving.log.record import CloseRecord, Decided, GapRecord, encode, microseconds, record_of
from recloser.serving.log.waiting import Entry, Waiting

UNCLEAN = "the last process ended without closing the log: answers of its last moments may be missing"
SLOW = "the disk takes records more slowly than answers are given"
ENDED = "the writer met a defect and ended; restart this gateway"
UNTOLD = "an answer that cannot be written down"


class PredictionLog:
    """Takes every answer of one gateway process and makes it durable in its folder; thread safe.

    `append` never blocks on the disk and never raises because of it. A thread writes: all that queued up while the
    last sync ran is written and synced together. While the disk takes nothing, answers wait up to the bound, are then
    dropped and counted, and a gap record is written as soon as there is room again.

    Args:
        folder: of this process alone; made if absent.
        policy: settings.
        clock: tells when a gap was noted.
        timer: monotonic seconds, for the age of segments.
        open_file: makes the file of a segment.

    Raises:
        Unavailable: another process writes there, or the folder cannot be used now.
    """

    def __init__(
        self,
        folder: Path,
        policy: LogPolicy,
        clock: Clock,
        *,
        timer: Callable[[], float] = time.monotonic,
        open_file: Callable[[Segment], OpenFile] = SegmentFile,
    ) -> None:
        self._policy = policy
        self._clock = clock
        self._lock = take_lock(folder)
        try:
            sync_folder(folder.parent)
            self.identity = identity_of(folder)
            takeover = examine(folder, says_closed)
            self.recovery: Recovery = takeover.recovery
            self._journal = Journal(folder, takeover.recovery.next_sequence, timer, open_file)
            finish(takeover)
        except OSError as error:
            os.close(self._lock)
            raise Unavailable("the log folder cannot be used", got=error.strerror, where=str(folder)) from error
        except Unavailable:
            os.close(self._lock)
            raise
        self._wake = threading.Condition()
        self._waiting = Waiting(takeover.recovery.next_sequence, policy.queue_bytes)
        self._waiters: list[tuple[int, asyncio.AbstractEventLoop, asyncio.Future[bool]]] = []
        self._status = LogStatus(cut_bytes=self.recovery.cut_bytes, damaged=self.recovery.damaged)
        self._closing = threading.Event()
        if not self.recovery.in_order:
            self._note_unclean_end()
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        self._thread.start()

    def _note_unclean_end(self) -> None:
        first, at_us = self.recovery.next_sequence, microseconds(self._clock.now())
        self._waiting.add(GapRecord(first, None, at_us, at_us, UNCLEAN))

    def append(self, decided: Decided) -> int | None:
        """Hand over one answer; return its sequence, or None if it could not be kept (it is counted as a gap)."""
        with self._wake:
            if self._status.state == "closed" or self._closing.is_set():
                self._waiting.drop(microseconds(decided.made_at))
                return None
            sequence = self._waiting.offer(decided)
            if len(self._waiting) == 1:
                self._wake.notify_all()
            return sequence

    def note_gap(self, count: int, first: datetime, last: datetime) -> None:
        """Note that so many answers between two instants (aware UTC) were given without reaching this log."""
        with self._wake:
            self._waiting.drop(microseconds(first), microseconds(last), count)
            self._wake.notify_all()

    def status(self) -> LogStatus:
        """Return how the log does."""
        with self._wake:
            waiting = self._waiting
            told = replace(self._status, dropped=waiting.dropped, gaps=waiting.gaps, waiting_bytes=waiting.weight)
            slow = told.state == "ok" and waiting.gap_open
            return replace(told, state="stalled", error=SLOW) if slow else told

    @property
    def holds_answers(self) -> bool:
        """Tell whether an answer may leave only after `settled`."""
        return self._policy.sync == "each"

    def wait(self, sequence: int, timeout_s: float) -> bool:
        """Block until the record of that sequence is durable; False if it is not in time or the log is stalled."""
        with self._wake:
            self._wake.wait_for(lambda: self._status.durable >= sequence or self._status.state != "ok", timeout_s)
            return self._status.durable >= sequence

    async def settled(self) -> bool:
        """Return True once everything appended so far is durable; False when the log is stalled or out of patience."""
        future = asyncio.get_running_loop().create_future()
        with self._wake:
            newest = self._waiting.next - 1
            if self._status.durable >= newest:
                return True
            if self._status.state != "ok" or self._waiting.gap_open:
                return False
            self._waiters.append((newest, asyncio.get_running_loop(), future))
        try:
            async with asyncio.timeout(self._policy.patience_s):
                done: bool = await future
        except TimeoutError:
            return False
        return done

    def close(self, timeout_s: float = 5.0) -> bool:
        """Write what waits, say that nothing is missing, and give the folder back; False if the disk took it not."""
        self._closing.set()
        with self._wake:
            self._wake.notify_all()
        self._thread.join(timeout_s)
        with self._wake:
            if self._status.state == "closed":
                return not self._status.error
            error = self._status.error or "the disk did not answer in time"
            self._status = replace(self._status, state="closed", error=error)
        if not self._thread.is_alive():
            self._give_back()
        return False

    def _run(self) -> None:
        try:
            while (batch := self._next_batch()) is not None:
                if batch and not self._write(batch):
                    break
                self._rotate_if_due()
                if self._policy.sync != "each":
                    self._closing.wait(self._policy.pause_s)
            self._end()
        finally:
            if self._status.state != "closed":
                self._stall(OSError(ENDED))

    def _next_batch(self) -> list[Entry] | None:
        """Wait for something to write; empty when a segment grows too old, None when all is written and it is over."""
        with self._wake:
            left = self._until_rotation()
            self._wake.wait_for(lambda: len(self._waiting) or self._waiting.gap_open or self._closing.is_set(), left)
            batch = self._waiting.take()
            return None if self._closing.is_set() and not batch else batch

    def _write(self, batch: list[Entry]) -> bool:
        """Write until the disk takes it; False if the log is closed before that."""
        bodies, weight = [(entry.sequence, self._body(entry)) for entry in batch], sum(e.weight for e in batch)
        batch.clear()
        last_try = False
        while True:
            try:
                self._journal.append(bodies, sync=self._policy.sync != "none" or last_try)
            except OSError as error:
                self._stall(error)
                if last_try:
                    return False
                last_try = self._closing.wait(self._policy.retry_s)
            else:
                self._settle(bodies, weight)
                return True

    def _body(self, entry: Entry) -> bytes:
        if not isinstance(entry.item, Decided):
            return encode(entry.item)
        try:
            return encode(record_of(entry.item, self._policy.inputs))
        except (ValueError, TypeError, OverflowError):
            at_us = microseconds(entry.item.made_at)
            return encode(GapRecord(entry.sequence, entry.sequence, at_us, at_us, UNTOLD))

    def _settle(self, bodies: list[tuple[int, bytes]], weight: int) -> None:
        sequence = bodies[-1][0]
        with self._wake:
            self._waiting.release(weight)
            old = self._status
            self._status = replace(
                old, state="ok", error="", written=old.written + len(bodies), durable=sequence, syncs=old.syncs + 1
            )
            self._tell([waiter for waiter in self._waiters if waiter[0] <= sequence], durable=True)
            self._wake.notify_all()

    def _stall(self, error: OSError) -> None:
        with self._wake:
            self._status = replace(self._status, state="stalled", error=error.strerror or str(error))
            self._tell(list(self._waiters), durable=False)
            self._wake.notify_all()

    def _tell(
        self, waiters: list[tuple[int, asyncio.AbstractEventLoop, asyncio.Future[bool]]], *, durable: bool
    ) -> None:
        for waiter in waiters:
            self._waiters.remove(waiter)
            _, loop, future = waiter
            if not loop.is_closed():
                loop.call_soon_threadsafe(_resolve, future, durable)

    def _until_rotation(self) -> float | None:
        """Return the seconds until the open segment is due to be sealed, None for one without records."""
        journal, policy = self._journal, self._policy
        if journal.empty:
            return None
        return 0.0 if journal.size >= policy.segment_bytes else max(0.0, policy.segment_age_s - journal.age_s)

    def _rotate_if_due(self) -> None:
        """Begin a new segment where it is time; a disk that does not allow it is asked again later."""
        if self._until_rotation() != 0.0:
            return
        try:
            self._journal.rotate()
        except OSError as error:
            self._stall(error)
            self._closing.wait(self._policy.retry_s)
        else:
            with self._wake:
                self._status = replace(self._status, state="ok", error="")

    def _end(self) -> None:
        """Say in a segment of its own that nothing is missing, so that all others can be moved away."""
        error = ""
        with self._wake:
            stalled, self._status = self._status.state == "stalled", replace(self._status, state="closed")
            self._waiting.end_gap()
            self._waiting.add(CloseRecord(microseconds(self._clock.now())))
            last = [(entry.sequence, self._body(entry)) for entry in self._waiting.take()]
        try:
            if not stalled:
                if not self._journal.empty:
                    self._journal.rotate()
                self._journal.append(last, sync=True)
        except OSError as failure:
            error = failure.strerror or str(failure)
        self._give_back()
        with self._wake:
            self._status = replace(self._status, error=error or self._status.error)
            self._tell(list(self._waiters), durable=False)
            self._wake.notify_all()

    def _give_back(self) -> None:
        self._journal.close()
        os.close(self._lock)


def _resolve(future: asyncio.Future[bool], durable: bool) -> None:  # noqa: FBT001 - called by the event loop
    if not future.done():
        future.set_result(durable)
