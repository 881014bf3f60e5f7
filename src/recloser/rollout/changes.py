"""Owns what one decision means for the records: rollouts, route, releases, trips, forecasts. Pure; writes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from recloser.core import Refused, digest_of, short_id
from recloser.ledger import ActRecord, ForecastRecord, NoticeRecord, ReleaseRecord, RouteRecord, TripRecord
from recloser.rollout.decide import Action, Target, apply
from recloser.rollout.evidence import CommandKind, Evidence
from recloser.rollout.people.approval import approval_key
from recloser.rollout.recall import RecallPlan, recall_plan, record_of, served_of, voided
from recloser.rollout.rollout import STOPPED, TRYING, Rollout, RolloutState, World

_S = RolloutState


@dataclass(frozen=True, slots=True)
class Settings:
    """What holds for all rollouts of a project.

    Attributes:
        resolution: length of one target interval.
        lease: how long gateways keep sending traffic to a canary without hearing from the controller.
        fallback: the ladder under the champion, in order.
        approvals_last: how long the yes counts that an override is.
    """

    resolution: timedelta
    lease: timedelta = timedelta(minutes=15)
    fallback: tuple[str, ...] = ("seasonal_naive", "persistence")
    approvals_last: timedelta = timedelta(hours=72)


@dataclass(frozen=True, slots=True)
class Move:
    """One rollout and the action decided about it on that evidence."""

    rollout: Rollout
    action: Action
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Writes:
    """The one change that carries out some moves; all of it in one transaction."""

    event: str
    subject: str
    facts: dict[str, Any]
    rollouts: tuple[Rollout, ...] = ()
    route: RouteRecord | None = None
    releases: tuple[ReleaseRecord, ...] = ()
    trips: tuple[TripRecord, ...] = ()
    voided: tuple[ForecastRecord, ...] = ()
    reissued: tuple[ForecastRecord, ...] = ()
    alarms: tuple[str, ...] = ()
    acts: tuple[ActRecord, ...] = ()
    notices: tuple[NoticeRecord, ...] = ()


def writes_of(
    world: World,
    moves: Sequence[Move],
    target: Target | None,
    forecasts: Mapping[str, Sequence[ForecastRecord]],
    settings: Settings,
    now: datetime,
) -> Writes:
    """Return the records that carry out the moves.

    Args:
        world: as read before.
        moves: at least one; the first names the event.
        target: the route wanted; None leaves it.
        forecasts: by release, those not void of every release to be recalled.
        settings: of the project.
        now: aware UTC.
    """
    first = moves[0]
    serving = world.champion if target is None else target.champion
    rollouts = {move.rollout.key: apply(move.rollout, move.action, now) for move in moves}
    for other in _side_effects(world, moves, target, now):
        rollouts.setdefault(other.key, other)
    plans = {
        move.rollout.release: recall_plan(
            [served_of(record) for record in forecasts.get(move.rollout.release, ())],
            now,
            serving,
            resolution=settings.resolution,
            ladder=settings.fallback,
        )
        for move in moves
        if move.action.recall
    }
    trips = [_trip(move, plans.get(move.rollout.release), now) for move in moves if _is_trip(move.action)]
    voids, reissues = _recalled(plans, forecasts, moves, now)
    lost = [name for plan in plans.values() for name in plan.unrecallable]
    alarms = [move.action.alarm for move in moves if move.action.alarm]
    if lost:
        told = f"{len(lost)} recalled forecasts have no replacement: {', '.join(lost[:5])}"
        alarms = ["; ".join([*alarms, told])]  # one cause, one alarm
    cohort = first.rollout.plan.cohort_at(first.action.step)
    return Writes(
        event=f"rollout.{_event(first)}",
        subject=first.rollout.release,
        facts={**_facts(first), "recalled": len(voids), "unrecallable": lost, "alarms": alarms},
        rollouts=tuple(rollouts.values()),
        route=None if target is None else route_of(world, target, first.action.reason, cohort, settings, now),
        releases=_releases(world, moves, serving),
        trips=tuple(trips),
        voided=voids,
        reissued=reissues,
        alarms=tuple(alarms),
        acts=acts_of(moves, settings, now),
        notices=notices_of(first, trips, voids, now),
    )


def route_of(
    world: World, target: Target, reason: str, cohort: tuple[str, ...], settings: Settings, now: datetime
) -> RouteRecord:
    """Return the next route record: the target with the next epoch, and a lease where a canary gets traffic."""
    canary = target.canary is not None
    return RouteRecord(
        key="route",
        epoch=world.epoch + 1,
        champion=target.champion,
        canary=target.canary,
        share=target.share,
        cohort=list(cohort) if canary else [],
        shadow=target.shadow,
        fallback=list(settings.fallback),
        lease_until=now + settings.lease if canary else None,
        reason=reason,
        at=now,
    )


def renewed(route: RouteRecord, settings: Settings, now: datetime) -> RouteRecord | None:
    """Return the route with a longer lease when half of it is used up, else None; an expired lease is not renewed."""
    if route.lease_until is None or not now < route.lease_until <= now + settings.lease / 2:
        return None
    return replace(route, lease_until=now + settings.lease)


def companions(world: World, moves: Sequence[Move], target: Target | None) -> list[Move]:
    """Return the moves that must go with these: when only the ladder is left, the champion's rollout trips too (I9)."""
    if target is None or target.champion is not None:
        return []
    moved = {move.rollout.key for move in moves}
    reason = f"falls with {moves[0].rollout.release}: {moves[0].action.reason}"
    return [
        Move(
            other,
            Action(_S.TRIPPED, reason, recall=True, event="falls_with", tier=moves[0].action.tier),
            moves[0].evidence,
        )
        for other in world.rollouts
        if other.state is _S.CHAMPION and other.key not in moved
    ]


def rollback_subject(world: World) -> Rollout:
    """Return the rollout that an operator's rollback without a target is about: the one whose release has traffic.

    Raises:
        Refused: there is none.
    """
    trying = [r for r in world.rollouts if r.state in TRYING]
    exposed = [r for r in trying if r.phase in {_S.CANARY, _S.PROBATION}]
    serving = [r for r in world.rollouts if r.state is _S.CHAMPION and r.release == world.champion]
    for rollout in (*exposed, *serving, *trying):
        return rollout
    raise Refused("nothing to roll back: no release serves", where="rollback", next_step="See `recloser status`.")


def reopening(world: World, to: str, evidence: Evidence) -> tuple[list[Move], Target]:
    """Return the moves and the route of an operator's rollback to a retained release.

    Args:
        world: with all rollouts and the record of `to`.
        to: the release to return to.
        evidence: the command, and whether `to` verifies (target_ready).

    Raises:
        Refused: `to` serves already, was never champion (a rollback cannot promote), was tripped or does not verify.
    """
    back = world.latest_of(to)
    record = world.releases.get(to)
    trying = [r for r in world.rollouts if r.state in TRYING and r.phase is not _S.QUEUED]
    problem = ""
    if back is None or record is None:
        problem = "it was never champion: a rollback cannot promote"
    elif back.state is _S.TRIPPED or record.state in {"tripped", "refused"}:
        problem = f"it is {record.state}"
    elif evidence.target_ready is not True:
        problem = evidence.ready_reason or "it does not verify"
    elif any(r.release == to for r in trying):
        problem = "it is the one on trial"
    elif world.champion == to and not trying:
        problem = "it serves already"
    if problem or back is None:
        raise Refused(f"cannot roll back to this release: {problem}", got=to, where="rollback")
    command = evidence.command
    by = "" if command is None else f"{command.actor}: {command.reason}"
    key = "" if command is None else command.key
    exposed = {_S.CANARY, _S.PROBATION, _S.CHAMPION}
    moves = [
        Move(
            rollout,
            Action(
                _S.ROLLED_BACK if rollout.release == world.champion or rollout.state in TRYING else _S.RETIRED,
                f"rolled back to {to} by {by}",
                recall=rollout.phase in exposed and (rollout.state in TRYING or rollout.release == world.champion),
                event="rollback_to",
                tier="operator",
                handled=key,
            ),
            evidence,
        )
        for rollout in (*trying, *(r for r in world.rollouts if r.state is _S.CHAMPION))
        if rollout.release != to
    ]
    if not moves:
        moves = [
            Move(
                back,
                Action(_S.CHAMPION, f"restored by {by}", event="rollback_to", tier="operator", handled=key),
                evidence,
            )
        ]
    return moves, Target(to)


def _side_effects(world: World, moves: Sequence[Move], target: Target | None, now: datetime) -> list[Rollout]:
    """Return the other rollouts that follow: the replaced champion retires, a returning champion is restored."""
    moved = {move.rollout.key for move in moves}
    ending = {move.rollout.release for move in moves if move.action.state in {_S.TRIPPED, _S.ROLLED_BACK}}
    found: list[Rollout] = []
    for move in moves:
        if move.action.state is _S.CHAMPION:
            found += [
                other.ended(_S.RETIRED, f"replaced by {move.rollout.release}", now)
                for other in world.rollouts
                if other.state is _S.CHAMPION and other.key not in moved
            ]
    if target is not None and target.champion is not None and target.champion not in ending:
        back = world.latest_of(target.champion)
        if back is not None and back.key not in moved and back.state not in {_S.CHAMPION, _S.PROBATION, *STOPPED}:
            found.append(back.restored(f"serves again: {moves[0].action.reason}", now))
    return found


def _releases(world: World, moves: Sequence[Move], serving: str | None) -> tuple[ReleaseRecord, ...]:
    states: dict[str, str] = {}
    for move in moves:
        former = move.rollout.champion
        if former is not None and move.action.state in {_S.PROBATION, _S.CHAMPION}:
            states[former] = "retired" if move.action.state is _S.CHAMPION else "accepted"
        if move.action.state is _S.TRIPPED:
            states[move.rollout.release] = "tripped"
        elif move.action.state is _S.ROLLED_BACK:
            states[move.rollout.release] = "retired"
    if serving is not None:
        states[serving] = "champion"
    known = [(world.releases[name], state) for name, state in states.items() if name in world.releases]
    return tuple(replace(record, state=state) for record, state in known if record.state != state)


def acts_of(moves: Sequence[Move], settings: Settings, now: datetime) -> tuple[ActRecord, ...]:
    """Return what a person decided, where the moves carry out a command; a rollback to a release is one act.

    An override that asks others is a yes as well: to the case that they are asked about.
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
    until = (moves[0].evidence.today or now) + settings.approvals_last
    yes = replace(act, key=approval_key(rollout.key, case, command.actor), kind="approve", evidence_digest=case)
    return (act, replace(yes, expires_at=until, followed=None))


def notices_of(
    first: Move, trips: Sequence[TripRecord], voids: Sequence[ForecastRecord], now: datetime
) -> tuple[NoticeRecord, ...]:
    """Return what consumers must be told of a recall; its id follows from the rollout and `now`."""
    if not voids:
        return ()
    data = {
        "release": first.rollout.release,
        "reason": first.action.reason,
        "tier": first.action.tier,
        "trips": [trip.key for trip in trips],
        "void_ids": sorted(record.key for record in voids),
        "new_ids": sorted({record.replaced_by for record in voids if record.replaced_by is not None}),
        "recalled": [{"area": r.area, "void": r.key, "new": r.replaced_by} for r in voids],
    }
    return (NoticeRecord(short_id("notice", [first.rollout.key, now]), now, "recall", first.rollout.release, data),)


def _is_trip(action: Action) -> bool:
    return action.state is _S.TRIPPED or action.recall


def _trip(move: Move, plan: RecallPlan | None, now: datetime) -> TripRecord:
    recalled = [] if plan is None else [recall.old for recall in plan.recalls] + list(plan.unrecallable)
    return TripRecord(
        key=short_id("trip", [move.rollout.key, now]),
        at=now,
        release=move.rollout.release,
        tier=move.action.tier,
        reason=move.action.reason,
        recalled=recalled,
    )


def _recalled(
    plans: Mapping[str, RecallPlan],
    forecasts: Mapping[str, Sequence[ForecastRecord]],
    moves: Sequence[Move],
    now: datetime,
) -> tuple[tuple[ForecastRecord, ...], tuple[ForecastRecord, ...]]:
    reasons = {move.rollout.release: move.action.reason for move in moves}
    voids: list[ForecastRecord] = []
    reissues: dict[str, ForecastRecord] = {}
    for release, plan in plans.items():
        records = {record.key: record for record in forecasts.get(release, ())}
        for recall in plan.recalls:
            voids.append(voided(records[recall.old], now, reasons[release], recall.new.id))
            reissues[recall.new.id] = record_of(recall.new)
        voids += [voided(records[name], now, reasons[release], None) for name in plan.unrecallable]
    return tuple(voids), tuple(reissues.values())


def _event(move: Move) -> str:
    action, command = move.action, move.evidence.command
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


def _facts(move: Move) -> dict[str, Any]:
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
