"""Owns what is told to end a rollout or take its traffic, with where each protection stands. Decides nothing."""

from __future__ import annotations

from datetime import datetime

from recloser.rollout.evidence import Evidence
from recloser.rollout.machine.harm import outlook_of_harm
from recloser.rollout.rollout import Rollout, RolloutState
from recloser.rollout.telling.onward import rollback_at
from recloser.rollout.telling.outlook import worse_outlook

_S = RolloutState


def ends(rollout: Rollout, evidence: Evidence, now: datetime) -> list[str]:
    """Return what would end a rollout or pull its traffic, in plain words; empty when it is finished."""
    if rollout.finished:
        return []
    before = rollout.phase in {_S.QUEUED, _S.SHADOW, _S.CANARY}
    rejects = ["a person rejects it"] if before else []
    newer = ["a newer release is queued"] if before else []
    return ["an operator rolls it back", *rejects, "its package or readiness fails", *_measured(rollout, evidence, now),
            *newer, *_deadline(rollout)]  # fmt: skip


def _measured(rollout: Rollout, evidence: Evidence, now: datetime) -> list[str]:
    if rollout.phase is _S.QUEUED:
        return []
    plan, count = rollout.plan, evidence.incidents.get(rollout.release, 0)
    found = [f"T0: {plan.trip_count} refused answers ({count} now), or a gateway cuts it off"]
    if rollout.phase is _S.CHAMPION:
        return [*found, outlook_of_harm(evidence.harm)]
    tier, outlook = "T3" if rollout.phase is _S.PROBATION else "T2", worse_outlook(rollout, evidence, now)
    wealth = f"{outlook.wealth:.3g} at most so far; {outlook.rate()}"
    found += [
        f"T1: {plan.divergence_steps} steps in a row over the divergence limit ({evidence.divergence} now)",
        _level(evidence),
        "T1: an issue of another swing, or of the same course at another hour, than the other model's",
        f"{tier}: betting wealth of 'worse' reaches {outlook.needed:.3g} ({wealth})",
    ]
    if rollout.phase is _S.CANARY:
        found.append("T2: the fast sequence shows a higher loss (pulls traffic only)")
    return found


def _deadline(rollout: Rollout) -> list[str]:
    at = rollback_at(rollout)
    return [f"it is undecided for {rollout.plan.deadline_days:g} days: {at}"] if at else []


def _level(evidence: Evidence) -> str:
    limit, gap = evidence.level_limit, evidence.level_gap
    if limit is None:
        return "T1: a whole issue on another level is not looked for: staging measured no limit"
    now = "none compared yet" if gap is None else f"{abs(gap):.1%} now"
    return f"T1: a whole issue {limit:.1%} of the level apart ({now})"
