"""Owns the protections: what ends a trial or pulls its traffic, whatever is frozen, held or awaited."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from recloser.core import format_utc
from recloser.rollout.evidence import CommandKind, Evidence
from recloser.rollout.gates import promoted_days, t2_numbers, worse_level
from recloser.rollout.machine.action import Action, Target, target_of
from recloser.rollout.rollout import Rollout, RolloutState

_S = RolloutState


def on_rollback_command(rollout: Rollout, evidence: Evidence, _now: datetime) -> Action | None:
    """End it in any state, if an operator says so (I3)."""
    command = evidence.command
    if command is None or command.kind is not CommandKind.ROLLBACK or command.key == rollout.handled:
        return None
    reason = f"rolled back by {command.actor}: {command.reason}"
    recall = rollout.phase in {_S.CANARY, _S.PROBATION, _S.CHAMPION}
    return _end(rollout, evidence, _S.ROLLED_BACK, reason, recall=recall, tier="operator", handled=command.key)


def on_reject(rollout: Rollout, evidence: Evidence, _now: datetime) -> Action | None:
    """End what was not promoted yet, if a person says so."""
    command = evidence.command
    if command is None or command.kind is not CommandKind.REJECT or command.key == rollout.handled:
        return None
    if rollout.phase not in {_S.QUEUED, _S.SHADOW, _S.CANARY}:
        return None
    state = _S.ABORTED if rollout.phase is _S.QUEUED else _S.ROLLED_BACK
    reason = f"rejected by {command.actor}: {command.reason}"
    return _end(rollout, evidence, state, reason, tier="operator", handled=command.key)


def on_unready(rollout: Rollout, evidence: Evidence, _now: datetime) -> Action | None:
    """End a release whose package, signature or readiness fails (I1)."""
    if evidence.ready is not False:
        return None
    reason = f"{rollout.release} is not fit to serve: {evidence.ready_reason or 'readiness or signature failed'}"
    if rollout.phase is _S.QUEUED:
        return _end(rollout, evidence, _S.ABORTED, reason, tier="T0")
    return _end(rollout, evidence, _S.TRIPPED, reason, tier="T0", recall=True)


def on_incidents(rollout: Rollout, evidence: Evidence, _now: datetime) -> Action | None:
    """End a release whose answers the guard refused too often (T0)."""
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


def on_divergence(rollout: Rollout, evidence: Evidence, _now: datetime) -> Action | None:
    """End a release whose forecasts lie too far from the other model's (T1)."""
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


def on_worse(rollout: Rollout, evidence: Evidence, _now: datetime) -> Action | None:
    """End a release that strict betting shows to be worse (T2; T3 on probation)."""
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


def on_lost_reference(rollout: Rollout, evidence: Evidence, _now: datetime) -> Action | None:
    """End a trial whose champion no longer serves, and a wait for a trial against itself."""
    if rollout.phase is _S.QUEUED and rollout.release == rollout.champion:
        return _end(rollout, evidence, _S.ABORTED, f"{rollout.release} serves again without a trial", tier="reference")
    if evidence.reference_serves or rollout.phase not in {_S.SHADOW, _S.CANARY}:
        return None
    reason = f"its champion {rollout.champion} no longer serves: the comparison has lost its reference"
    return _end(rollout, evidence, _S.ABORTED, reason, tier="reference")


def on_newer(rollout: Rollout, evidence: Evidence, _now: datetime) -> Action | None:
    """End a trial or a wait when a newer release is queued (I5)."""
    if evidence.newer is None or rollout.phase not in {_S.QUEUED, _S.SHADOW, _S.CANARY}:
        return None
    return _end(rollout, evidence, _S.ABORTED, f"superseded by the newer release {evidence.newer}", tier="newer")


def on_deadline(rollout: Rollout, evidence: Evidence, now: datetime) -> Action | None:
    """End what is undecided for too long (I6)."""
    deadline, lasts = rollout.deadline(), timedelta(days=rollout.plan.deadline_days)
    if deadline is None or now < deadline:
        return None
    reason = f"undecided {rollout.plan.deadline_days:g} days after {format_utc(deadline - lasts)}"
    state = _S.ABORTED if rollout.phase is _S.QUEUED else _S.ROLLED_BACK
    return _end(rollout, evidence, state, reason, tier="deadline")


def on_lost_lease(rollout: Rollout, evidence: Evidence, _now: datetime) -> Action | None:
    """Take the traffic of a canary that gateways already took back alone (I8)."""
    if not evidence.lease_lost or rollout.phase is not _S.CANARY:
        return None
    return _back_to_shadow(rollout, "the controller was silent longer than the lease", tier="lease")


def on_pull(rollout: Rollout, evidence: Evidence, _now: datetime) -> Action | None:
    """Pull the traffic of a canary that is probably worse; the comparison goes on in shadow (T2)."""
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
