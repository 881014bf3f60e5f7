"""Owns who leads under a name: a record with an epoch (the fencing token) and a lease. Knows not what a leader does."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self

from recloser.core import Clock, RecloserError, Unavailable, format_utc, parse_utc
from recloser.ledger.commit import Fence
from recloser.ledger.ledger import Ledger
from recloser.ledger.records import StateRecord

ACTOR = "leader"


class Leadership:
    """The lead under a name, from the beginning of the block to its end or until somebody newer takes it.

    Whoever holds the ledger's `hold` of the name leads at once: the one before it has ended, or lost its session.
    Without the hold the lead is taken only when the lease of the one before has run out: it hangs or is paused. In
    either case the epoch grows, and from then on no change of an older leader is written, whenever it wakes up.

    Args:
        ledger: where it is written.
        name: what is led.
        holder: who leads, for people.
        clock: the present.
        lease: how long a leader that cannot be told dead is left in peace; renewed when half of it is used up.
    """

    def __init__(self, ledger: Ledger, name: str, holder: str, clock: Clock, lease: timedelta) -> None:
        self._plain, self._name, self._holder, self._clock, self._lease = ledger, name, holder, clock, lease
        self._key = f"leader/{name}"
        self._stack = ExitStack()
        self._held = False
        self.ledger = ledger
        """The ledger whose changes carry this leader's epoch."""
        self.epoch = 0

    def __enter__(self) -> Self:
        """Take the lead.

        Raises:
            Unavailable: somebody else leads, or the ledger cannot be reached now.
            Refused: somebody else took it at the same moment.
        """
        with ExitStack() as stack:
            stack.callback(self._stack.close)
            self._held = self._hold()
            self._take(self._clock.now())
            stack.pop_all()  # taken: the hold is given back at the end of the block
        return self

    def _hold(self) -> bool:
        try:
            self._stack.enter_context(self._plain.hold(self._name))
        except Unavailable:
            return False
        return True

    def _take(self, now: datetime) -> None:
        stored = self._plain.stored(StateRecord, self._key)
        before: dict[str, Any] = {"epoch": 0, "held": True} if stored is None else stored.record.state
        alive = not (self._held and before["held"])
        if alive and (stored is None or now < parse_utc(before["until"], self._key)):
            raise Unavailable(
                "another process leads",
                got=before.get("holder", "unknown"),
                where=f"{self._name} of this ledger",
                next_step=f"Stop it, or wait until {before.get('until', 'it ends')}.",
            )
        self.epoch = int(before["epoch"]) + 1
        self._write(self._plain, "leader.begin", 0 if stored is None else stored.version, now)
        self.ledger = self._plain.fenced(Fence(self._key, self.epoch))

    def keep(self) -> bool:
        """Renew the lease where half of it is used up; False once somebody newer leads: this process must end.

        Raises:
            Unavailable: the ledger cannot be reached now.
            Refused: somebody took the lead at this moment.
        """
        now, stored = self._clock.now(), self._plain.stored(StateRecord, self._key)
        if stored is None or stored.record.state["epoch"] != self.epoch:
            return False
        until = parse_utc(stored.record.state["until"], self._key)
        if not now + self._lease / 2 < until <= now + self._lease:  # later than that: the clock was set back
            self._held = self._held or self._hold()
            self._write(self.ledger, "leader.renew", stored.version, now)
        return True

    def _write(self, ledger: Ledger, action: str, version: int, now: datetime, lease: timedelta | None = None) -> None:
        until = format_utc(now + (self._lease if lease is None else lease))
        state = {"epoch": self.epoch, "holder": self._holder, "until": until, "held": self._held}
        with ledger.change(ACTOR, now) as change:
            change.put(StateRecord(self._key, now, state), expected_version=version)
            change.note(action, self._name, state)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._held:  # nothing else would tell that this one has ended
            with suppress(RecloserError):
                version = self._plain.version_of(StateRecord, self._key)
                self._write(self.ledger, "leader.end", version, self._clock.now(), timedelta(0))
        self._stack.close()
