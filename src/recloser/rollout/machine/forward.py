"""Owns the way forward: holds, overrides, the question to people, and the next step once nothing is missing."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from recloser.rollout.evidence import Command, CommandKind, Evidence
from recloser.rollout.gates import (
    blockers,
    harm_signs,
    needs_approval,
    override_blockers,
    promoted_days,
    t2_numbers,
    unproven,
)
from recloser.rollout.machine.action import Action, stay, target_of
from recloser.rollout.people.asking import behind, given, lacks_for_override, missing
from recloser.rollout.people.case import case_digest
from recloser.rollout.plan import RolloutPlan
from recloser.rollout.rollout import HOLDABLE, Rollout, RolloutState

_S = RolloutState


def on_hold(rollout: Rollout, evidence: Evidence, _now: datetime) -> Action | None:
    """Stop a rollout where it stands, if a person asks for it."""
    command = evidence.command
    if command is None or command.key == rollout.handled or command.kind is not CommandKind.HOLD:
        return None
    if rollout.state is _S.HELD or rollout.phase not in HOLDABLE:
        return None
    reason = f"held by {command.actor}: {command.reason}"
    return Action(_S.HELD, reason, held_from=rollout.phase, **_kept(rollout, command))


def on_resume(rollout: Rollout, evidence: Evidence, _now: datetime) -> Action | None:
    """Let a held rollout go on from where it stood, if a person asks for it."""
    command = evidence.command
    if command is None or command.key == rollout.handled or command.kind is not CommandKind.RESUME:
        return None
    if rollout.state is not _S.HELD or rollout.held_from not in HOLDABLE:
        return None
    return Action(rollout.held_from, f"resumed by {command.actor}: {command.reason}", **_kept(rollout, command))


def _kept(rollout: Rollout, command: Command) -> dict[str, Any]:
    return {"step": rollout.step, "pulled": rollout.pulled, "handled": command.key}


def on_override(rollout: Rollout, evidence: Evidence, now: datetime) -> Action | None:
    """Take the next step now, if a person answers for it and nothing forbids it to everybody.

    Where people must approve the step, time, proof and roles are waived, and nobody goes alone: the one who overrides
    is one of the people, did not propose the release, and the others are asked.
    """
    command = evidence.command
    if command is None or command.kind is not CommandKind.OVERRIDE or command.key == rollout.handled:
        return None
    if rollout.state in {_S.HELD, _S.CHAMPION} or override_blockers(rollout, evidence):
        return None
    why = f"override by {command.actor}: {command.reason}"
    if needs_approval(rollout):
        if behind(rollout, evidence).bar(command.actor):
            return None
        lacking = lacks_for_override(rollout, evidence, command.actor, now)
        if lacking:
            asked = _ask(rollout, evidence, now, f"{why}; people must approve it as well: {_next(rollout)[2]}", why)
            return replace(asked, handled=command.key)
    return replace(_onward(rollout, evidence, f"{why}; "), handled=command.key)


def advance(rollout: Rollout, evidence: Evidence, now: datetime) -> Action:
    """Take the next step if nothing is missing; else ask people, or stay and say what is missing."""
    if rollout.state is _S.HELD:
        return stay(rollout, f"on hold: {rollout.reason}")
    if rollout.state is _S.CHAMPION:
        return stay(rollout, "serves as champion; only a protection or an operator changes that")
    if rollout.state is _S.AWAITING_APPROVAL and (action := _void(rollout, evidence, now)) is not None:
        return action
    lacking = override_blockers(rollout, evidence) if rollout.overridden else blockers(rollout, evidence, now)
    if lacking:
        return stay(rollout, "; ".join(lacking))
    if needs_approval(rollout):
        if rollout.state is not _S.AWAITING_APPROVAL:
            return _ask(rollout, evidence, now, f"people must approve: {_next(rollout)[2]}")
        people = missing(rollout, evidence, now)
        if people:
            return stay(rollout, f"awaiting approval of {rollout.case[:12]}: {'; '.join(people)}")
        why = f"{rollout.overridden}; " if rollout.overridden else ""
        return _onward(rollout, evidence, f"{why}approved by {', '.join(sorted(given(rollout, evidence, now)))}; ")
    return _onward(rollout, evidence)


def _void(rollout: Rollout, evidence: Evidence, now: datetime) -> Action | None:
    """Take a case back that the evidence no longer carries, or ask anew about evidence that changed (I10)."""
    lost = harm_signs(rollout, evidence) if rollout.overridden else unproven(rollout, evidence)
    if lost and rollout.held_from is not None:
        reason = f"approvals are void: {'; '.join(lost)}"
        return Action(rollout.held_from, reason, step=rollout.step, pulled=rollout.pulled, event="void")
    if case_digest(rollout, evidence, rollout.since) != rollout.case:
        why = "the evidence changed: approvals are void, people must approve anew"
        return _ask(rollout, evidence, now, why, rollout.overridden)
    return None


def _ask(rollout: Rollout, evidence: Evidence, now: datetime, reason: str, overridden: str = "") -> Action:
    return Action(
        _S.AWAITING_APPROVAL,
        reason,
        event="ask",
        step=rollout.step,
        held_from=rollout.phase,
        pulled=rollout.pulled,
        case=case_digest(replace(rollout, overridden=overridden), evidence, now),
        overridden=overridden,
        numbers=t2_numbers(rollout, promoted_days(rollout, evidence)),
    )


def _onward(rollout: Rollout, evidence: Evidence, why: str = "") -> Action:
    """Take the next step."""
    following, step, reason = _next(rollout)
    reason = why + reason
    numbers = t2_numbers(rollout, promoted_days(rollout, evidence))
    if following is _S.PROBATION and numbers["mean"] is not None:
        reason += f"; mean daily loss {100 * numbers['mean']:+.1f} % against it over {numbers['days']} days"
    target = target_of(rollout, following, step)
    return Action(following, reason, target, event="advance", step=step, pulled=rollout.pulled, numbers=numbers)


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
