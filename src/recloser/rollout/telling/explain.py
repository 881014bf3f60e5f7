"""Owns the explanation of a rollout: why it stands where it stands and what would change that. Decides nothing."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from recloser.core import format_utc
from recloser.rollout.decide import decide
from recloser.rollout.evidence import Evidence
from recloser.rollout.gates import promoted_days, t2_numbers
from recloser.rollout.people import asking
from recloser.rollout.people.approval import told
from recloser.rollout.rollout import Rollout, RolloutState
from recloser.rollout.telling.ends import ends
from recloser.rollout.telling.onward import onward
from recloser.rollout.telling.outlook import good_outlook, worse_outlook

_S = RolloutState


def explain(rollout: Rollout, evidence: Evidence, now: datetime) -> dict[str, Any]:
    """Return the reason for the present state, what the next tick would do, and what would change it; JSON-ready.

    Keys: rollout, release, champion, state, phase (below `held` and `awaiting_approval` the state it stands in),
    since, as_of, share, step (index, of), reason, next {state, reason}, would_advance (what is missing), would_end
    (what would pull or end it), deadline (null where there is none), numbers (of the paired test), outlook (when the
    strict tests decide at the present rate; null where they are not run), freeze and gate (why promotions wait, else
    empty), cohort (areas that go first at this step), proposers, approval (None unless it awaits one: case, needed,
    roles, given, missing, overridden).

    Args:
        rollout: the record as it stands.
        evidence: what is known, verified.
        now: aware UTC.
    """
    action, deadline = decide(rollout, evidence, now), rollout.deadline()
    return {
        "rollout": rollout.key,
        "release": rollout.release,
        "champion": rollout.champion,
        "state": str(rollout.state),
        "phase": str(rollout.phase),
        "since": format_utc(rollout.since),
        "as_of": format_utc(now),
        "share": rollout.share,
        "step": {"index": rollout.step, "of": len(rollout.plan.steps)} if rollout.phase is _S.CANARY else None,
        "reason": rollout.reason,
        "next": {"state": str(action.state), "reason": action.reason},
        "would_advance": onward(rollout, evidence, now),
        "would_end": ends(rollout, evidence, now),
        "deadline": None if deadline is None else format_utc(deadline),
        "numbers": t2_numbers(rollout, promoted_days(rollout, evidence)),
        "outlook": _outlook(rollout, evidence, now),
        "freeze": evidence.freeze,
        "gate": evidence.gate,
        "cohort": list(rollout.plan.cohort_at(rollout.step)) if rollout.phase is _S.CANARY else [],
        "proposers": asking.behind(rollout, evidence).to_dict(),
        "approval": _approval(rollout, evidence, now),
    }


def _outlook(rollout: Rollout, evidence: Evidence, now: datetime) -> dict[str, Any] | None:
    if rollout.phase not in {_S.SHADOW, _S.CANARY, _S.PROBATION}:
        return None
    good = None if rollout.phase is _S.PROBATION else good_outlook(rollout, evidence, now).to_dict()
    return {"good": good, "worse": worse_outlook(rollout, evidence, now).to_dict()}


def _approval(rollout: Rollout, evidence: Evidence, now: datetime) -> dict[str, Any] | None:
    if rollout.state is not _S.AWAITING_APPROVAL:
        return None
    given = asking.given(rollout, evidence, now)
    return {
        "case": rollout.case,
        "needed": asking.behind(rollout, evidence).needed(rollout.plan.approvers),
        "roles": [] if rollout.overridden else list(rollout.plan.approver_roles),
        "given": [told(given[name]) for name in sorted(given)],
        "missing": list(asking.missing(rollout, evidence, now)),
        "overridden": rollout.overridden,
    }
