"""Owns the decision about one rollout: a pure, total function of record, evidence and now. Reads and writes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from recloser.core import format_utc, require_utc
from recloser.rollout.evidence import CommandKind, Evidence
from recloser.rollout.gates import (
    blockers,
    needs_approval,
    override_blockers,
    promoted_days,
    t2_numbers,
    unproven,
    worse_level,
)
from recloser.rollout.people.approval import counted, missing_approvals
from recloser.rollout.people.case import case_digest
from recloser.rollout.plan import RolloutPlan
from recloser.rollout.rollout import HOLDABLE, STOPPED, Rollout, RolloutState

_S = RolloutState


@dataclass(frozen=True, slots=True)
class Target:
    """Who shall serve: champion (None = fallback ladder alone), canary with its share, and the shadow."""

    champion: str | None
    canary: str | None = None
    share: float = 0.0
    shadow: str | None = None


@dataclass(frozen=True, slots=True)
class Action:
    """What one tick does to a rollout.

    Attributes:
        state: the next state; the present one when nothing happens.
        reason: in plain words.
        target: the route wanted; None leaves it as it is.
        recall: re-issue the release's unexpired forecasts.
        tier: T0..T3 or 'operator', 'deadline', 'lease', ... for what ended or pulled it; empty otherwise.
        alarm: what a person must look at now; empty when the automatic response was enough.
        step: the next canary step.
        held_from: the state that a held rollout, or one that awaits approval, stands in.
        pulled: the next value of the rollout's mark.
        handled: key of the command that took effect; empty for none.
        case: what people are asked to approve; empty unless it awaits approval.
        numbers: the test numbers behind it, JSON-ready.
    """

    state: RolloutState
    reason: str
    target: Target | None = None
    recall: bool = False
    tier: str = ""
    alarm: str = ""
    step: int = 0
    held_from: RolloutState | None = None
    pulled: bool = False
    handled: str = ""
    case: str = ""
    numbers: dict[str, Any] = field(default_factory=dict)

    def changes(self, rollout: Rollout) -> bool:
        """Return whether it changes anything about the rollout or the route."""
        held = rollout.held_from if rollout.state in STOPPED else None
        wanted = (self.state, self.step, self.held_from, self.case)
        stands = (rollout.state, rollout.step, held, rollout.case)
        return wanted != stands or self.target is not None or bool(self.handled)


def target_of(rollout: Rollout, phase: RolloutState, step: int = 0) -> Target | None:
    """Return the route that belongs to a phase of the rollout; None where the phase wants nothing."""
    if phase is _S.SHADOW:
        return Target(rollout.champion, shadow=rollout.release)
    if phase is _S.CANARY:
        return Target(rollout.champion, rollout.release, rollout.plan.steps[step].share)
    if phase is _S.PROBATION:
        return Target(rollout.release, shadow=rollout.champion)
    if phase is _S.CHAMPION:
        return Target(rollout.release)
    return None


def decide(rollout: Rollout, evidence: Evidence, now: datetime) -> Action:
    """Return the one step to take now; total over all states and evidence, never raises on them.

    Order: protections first (operator, readiness, T0, T1, T2/T3), then supersession, deadline, lease and the pulling
    of traffic, then holds and overrides, and only then a promotion, which needs every gate and, where the plan says
    so, people. No data holds; a deadline rolls back.

    Args:
        rollout: the record as it stands.
        evidence: what is known; unknown fields never promote.
        now: aware UTC.
    """
    require_utc(now, "decide")
    if rollout.finished:
        return _stay(rollout, f"finished: {rollout.reason}")
    for rule in _RULES:
        action = rule(rollout, evidence, now)
        if action is not None:
            return action
    return _advance(rollout, evidence, now)


def apply(rollout: Rollout, action: Action, now: datetime) -> Rollout:
    """Return the rollout after the action; `since` moves only with state or step."""
    if not action.changes(rollout):
        return rollout
    moved = (action.state, action.step, action.case) != (rollout.state, rollout.step, rollout.case)
    promoted = action.state in {_S.PROBATION, _S.CHAMPION}
    following = replace(
        rollout,
        state=action.state,
        since=now if moved else rollout.since,
        tried_at=now if action.state is _S.SHADOW and rollout.tried_at is None else rollout.tried_at,
        promoted_at=now if promoted and rollout.promoted_at is None else rollout.promoted_at,
        finished_at=None,
        held_from=action.held_from,
        step=action.step,
        pulled=action.pulled,
        handled=action.handled or rollout.handled,
        case=action.case,
        reason=action.reason,
        facts=action.numbers,
    )
    return following.ended(action.state, action.reason, now) if following.finished else following


def _stay(rollout: Rollout, reason: str) -> Action:
    return Action(
        rollout.state,
        reason,
        step=rollout.step,
        held_from=rollout.held_from if rollout.state in STOPPED else None,
        pulled=rollout.pulled,
        case=rollout.case,
    )


def _end(rollout: Rollout, evidence: Evidence, state: RolloutState, reason: str, **extra: Any) -> Action:
    """End the trial: traffic goes to the champion, or to the ladder when that cannot be trusted either (I2, I9)."""
    target, alarm = _retreat(rollout, evidence)
    text = f"{reason}; {alarm}" if alarm else reason
    return Action(state, text, target, alarm=alarm, step=rollout.step, pulled=rollout.pulled, **extra)


def _retreat(rollout: Rollout, evidence: Evidence) -> tuple[Target | None, str]:
    if rollout.phase is _S.QUEUED or not (evidence.reference_serves or rollout.phase in {_S.PROBATION, _S.CHAMPION}):
        return None, ""
    champion = rollout.champion
    if rollout.phase is _S.SHADOW:  # no traffic moves: the champion is judged by its own rollout
        return Target(champion), ""
    if champion is None:
        return Target(None), "no former champion to return to: the fallback ladder serves"
    if evidence.incidents.get(champion, 0) >= rollout.plan.trip_count:
        return Target(None), f"champion {champion} is bad as well: the fallback ladder serves"
    switching = rollout.phase in {_S.PROBATION, _S.CHAMPION}
    if evidence.target_ready is False or (switching and evidence.target_ready is not True):
        return Target(None), f"champion {champion} does not verify: the fallback ladder serves"
    return Target(champion), ""


def _on_rollback_command(rollout: Rollout, evidence: Evidence, _now: datetime) -> Action | None:
    command = evidence.command
    if command is None or command.kind is not CommandKind.ROLLBACK or command.key == rollout.handled:
        return None
    reason = f"rolled back by {command.actor}: {command.reason}"
    recall = rollout.phase in {_S.CANARY, _S.PROBATION, _S.CHAMPION}
    return _end(rollout, evidence, _S.ROLLED_BACK, reason, recall=recall, tier="operator", handled=command.key)


def _on_reject(rollout: Rollout, evidence: Evidence, _now: datetime) -> Action | None:
    command = evidence.command
    if command is None or command.kind is not CommandKind.REJECT or command.key == rollout.handled:
        return None
    if rollout.phase not in {_S.QUEUED, _S.SHADOW, _S.CANARY}:
        return None
    state = _S.ABORTED if rollout.phase is _S.QUEUED else _S.ROLLED_BACK
    reason = f"rejected by {command.actor}: {command.reason}"
    return _end(rollout, evidence, state, reason, tier="operator", handled=command.key)


def _on_unready(rollout: Rollout, evidence: Evidence, _now: datetime) -> Action | None:
    if evidence.ready is not False:
        return None
    reason = f"{rollout.release} is not fit to serve: {evidence.ready_reason or 'readiness or signature failed'}"
    if rollout.phase is _S.QUEUED:
        return _end(rollout, evidence, _S.ABORTED, reason, tier="T0")
    return _end(rollout, evidence, _S.TRIPPED, reason, tier="T0", recall=True)


def _on_incidents(rollout: Rollout, evidence: Evidence, _now: datetime) -> Action | None:
    count, cut = evidence.incidents.get(rollout.release, 0), evidence.cut_off
    numbers: dict[str, Any] = {"incidents": count}
    if rollout.phase is _S.QUEUED:
        return None
    if count >= rollout.plan.trip_count:
        reason = f"the guard refused {count} answers of {rollout.release} (trips at {rollout.plan.trip_count})"
    elif cut is not None:
        reason = f"{rollout.release}: {cut.reason}"
        numbers["failures"] = list(cut.failures)
    else:
        return None
    return _end(rollout, evidence, _S.TRIPPED, reason, tier="T0", recall=True, numbers=numbers)


def _on_divergence(rollout: Rollout, evidence: Evidence, _now: datetime) -> Action | None:
    if rollout.phase not in {_S.SHADOW, _S.CANARY, _S.PROBATION}:
        return None
    gap, limit = evidence.level_gap, evidence.level_limit
    numbers: dict[str, Any] = {"divergence": evidence.divergence, "level_gap": gap, "level_limit": limit}
    if evidence.divergence >= rollout.plan.divergence_steps:
        reason = (
            f"{evidence.divergence} steps in a row further from the champion than staging allows "
            f"(from the {rollout.plan.divergence_quantile:g} quantile; trips at {rollout.plan.divergence_steps})"
        )
    elif gap is not None and limit is not None and not abs(gap) <= limit:
        side = "below" if gap < 0 else "above"
        reason = (
            f"the latest forecasts lie {abs(gap):.1%} of the recent level {side} the other model's; "
            f"staging allows {limit:.1%}"
        )
    elif evidence.odd:
        reason = f"the latest forecasts do not look like the other model's: {'; '.join(evidence.odd)}"
        numbers["odd"] = list(evidence.odd)
    else:
        return None
    return _end(rollout, evidence, _S.TRIPPED, reason, tier="T1", recall=True, numbers=numbers)


def _on_worse(rollout: Rollout, evidence: Evidence, _now: datetime) -> Action | None:
    if rollout.phase not in {_S.SHADOW, _S.CANARY, _S.PROBATION}:
        return None
    tier = "T3" if rollout.phase is _S.PROBATION else "T2"
    numbers = t2_numbers(rollout, promoted_days(rollout, evidence))
    if not numbers["worse"]:
        return None
    reason = (
        f"worse than the champion: mean daily loss {100 * numbers['mean']:+.1f} % over {numbers['days']} days, "
        f"betting wealth {numbers['wealth_worse_max']:.3g} >= {1 / worse_level(rollout):.3g}"
    )
    return _end(rollout, evidence, _S.TRIPPED, reason, tier=tier, recall=True, numbers=numbers)


def _on_lost_reference(rollout: Rollout, evidence: Evidence, _now: datetime) -> Action | None:
    if evidence.reference_serves or rollout.phase not in {_S.SHADOW, _S.CANARY}:
        return None
    reason = f"its champion {rollout.champion} no longer serves: the comparison has lost its reference"
    return _end(rollout, evidence, _S.ABORTED, reason, tier="reference")


def _on_newer(rollout: Rollout, evidence: Evidence, _now: datetime) -> Action | None:
    if evidence.newer is None or rollout.phase not in {_S.QUEUED, _S.SHADOW, _S.CANARY}:
        return None
    return _end(rollout, evidence, _S.ABORTED, f"superseded by the newer release {evidence.newer}", tier="newer")


def _on_deadline(rollout: Rollout, evidence: Evidence, now: datetime) -> Action | None:
    starts = {_S.QUEUED: rollout.started_at, _S.SHADOW: rollout.tried_at, _S.CANARY: rollout.tried_at}
    start = rollout.promoted_at if rollout.phase is _S.PROBATION else starts.get(rollout.phase)
    if start is None or now - start < timedelta(days=rollout.plan.deadline_days):
        return None
    reason = f"undecided {rollout.plan.deadline_days:g} days after {format_utc(start)}"
    state = _S.ABORTED if rollout.phase is _S.QUEUED else _S.ROLLED_BACK
    return _end(rollout, evidence, state, reason, tier="deadline")


def _on_lost_lease(rollout: Rollout, evidence: Evidence, _now: datetime) -> Action | None:
    if not evidence.lease_lost or rollout.phase is not _S.CANARY:
        return None
    return _back_to_shadow(rollout, "the controller was silent longer than the lease", tier="lease")


def _on_pull(rollout: Rollout, evidence: Evidence, _now: datetime) -> Action | None:
    if rollout.phase is not _S.CANARY:
        return None
    numbers = t2_numbers(rollout, evidence.days)
    if not numbers["surely_worse"] or numbers["good"]:
        return None
    reason = (
        f"probably worse than the champion (mean daily loss {100 * numbers['mean']:+.1f} %, lower bound above 0 after "
        f"{numbers['days']} days): traffic pulled, the comparison goes on in shadow"
    )
    return replace(_back_to_shadow(rollout, reason, tier="T2"), recall=True, pulled=True, numbers=numbers)


def _back_to_shadow(rollout: Rollout, reason: str, *, tier: str) -> Action:
    held = rollout.state is _S.HELD
    return Action(
        state=_S.HELD if held else _S.SHADOW,
        held_from=_S.SHADOW if held else None,
        reason=reason,
        target=target_of(rollout, _S.SHADOW),
        tier=tier,
        pulled=rollout.pulled,
    )


def _on_hold_or_resume(rollout: Rollout, evidence: Evidence, _now: datetime) -> Action | None:
    command = evidence.command
    if command is None or command.key == rollout.handled:
        return None
    by = f"by {command.actor}: {command.reason}"
    kept: dict[str, Any] = {"step": rollout.step, "pulled": rollout.pulled, "handled": command.key}
    if command.kind is CommandKind.HOLD and rollout.state is not _S.HELD and rollout.phase in HOLDABLE:
        return Action(_S.HELD, f"held {by}", held_from=rollout.phase, **kept)
    if command.kind is CommandKind.RESUME and rollout.state is _S.HELD and rollout.held_from in HOLDABLE:
        return Action(rollout.held_from, f"resumed {by}", **kept)
    return None


def _on_override(rollout: Rollout, evidence: Evidence, _now: datetime) -> Action | None:
    command = evidence.command
    if command is None or command.kind is not CommandKind.OVERRIDE or command.key == rollout.handled:
        return None
    if rollout.state in {_S.HELD, _S.CHAMPION} or override_blockers(rollout, evidence):
        return None
    return replace(_onward(rollout, evidence, f"override by {command.actor}: {command.reason}; "), handled=command.key)


def _advance(rollout: Rollout, evidence: Evidence, now: datetime) -> Action:
    if rollout.state is _S.HELD:
        return _stay(rollout, f"on hold: {rollout.reason}")
    if rollout.state is _S.CHAMPION:
        return _stay(rollout, "serves as champion; only a protection or an operator changes that")
    if rollout.state is _S.AWAITING_APPROVAL and (action := _void(rollout, evidence, now)) is not None:
        return action
    missing = blockers(rollout, evidence, now)
    if missing:
        return _stay(rollout, "; ".join(missing))
    if needs_approval(rollout):
        if rollout.state is not _S.AWAITING_APPROVAL:
            return _ask(rollout, evidence, now, f"people must approve: {_next(rollout)[2]}")
        people = missing_approvals(rollout.plan, evidence.approvals, rollout.case, rollout.proposer, now)
        if people:
            return _stay(rollout, f"awaiting approval of {rollout.case[:12]}: {'; '.join(people)}")
        approved = counted(evidence.approvals, rollout.case, rollout.proposer, now)
        return _onward(rollout, evidence, f"approved by {', '.join(sorted(approved))}; ")
    return _onward(rollout, evidence)


def _void(rollout: Rollout, evidence: Evidence, now: datetime) -> Action | None:
    """Take a case back that the evidence no longer carries, or ask anew about evidence that changed (I10)."""
    lost = unproven(rollout, evidence)
    if lost and rollout.held_from is not None:
        reason = f"approvals are void: {'; '.join(lost)}"
        return Action(rollout.held_from, reason, step=rollout.step, pulled=rollout.pulled)
    if case_digest(rollout, evidence, rollout.since) != rollout.case:
        return _ask(rollout, evidence, now, "the evidence changed: approvals are void, people must approve anew")
    return None


def _ask(rollout: Rollout, evidence: Evidence, now: datetime, reason: str) -> Action:
    return Action(
        _S.AWAITING_APPROVAL,
        reason,
        step=rollout.step,
        held_from=rollout.phase,
        pulled=rollout.pulled,
        case=case_digest(rollout, evidence, now),
        numbers=t2_numbers(rollout, promoted_days(rollout, evidence)),
    )


def _onward(rollout: Rollout, evidence: Evidence, why: str = "") -> Action:
    """Take the next step."""
    following, step, reason = _next(rollout)
    reason = why + reason
    numbers = t2_numbers(rollout, promoted_days(rollout, evidence))
    if following is _S.PROBATION and numbers["mean"] is not None:
        reason += f"; mean daily loss {100 * numbers['mean']:+.1f} % against it over {numbers['days']} days"
    return Action(
        following, reason, target_of(rollout, following, step), step=step, pulled=rollout.pulled, numbers=numbers
    )


def _next(rollout: Rollout) -> tuple[RolloutState, int, str]:
    steps, phase = rollout.plan.steps, rollout.phase
    if phase is _S.QUEUED and rollout.champion is None:
        return _S.CHAMPION, 0, "first champion: nothing to compare it with but the fallback ladder, staging passed"
    if phase is _S.QUEUED:
        return _S.SHADOW, 0, f"{rollout.release} scores every request beside {rollout.champion}, serves none"
    if phase is _S.SHADOW:
        return _S.CANARY, 0, f"shadow passed: canary with {_reach(rollout.plan, 0)}"
    if phase is _S.CANARY and rollout.step + 1 < len(steps):
        return _S.CANARY, rollout.step + 1, f"canary step passed: {_reach(rollout.plan, rollout.step + 1)}"
    if phase is _S.CANARY:
        return _S.PROBATION, rollout.step, f"promoted ({rollout.plan.promotion}); {rollout.champion} stays in shadow"
    return _S.CHAMPION, rollout.step, "probation passed"


def _reach(plan: RolloutPlan, step: int) -> str:
    cohort, share = plan.cohort_at(step), plan.steps[step].share
    areas = ", ".join(cohort[:5]) + (f" and {len(cohort) - 5} more" if len(cohort) > 5 else "")
    traffic = f"{100 * share:g} % of the traffic"
    if not cohort:
        return traffic
    return f"the pilot areas {areas}" + (f" and {traffic}" if share > 0.0 else " alone")


_RULES: tuple[Callable[[Rollout, Evidence, datetime], Action | None], ...] = (
    _on_rollback_command,
    _on_reject,
    _on_unready,
    _on_incidents,
    _on_divergence,
    _on_worse,
    _on_lost_reference,
    _on_newer,
    _on_deadline,
    _on_lost_lease,
    _on_pull,
    _on_hold_or_resume,
    _on_override,
)
