"""Owns bringing what forges show in line with the ledger: each status that is not there yet is sent until it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from recloser.app.clock import timer_of
from recloser.app.delivery.commits.states import CommitStatus
from recloser.app.delivery.courier import SETTLED, WORTH
from recloser.app.delivery.patience import Patience
from recloser.core import Clock, Refused, Unavailable
from recloser.ledger import DeliveryRecord, Ledger


class StatusBoard(Protocol):
    """Where statuses are shown; `send` is called from one thread, and may be called again with the same status."""

    @property
    def name(self) -> str:
        """Name of the channel, the same after a restart."""
        ...

    def send(self, status: CommitStatus) -> None:
        """Send once; returning is the receipt.

        Raises:
            Unavailable: it takes no status now.
            Refused: it does not take this one.
        """
        ...


class StatusCourier:
    """Sends what a forge does not show yet; what changed while it could not be reached is sent as it stands then.

    The ledger's records are the outbox: nothing is queued, so nothing is lost by a kill, and a kill between receipt and
    record sends once more. Waits grow from one second to ten minutes. A status of a week ago is given up, once.

    Args:
        ledger: holds what was delivered.
        board: the forge.
        wanted: tells all statuses as the ledger has them now, oldest first.
        clock: the present.
        changed: tells whether the ledger may have changed since it was last asked.
    """

    def __init__(
        self,
        ledger: Ledger,
        board: StatusBoard,
        wanted: Callable[[], Sequence[CommitStatus]],
        clock: Clock,
        changed: Callable[[], bool] = lambda: True,
    ) -> None:
        self._ledger, self._board, self._wanted, self._clock, self._changed = ledger, board, wanted, clock, changed
        self._patience = Patience(timer_of(clock))
        self._settled: dict[str, str] = {}
        self._waiting = True

    def tick(self) -> int:
        """Send what is due, oldest first; return how many receipts there were.

        Raises:
            Unavailable: the ledger cannot be used now; tick again.
            Refused: another controller leads.
        """
        if not self._changed() and not self._waiting:
            return 0
        now, receipts = self._clock.now(), 0
        wanted = [status for status in self._wanted() if self._settled.get(self._key(status)) != status.key]
        self._waiting = bool(wanted)  # and stays so if anything below raises
        left = 0
        for status in wanted:
            before = self._ledger.get(DeliveryRecord, self._key(status))
            if before is not None and before.notice == status.key and before.state in SETTLED:
                self._settled[self._key(status)] = status.key
                continue
            left += 1
            if not self._patience.due(self._board.name):
                break
            if self._patience.due(self._key(status)):
                sent = self._send(status, before, now)
                receipts, left = receipts + sent, left - sent
        self._waiting = left > 0
        return receipts

    def _send(self, status: CommitStatus, before: DeliveryRecord | None, now: datetime) -> int:
        try:
            self._board.send(status)
        except (Unavailable, Refused) as error:
            away = isinstance(error, Unavailable)
            tries = self._patience.failed(self._board.name if away else self._key(status))
            why = error.explain()
            if now - status.at > WORTH:
                self._record(status, "given_up", tries, why)
            elif before is None or before.error != why or before.notice != status.key:
                self._record(status, "failing", tries, why)
            return 0
        tries = self._patience.tries(self._key(status)) + self._patience.tries(self._board.name) + 1
        self._patience.worked(self._board.name)
        self._record(status, "delivered", tries, None)
        return 1

    def _key(self, status: CommitStatus) -> str:
        return f"{status.commit}/{status.context}/{self._board.name}"

    def _record(self, status: CommitStatus, state: str, tries: int, error: str | None) -> None:
        now, key = self._clock.now(), self._key(status)
        with self._ledger.change("courier", now) as change:
            change.put(DeliveryRecord(key, status.key, self._board.name, now, state, tries, error))
            told = {"status": str(status.mark), "said": status.description, "context": status.context}
            facts = {**told, "channel": self._board.name, "attempts": tries, "reason": error}
            change.note(f"status.{state}", status.commit, facts)
        if state in SETTLED:
            self._settled[key] = status.key
