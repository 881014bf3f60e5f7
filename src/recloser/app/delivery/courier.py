"""Owns delivering the ledger's notices on every channel at least once, in order. Knows no transport and no thread."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

from recloser.app.clock import timer_of
from recloser.app.delivery.events import areas_of
from recloser.app.delivery.patience import Patience
from recloser.core import Clock, Refused, Unavailable
from recloser.ledger import DeliveryRecord, Ledger, NoticeRecord

WORTH = timedelta(days=7)
HOLDS = timedelta(hours=1)
SETTLED = ("delivered", "given_up")


class Channel(Protocol):
    """Where notices go; `send` is called from one thread, and may be called again with the same notice."""

    @property
    def name(self) -> str:
        """Name of the channel, the same after a restart."""
        ...

    def send(self, notice: NoticeRecord, now: datetime) -> None:
        """Send once; returning is the receipt.

        Raises:
            Unavailable: the receiver cannot be reached, so no notice can be sent now.
            Refused: it was reached and gave no receipt for this notice.
        """
        ...


class Courier:
    """Delivers what the ledger holds and no receipt was written for; a kill between receipt and record sends again.

    On each channel the oldest notice goes first. While the receiver cannot be reached none goes. A notice that it does
    not take keeps later ones about the same areas waiting, for an hour at most; others pass. Waits grow from one second
    to ten minutes and begin anew with the process and with every receipt. A notice of a week ago is given up, once,
    with an audit entry.

    Args:
        ledger: holds notices and deliveries.
        channels: where to.
        clock: the present.
    """

    def __init__(self, ledger: Ledger, channels: Sequence[Channel], clock: Clock) -> None:
        self._ledger, self._channels, self._clock = ledger, tuple(channels), clock
        self._patience = Patience(timer_of(clock))
        self._settled: set[str] = set()

    def tick(self) -> int:
        """Try what is due, oldest first; return how many receipts there were.

        Raises:
            Unavailable: the ledger cannot be used now; tick again.
            Refused: another controller leads.
        """
        if not self._channels:
            return 0
        now = self._clock.now()
        notices = self._ledger.find(NoticeRecord, since=("at", now - 2 * WORTH), order_by="at")
        keys = {f"{notice.key}/{channel.name}" for notice in notices for channel in self._channels}
        self._settled &= keys
        return sum(self._deliver(notices, channel, now) for channel in self._channels)

    def _deliver(self, notices: Sequence[NoticeRecord], channel: Channel, now: datetime) -> int:
        receipts, held = 0, set[str]()
        for notice in notices:
            key = f"{notice.key}/{channel.name}"
            if key in self._settled:
                continue
            before = self._ledger.get(DeliveryRecord, key)
            if before is not None and before.state in SETTLED:
                self._settled.add(key)
                continue
            areas = set(areas_of(notice))
            if held & areas or not self._patience.due(key):
                held |= self._holds(notice, now)
                continue
            if not self._patience.due(channel.name):
                break
            try:
                channel.send(notice, now)
            except Unavailable as error:
                self._failed(notice, channel, before, error.explain(), channel.name)
            except Refused as error:
                self._failed(notice, channel, before, error.explain(), key)
                held |= self._holds(notice, now)
            else:
                receipts += 1
                self._took(notice, channel)
        return receipts

    def _holds(self, notice: NoticeRecord, now: datetime) -> set[str]:
        return set(areas_of(notice)) if now - notice.at < HOLDS else set()

    def _took(self, notice: NoticeRecord, channel: Channel) -> None:
        key = f"{notice.key}/{channel.name}"
        tries = self._patience.tries(key) + self._patience.tries(channel.name)
        self._record(notice, channel, "delivered", tries + 1, None)
        self._patience.worked(channel.name)  # it listens again: what waits is tried at once

    def _failed(
        self, notice: NoticeRecord, channel: Channel, before: DeliveryRecord | None, why: str, waits: str
    ) -> None:
        """Note a failure: once, again when its reason changes, and when the notice is given up."""
        now = self._clock.now()
        tries = self._patience.failed(waits)
        if now - notice.at > WORTH:
            self._record(notice, channel, "given_up", tries, why)
        elif before is None or before.error != why:
            self._record(notice, channel, "failing", tries, why)

    def _record(self, notice: NoticeRecord, channel: Channel, state: str, tries: int, error: str | None) -> None:
        now, key = self._clock.now(), f"{notice.key}/{channel.name}"
        record = DeliveryRecord(key, notice.key, channel.name, now, state, tries, error)
        with self._ledger.change("courier", now) as change:
            change.put(record)
            change.note(f"notice.{state}", notice.key, {"channel": channel.name, "attempts": tries, "reason": error})
        if state in SETTLED:
            self._settled.add(key)
