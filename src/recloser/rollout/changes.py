"""Owns what one decision means for the records: rollouts, route, releases, trips, forecasts. Pure; writes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from recloser.ledger import ActRecord, ForecastRecord, NoticeRecord, ReleaseRecord, RouteRecord, TripRecord
from recloser.rollout.decide import Target, apply
from recloser.rollout.moves import Move
from recloser.rollout.notices import acts_of, event_of, facts_of, is_trip, notices_of, trip_of
from recloser.rollout.recall import RecallPlan, recall_plan, record_of, return_plan, served_of, voided
from recloser.rollout.rollout import BARRED, STOPPED, Rollout, RolloutState, World

_S = RolloutState


@dataclass(frozen=True, slots=True)
class Settings:
    """What holds for all rollouts of a project.

    Attributes:
        resolution: length of one target interval.
        lease: how long gateways keep sending traffic to a canary without hearing from the controller.
        fallback: the ladder under the champion, in order.
        recheck: how long a release serves on its last verification; then its package is verified again.
        approvals_last: how long the yes counts that an override is.
    """

    resolution: timedelta
    lease: timedelta = timedelta(minutes=15)
    fallback: tuple[str, ...] = ("seasonal_naive", "persistence")
    recheck: timedelta = timedelta(minutes=10)
    approvals_last: timedelta = timedelta(hours=72)


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
        forecasts: by release or rung, those not void of every release to be recalled, and of the ladder on a return.
        settings: of the project.
        now: aware UTC.
    """
    first = moves[0]
    serving = world.champion if target is None else target.champion
    rollouts = {move.rollout.key: apply(move.rollout, move.action, now) for move in moves}
    for other in _side_effects(world, moves, target, now):
        rollouts.setdefault(other.key, other)
    plans = _plans(moves, serving, forecasts, settings, now)
    trips = [trip_of(world, move, plans.get(move.rollout.release), now) for move in moves if is_trip(move.action)]
    voids, reissues = _recalled(plans, forecasts, moves, now)
    lost = [name for plan in plans.values() for name in plan.unrecallable]
    alarms = [move.action.alarm for move in moves if move.action.alarm]
    if lost:
        told = f"{len(lost)} recalled forecasts have no replacement: {', '.join(lost[:5])}"
        alarms = ["; ".join([*alarms, told])]  # one cause, one alarm
    cohort = first.rollout.plan.cohort_at(first.action.step)
    return Writes(
        event=f"rollout.{event_of(first)}",
        subject=first.rollout.release,
        facts={**facts_of(first), "recalled": len(voids), "unrecallable": lost, "alarms": alarms},
        rollouts=tuple(rollouts.values()),
        route=None if target is None else route_of(world, target, _route_reason(first, target), cohort, settings, now),
        releases=_releases(world, moves, serving),
        trips=tuple(trips),
        voided=voids,
        reissued=reissues,
        alarms=tuple(alarms),
        acts=acts_of(moves, settings.approvals_last, now),
        notices=notices_of(world, first, trips, voids, alarms, now),
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
        fallback=sorted(settings.fallback, key=lambda rung: rung != target.rung),
        lease_until=now + settings.lease if canary else None,
        reason=reason,
        at=now,
    )


def _route_reason(first: Move, target: Target) -> str:
    """Return why the route is what it is; what stopped one release must not read as said of the one that serves."""
    stopped = (
        first.action.state in {_S.TRIPPED, _S.ROLLED_BACK, _S.ABORTED} and first.rollout.release != target.champion
    )
    return f"{first.rollout.release} was stopped: {first.action.reason}" if stopped else first.action.reason


def renewed(route: RouteRecord, settings: Settings, now: datetime) -> RouteRecord | None:
    """Return the route with a longer lease when half of it is used up, else None; an expired lease is not renewed."""
    if route.lease_until is None or not now < route.lease_until <= now + settings.lease / 2:
        return None
    return replace(route, lease_until=now + settings.lease)


def _side_effects(world: World, moves: Sequence[Move], target: Target | None, now: datetime) -> list[Rollout]:
    """Return the other rollouts that follow: the replaced champion retires, a returning champion is restored."""
    moved = {move.rollout.key for move in moves}
    found: list[Rollout] = []
    for move in moves:
        if move.action.state is _S.CHAMPION:
            found += [
                other.ended(_S.RETIRED, f"replaced by {move.rollout.release}", now)
                for other in world.rollouts
                if other.state is _S.CHAMPION and other.key not in moved
            ]
    if target is not None and target.champion is not None:
        found += _serving_again(world, moves, target.champion, now)
    return found


def _serving_again(world: World, moves: Sequence[Move], champion: str, now: datetime) -> list[Rollout]:
    """Return the rollouts that follow where a former champion serves again: its own is restored, a wait of it ends."""
    moved = {move.rollout.key: move for move in moves if move.rollout.release == champion}
    found: list[Rollout] = []
    if moved:  # it serves by a rollout that moves and needs no older one of it
        again = any(move.action.event == "rollback_to" for move in moved.values())
    else:
        back = world.latest_of(champion)
        again = back is not None and back.state not in {_S.CHAMPION, _S.PROBATION, *STOPPED}
        if back is not None and again:
            found.append(back.restored(f"serves again: {moves[0].action.reason}", now))
    if not again:
        return found
    kept = {*moved, *(rollout.key for rollout in found)}
    return found + [  # it is not tried against itself
        other.ended(_S.ABORTED, f"{other.release} serves again without a trial", now)
        for other in world.rollouts
        if other.release == champion and other.key not in kept and not other.finished
    ]


def _releases(world: World, moves: Sequence[Move], serving: str | None) -> tuple[ReleaseRecord, ...]:
    states: dict[str, str] = {}
    for move in moves:
        former = move.rollout.champion
        if former is not None and move.action.state in {_S.PROBATION, _S.CHAMPION}:
            states[former] = "retired" if move.action.state is _S.CHAMPION else "accepted"
        if move.action.state in {_S.SHADOW, _S.CANARY}:
            states[move.rollout.release] = "accepted"
        if move.action.state is _S.TRIPPED:
            states[move.rollout.release] = "tripped"
        elif move.action.state is _S.ROLLED_BACK:
            states[move.rollout.release] = "retired"
    if serving is not None:
        states[serving] = "champion"
    known = [(world.releases[name], state) for name, state in states.items() if name in world.releases]
    # What tripped once stays so, whatever becomes of another rollout of it.
    return tuple(replace(record, state=state) for record, state in known if record.state not in {state, *BARRED})


def _plans(
    moves: Sequence[Move],
    serving: str | None,
    forecasts: Mapping[str, Sequence[ForecastRecord]],
    settings: Settings,
    now: datetime,
) -> dict[str, RecallPlan]:
    """Return what is recalled of each release that is stopped, and what of each rung gives way to one returned to."""
    found: dict[str, RecallPlan] = {}
    for move in moves:
        if move.action.recall:
            served = [served_of(record) for record in forecasts.get(move.rollout.release, ())]
            found[move.rollout.release] = recall_plan(
                served, now, serving, resolution=settings.resolution, ladder=settings.fallback
            )
    if moves[0].action.event == "rollback_to" and serving is not None:
        for rung in settings.fallback:
            stood_in = [served_of(record) for record in forecasts.get(rung, ())]
            found[rung] = return_plan(stood_in, now, serving, resolution=settings.resolution)
    return found


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
        why = reasons.get(release, moves[0].action.reason)  # a rung gives way to who is returned to
        records = {record.key: record for record in forecasts.get(release, ())}
        for recall in plan.recalls:
            voids.append(voided(records[recall.old], now, why, recall.new.id))
            reissues[recall.new.id] = record_of(recall.new)
        voids += [voided(records[name], now, why, None) for name in plan.unrecallable]
    return tuple(voids), tuple(reissues.values())
