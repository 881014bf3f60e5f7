"""Owns putting one step into one change of the ledger. Computes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from recloser.ledger import Change, StateRecord
from recloser.rollout.changes import Writes
from recloser.rollout.control.reading import FENCE
from recloser.rollout.paired.pairing import PairedDay, day_to_record
from recloser.rollout.rollout import Rollout


def put_fence(change: Change, now: datetime, fence: int) -> None:
    """Make a change a Conflict if any other was written since the fence of this version was read."""
    change.put(StateRecord(FENCE, now, {"by": change.actor}), expected_version=fence)


def put_writes(change: Change, writes: Writes) -> None:
    """Add all records and audit notes of one step to a change."""
    for record in (
        *(rollout.to_record() for rollout in writes.rollouts),
        *writes.releases,
        *writes.trips,
        *writes.voided,
        *writes.reissued,
        *writes.acts,
        *writes.notices,
    ):
        change.put(record)
    if writes.route is not None:
        change.put(writes.route)
    change.note(writes.event, writes.subject, writes.facts)
    for act in writes.acts:
        if act.kind == "override":
            facts = {"rollout": act.rollout, "reason": act.reason, "role": act.role, "act": act.key}
            change.note("rollout.override", act.release, facts)


def put_days(change: Change, rollout: Rollout, fresh: Sequence[PairedDay]) -> None:
    """Add newly closed days to a change."""
    change.add_all(day_to_record(rollout.key, item) for item in fresh)
    days = [[item.day.isoformat(), item.difference, item.n] for item in fresh]
    change.note("rollout.days", rollout.release, {"rollout": rollout.key, "days": days})
