"""Owns reading what a tick needs from the ledger. Decides nothing and writes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from recloser.ledger import (
    ActRecord,
    ForecastRecord,
    Ledger,
    PairedDayRecord,
    ReleaseRecord,
    RolloutRecord,
    RouteRecord,
    StateRecord,
)
from recloser.rollout.paired.pairing import PairedDay, day_from_record
from recloser.rollout.people.approval import Approval
from recloser.rollout.people.orders import approvals_of
from recloser.rollout.rollout import BARRED, FINISHED, TRYING, Rollout, RolloutState, World

FENCE = "rollout.fence"
"""Key of the record that every change of the controller swaps: of two controllers one is refused."""
_ALIVE = sorted(str(state) for state in RolloutState if state not in FINISHED)


class RolloutReader:
    """Reads rollouts and what belongs to them; keeps nothing between calls."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def world(self) -> World:
        """Return the rollouts alive, the route, and the fence; the fence is read first.

        What another controller writes from here on makes our change a Conflict.
        """
        fence = self.fence()
        records = self._ledger.find(RolloutRecord, state=_ALIVE, order_by="started_at")
        route = self._ledger.get(RouteRecord, "route")
        return World(tuple(Rollout.from_record(record) for record in records), route, {}, fence)

    def fence(self) -> int:
        """Return the present version of the fence."""
        return self._ledger.version_of(StateRecord, FENCE)

    def with_releases(self, world: World, names: Sequence[str]) -> World:
        """Return the world with the releases of these names and all their rollouts, finished ones included."""
        found = [self._ledger.get(ReleaseRecord, name) for name in names]
        known = {rollout.key for rollout in world.rollouts}
        records = self._ledger.find(RolloutRecord, release=list(names), order_by="started_at") if names else []
        more = [Rollout.from_record(record) for record in records if record.key not in known]
        releases = {record.key: record for record in found if record is not None}
        return replace(world, rollouts=(*world.rollouts, *more), releases=releases)

    def of_release(self, release: str) -> list[Rollout]:
        """Return all rollouts of a release, finished ones included, by start."""
        records = self._ledger.find(RolloutRecord, release=release, order_by="started_at")
        return [Rollout.from_record(record) for record in records]

    def rollout(self, key: str) -> Rollout | None:
        """Return the rollout of that key, or None."""
        record = self._ledger.get(RolloutRecord, key)
        return None if record is None else Rollout.from_record(record)

    def days(self, rollout: Rollout) -> list[PairedDay]:
        """Return the closed days of a rollout on trial; none of another."""
        if rollout.state not in TRYING:
            return []
        return [day_from_record(record) for record in self._ledger.find(PairedDayRecord, rollout=rollout.key)]

    def package(self, release: str) -> str:
        """Return the digest of the release's package, empty if it is unknown."""
        record = self._ledger.get(ReleaseRecord, release)
        return "" if record is None else record.digest

    def standing(self, release: str) -> str:
        """Return why a release may not serve by what became of it, or an empty text."""
        record = self._ledger.get(ReleaseRecord, release)
        state = "unknown" if record is None else record.state
        return f"it is {state}" if state in {"unknown", *BARRED} else ""

    def approvals(self, rollout: Rollout) -> tuple[Approval, ...]:
        """Return what people have approved of a rollout that awaits it, of any case."""
        if rollout.state is not RolloutState.AWAITING_APPROVAL:
            return ()
        return approvals_of(self._ledger.find(ActRecord, rollout=rollout.key, kind="approve", order_by="at"))

    def forecasts(self, releases: Iterable[str], after: datetime) -> dict[str, list[ForecastRecord]]:
        """Return by release the forecasts that are not void and have a target at or after `after` (aware UTC)."""
        return {
            release: self._ledger.find(ForecastRecord, release=release, void=False, since=("last_target", after))
            for release in sorted(set(releases))
        }
