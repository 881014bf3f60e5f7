"""Owns what a step leaves to read: acts, trips, notices, the audit entry's event and facts. Writes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from recloser.core import digest_of, format_utc, short_id
from recloser.ledger import ActRecord, ForecastRecord, NoticeRecord, TripRecord
from recloser.rollout.decide import Action
from recloser.rollout.evidence import CommandKind, Evidence
from recloser.rollout.moves import Move
from recloser.rollout.people.approval import approval_key
from recloser.rollout.recall import RecallPlan
from recloser.rollout.rollout import Rollout, RolloutState, World

_S = RolloutState


def acts_of(moves: Sequence[Move], lasts: timedelta, now: datetime) -> tuple[ActRecord, ...]:
    """Return what a person decided, where the moves carry out a command; a rollback to a release is one act.

    An override that asks others is a yes as well, to the case that they are asked about; it counts for `lasts`.
    """
    command = moves[0].evidence.command
    if command is None or moves[0].action.handled != command.key:
        return ()
    rollout = moves[0].rollout
    neither = command.kind in {CommandKind.HOLD, CommandKind.RESUME}
    act = ActRecord(
        key=short_id("act", [command.key, rollout.key]),
        at=now,
        rollout=rollout.key,
        release=rollout.release,
        kind=str(command.kind),
        name=command.actor,
        role=command.role,
        reason=command.reason,
        evidence_digest=rollout.case or digest_of(moves[0].evidence.summary()),
        expires_at=None,
        followed=None if neither else False,
    )
    case = moves[0].action.case
    if command.kind is not CommandKind.OVERRIDE or not case:
        return (act,)
    until = (moves[0].evidence.today or now) + lasts
    yes = replace(act, key=approval_key(rollout.key, case, command.actor), kind="approve", evidence_digest=case)
    return (act, replace(yes, expires_at=until, followed=None))


def notices_of(
    world: World,
    first: Move,
    trips: Sequence[TripRecord],
    voids: Sequence[ForecastRecord],
    alarms: Sequence[str],
    now: datetime,
) -> tuple[NoticeRecord, ...]:
    """Return what consumers must be told of a recall, and people of an alarm.

    An id follows from the rollout, `now` and the fence that the change swaps: two steps never share one, not even at
    one instant, and a step that is decided again after a crash has the same.
    """
    found = []
    if voids:
        whose = sorted({record.release for record in voids})  # of a rung alone where a release serves again
        subject = first.rollout.release if first.rollout.release in whose else whose[0]
        data = {
            "release": subject,
            "reason": first.action.reason,
            "tier": first.action.tier,
            "trips": [trip.key for trip in trips],
            "void_ids": sorted(record.key for record in voids),
            "new_ids": sorted({record.replaced_by for record in voids if record.replaced_by is not None}),
            "recalled": [{"area": r.area, "void": r.key, "new": r.replaced_by} for r in voids],
        }
        key = short_id("notice", [first.rollout.key, now, world.fence])
        found.append(NoticeRecord(key, now, "recall", subject, data))
    if alarms:
        data = {
            "release": first.rollout.release,
            "rollout": first.rollout.key,
            "reason": first.action.reason,
            "tier": first.action.tier,
            "alarms": list(alarms),
        }
        key = short_id("notice", [first.rollout.key, now, world.fence, "alarm"])
        found.append(NoticeRecord(key, now, "alarm", first.rollout.release, data))
    return tuple(found)


def silence_of(rollout: Rollout, evidence: Evidence, now: datetime) -> NoticeRecord | None:
    """Return the alarm about a trial that no label tells anything of any more, or None.

    The machine holds and its deadline goes on; that the label feed is dead is for people. One alarm for each outage:
    its id follows from the rollout and from how many of its days have told something.
    """
    if evidence.labels_missing_since is None or rollout.phase not in {_S.SHADOW, _S.CANARY, _S.PROBATION}:
        return None
    told = [day.closed_at for day in evidence.days if day.n > 0]
    since = max([rollout.tried_at or rollout.since, *told])
    if now - since < timedelta(days=rollout.plan.label_deadline_days + 1.0):
        return None
    text = f"no label has told anything of {rollout.release} since {format_utc(since)}: it holds until its deadline"
    data = {"release": rollout.release, "rollout": rollout.key, "reason": text, "tier": "labels", "alarms": [text]}
    key = short_id("notice", [rollout.key, "labels", len(told)])
    return NoticeRecord(key, now, "alarm", rollout.release, data)


def is_trip(action: Action) -> bool:
    """Return whether the step is written down as a trip."""
    return action.state is _S.TRIPPED or action.recall


def trip_of(world: World, move: Move, plan: RecallPlan | None, now: datetime) -> TripRecord:
    """Return the trip of a move, with the forecasts that it recalls."""
    recalled = [] if plan is None else [recall.old for recall in plan.recalls] + list(plan.unrecallable)
    return TripRecord(
        key=short_id("trip", [move.rollout.key, now, world.fence]),
        at=now,
        release=move.rollout.release,
        tier=move.action.tier,
        reason=move.action.reason,
        recalled=recalled,
    )


def event_of(move: Move) -> str:
    """Return the name of the audit entry, without its room."""
    action, command = move.action, move.evidence.command
    if action.event == "harm":
        return "fall_back"
    if command is not None and action.handled == command.key and command.kind is CommandKind.REJECT:
        return "reject"
    if action.tier and action.state in {_S.SHADOW, _S.HELD}:
        return "pull"
    if action.handled and action.state is _S.HELD:
        return "hold"
    if action.handled and move.rollout.state is _S.HELD and action.state is not _S.ROLLED_BACK:
        return "resume"
    return {_S.TRIPPED: "trip", _S.ROLLED_BACK: "rollback", _S.ABORTED: "abort", _S.PROBATION: "promote"}.get(
        action.state, str(action.state)
    )


def facts_of(move: Move) -> dict[str, Any]:
    """Return the facts of the audit entry, JSON-ready."""
    summary = move.evidence.summary()
    return {
        "rollout": move.rollout.key,
        "from": str(move.rollout.state),
        "to": str(move.action.state),
        "step": move.action.step,
        "reason": move.action.reason,
        "tier": move.action.tier,
        "numbers": move.action.numbers,
        "evidence": summary,
        "evidence_digest": digest_of(summary),
    }
