"""Owns the explanation of a rollout: why it stands where it stands and what would change that. Decides nothing."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from recloser.core import format_utc
from recloser.rollout.decide import decide
from recloser.rollout.evidence import Evidence
from recloser.rollout.gates import blockers, needs_approval, promoted_days, t2_numbers, worse_level
from recloser.rollout.people import asking
from recloser.rollout.people.approval import told
from recloser.rollout.rollout import Rollout, RolloutState

_S = RolloutState


def explain(rollout: Rollout, evidence: Evidence, now: datetime) -> dict[str, Any]:
    """Return the reason for the present state, what the next tick would do, and what would change it; JSON-ready.

    Keys: rollout, release, champion, state, since, share, reason, next {state, reason}, would_advance (what is
    missing), would_end (what would pull or end it), numbers (of the paired test), freeze (why promotions are frozen,
    else empty), cohort (areas that go first at this step), approval (None unless it awaits one: case, given, missing).

    Args:
        rollout: the record as it stands.
        evidence: what is known, verified.
        now: aware UTC.
    """
    action = decide(rollout, evidence, now)
    return {
        "rollout": rollout.key,
        "release": rollout.release,
        "champion": rollout.champion,
        "state": str(rollout.state),
        "since": format_utc(rollout.since),
        "share": rollout.share,
        "reason": rollout.reason,
        "next": {"state": str(action.state), "reason": action.reason},
        "would_advance": _advance(rollout, evidence, now),
        "would_end": _ends(rollout, evidence),
        "numbers": t2_numbers(rollout, promoted_days(rollout, evidence)),
        "freeze": evidence.freeze,
        "cohort": list(rollout.plan.cohort_at(rollout.step)) if rollout.phase is _S.CANARY else [],
        "approval": _approval(rollout, evidence, now),
    }


def _approval(rollout: Rollout, evidence: Evidence, now: datetime) -> dict[str, Any] | None:
    if rollout.state is not _S.AWAITING_APPROVAL:
        return None
    given = asking.given(rollout, evidence, now)
    return {
        "case": rollout.case,
        "given": [told(given[name]) for name in sorted(given)],
        "missing": list(asking.missing(rollout, evidence, now)),
    }


def _advance(rollout: Rollout, evidence: Evidence, now: datetime) -> list[str]:
    if rollout.finished:
        return ["nothing: it is finished; a new release starts a new rollout"]
    if rollout.state is _S.CHAMPION:
        return ["nothing: it is champion"]
    missing = list(blockers(rollout, evidence, now))
    if rollout.state is _S.HELD:
        return ["an operator resumes it", *missing]
    if rollout.state is _S.AWAITING_APPROVAL:
        missing += [f"approval of {rollout.case[:12]}: {line}" for line in asking.missing(rollout, evidence, now)]
    elif needs_approval(rollout):
        missing.append(f"then people approve it ({rollout.plan.approvers} of them)")
    return missing or ["nothing is missing: the next tick moves it on"]


def _share(number: float | None) -> str:
    return "an unknown part" if number is None else f"{number:.1%}"


def _ends(rollout: Rollout, evidence: Evidence) -> list[str]:
    if rollout.finished:
        return []
    plan = rollout.plan
    found = ["an operator rolls it back", "its package or readiness fails"]
    if rollout.phase in {_S.QUEUED, _S.SHADOW, _S.CANARY}:
        found.insert(1, "a person rejects it")
    if rollout.phase is _S.QUEUED:
        return [*found, "a newer release is queued"]
    count = evidence.incidents.get(rollout.release, 0)
    found.append(f"T0: {plan.trip_count} refused answers ({count} now), or a gateway cuts it off")
    if rollout.phase is _S.CHAMPION:
        return found
    numbers = t2_numbers(rollout, promoted_days(rollout, evidence))
    limit = 1.0 / worse_level(rollout)
    tier = "T3" if rollout.phase is _S.PROBATION else "T2"
    found += [
        f"T1: {plan.divergence_steps} steps in a row over the divergence limit ({evidence.divergence} now)",
        f"T1: a whole issue {_share(evidence.level_limit)} of the level apart ({_share(evidence.level_gap)} now)",
        "T1: an issue of another swing, or of the same course at another hour, than the other model's",
        f"{tier}: betting wealth of 'worse' reaches {limit:.3g} ({numbers['wealth_worse_max']:.3g} at most so far)",
    ]
    if rollout.phase is _S.CANARY:
        found.append("T2: the fast sequence shows a higher loss (pulls traffic only)")
    if rollout.phase is not _S.PROBATION:
        found.append("a newer release is queued")
    start = rollout.promoted_at if rollout.phase is _S.PROBATION else rollout.tried_at
    if start is not None:
        found.append(f"undecided at {format_utc(start + timedelta(days=plan.deadline_days))}")
    return found
