"""Owns delivering the ledger's notices on every channel at least once. Knows no transport."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from types import TracebackType
from typing import Protocol, Self

from recloser.core import Clock, RecloserError, Unavailable
from recloser.ledger import DeliveryRecord, Ledger, NoticeRecord

FIRST_WAIT = timedelta(seconds=1)
LONGEST_WAIT = timedelta(minutes=10)
WORTH = timedelta(days=7)
LOOK_S = 1.0


class Channel(Protocol):
    """Where notices go; `send` is called from one thread, and may be called again with the same notice."""

    @property
    def name(self) -> str:
        """Name of the channel, the same after a restart."""
        ...

    def send(self, notice: NoticeRecord, now: datetime) -> None:
        """Send once; raises Unavailable when there was no receipt."""
        ...


class Courier:
    """Delivers what the ledger holds and no receipt was written for; a kill between receipt and record sends again.

    Waits grow from one second to ten minutes, per notice and channel, and begin anew with the process. A notice of a
    week ago is given up, once, with an audit entry.

    Args:
        ledger: holds notices and deliveries.
        channels: where to.
        clock: the present.
    """

    def __init__(self, ledger: Ledger, channels: Sequence[Channel], clock: Clock) -> None:
        self._ledger, self._channels, self._clock = ledger, tuple(channels), clock
        self._tries: dict[str, tuple[int, datetime]] = {}

    def tick(self) -> int:
        """Try what is due, oldest first; return how many receipts there were.

        Raises:
            Unavailable: the ledger cannot be used now; tick again.
        """
        if not self._channels:
            return 0
        now = self._clock.now()
        receipts = 0
        for notice in self._ledger.find(NoticeRecord, since=("at", now - 2 * WORTH), order_by="at"):
            done = {record.channel: record for record in self._ledger.find(DeliveryRecord, notice=notice.key)}
            for channel in self._channels:
                record = done.get(channel.name)
                if record is None or record.state == "failing":
                    receipts += self._one(notice, channel, record, now)
        return receipts

    def _one(self, notice: NoticeRecord, channel: Channel, before: DeliveryRecord | None, now: datetime) -> bool:
        key = f"{notice.key}/{channel.name}"
        tries, due = self._tries.get(key, (0, now))
        if now < due:
            return False
        try:
            channel.send(notice, now)
        except Unavailable as error:
            wait = min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(tries, 10))
            self._tries[key] = (tries + 1, now + wait)
            over = now - notice.at > WORTH
            if over or before is None:
                self._record(notice, channel, "given_up" if over else "failing", tries + 1, error.explain())
            return False
        self._tries.pop(key, None)
        self._record(notice, channel, "delivered", tries + 1, None)
        return True

    def _record(self, notice: NoticeRecord, channel: Channel, state: str, tries: int, error: str | None) -> None:
        now = self._clock.now()
        record = DeliveryRecord(f"{notice.key}/{channel.name}", notice.key, channel.name, now, state, tries, error)
        with self._ledger.change("courier", now) as change:
            change.put(record)
            change.note(f"notice.{state}", notice.key, {"channel": channel.name, "attempts": tries, "reason": error})


class CourierThread:
    """Ticks a courier on a thread of its own until the block ends: a slow receiver delays no decision."""

    def __init__(self, courier: Courier, say: Callable[[str], None]) -> None:
        self._courier, self._say = courier, say
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="courier", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(timeout=10.0)

    def _run(self) -> None:
        told = ""
        while not self._ended.wait(LOOK_S):
            try:
                self._courier.tick()
                told = ""
            except RecloserError as error:
                if error.explain() != told:
                    told = error.explain()
                    self._say(f"courier: {told}")
