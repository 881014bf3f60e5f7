"""Owns what a rollout is told to lack for its next step, in every state. Decides nothing."""

from __future__ import annotations

from datetime import datetime

from recloser.core import format_utc
from recloser.rollout.evidence import Evidence
from recloser.rollout.gates import blockers, needs_approval, override_blockers
from recloser.rollout.people import asking
from recloser.rollout.plan import Promotion
from recloser.rollout.rollout import Rollout, RolloutState
from recloser.rollout.telling.outlook import good_outlook

_S = RolloutState


def onward(rollout: Rollout, evidence: Evidence, now: datetime) -> list[str]:
    """Return what would move a rollout on, in plain words, the most pressing first; never empty."""
    if rollout.finished:
        return _after_the_end(rollout)
    if rollout.state is _S.CHAMPION:
        return ["nothing: it serves as champion until a newer release is promoted or it is stopped"]
    lacking = list(override_blockers(rollout, evidence) if rollout.overridden else blockers(rollout, evidence, now))
    lacking += _rate(rollout, evidence, now)
    if rollout.state is _S.HELD:
        then = [f"then: {line}" for line in lacking]
        anew = f"the time of {rollout.phase} starts anew"
        return [f"somebody resumes it, and {anew}: recloser resume {rollout.release} --as NAME --reason TEXT", *then]
    if rollout.state is _S.AWAITING_APPROVAL:
        lacking += [f"approval of {rollout.case[:12]}: {line}" for line in asking.missing(rollout, evidence, now)]
    elif needs_approval(rollout):
        lacking.append(f"then {_people(rollout, evidence)}")
    return lacking or ["nothing is missing: the next tick moves it on"]


def rollback_at(rollout: Rollout) -> str:
    """Return what happens at the deadline of the present phase and when, empty where there is none."""
    at = rollout.deadline()
    if at is None:
        return ""
    return f"{'taken from the queue' if rollout.phase is _S.QUEUED else 'rolled back'} at {format_utc(at)}"


def _people(rollout: Rollout, evidence: Evidence) -> str:
    needed = asking.behind(rollout, evidence).needed(rollout.plan.approvers)
    roles = rollout.plan.approver_roles
    among = f", one of them as {' and one as '.join(roles)}" if roles else ""
    return f"{needed} {'person approves' if needed == 1 else 'people approve'} it{among}"


def _rate(rollout: Rollout, evidence: Evidence, now: datetime) -> list[str]:
    """Return when the strict test will be through at the present rate, where the next step waits for it."""
    last = rollout.phase is _S.CANARY and rollout.step + 1 >= len(rollout.plan.steps)
    strict = last and rollout.plan.promotion is Promotion.EVIDENCE
    if not (strict or (rollout.phase is _S.SHADOW and rollout.pulled)):
        return []
    outlook = good_outlook(rollout, evidence, now)
    if outlook.more_days == 0 or outlook.days == 0:
        return []
    deadline, text = rollout.deadline(), f"the test's wealth must grow {outlook.factor:.3g} times: {outlook.rate()}"
    if deadline is not None and (outlook.about is None or outlook.about > deadline):
        text += f"; the deadline comes first ({rollback_at(rollout)})"
    return [text]


def _after_the_end(rollout: Rollout) -> list[str]:
    end = "nothing: it is finished; a new release starts a new rollout"
    if rollout.state is _S.TRIPPED:
        return [f"{end}, and a release that tripped never serves again"]
    if rollout.promoted_at is not None:
        back = f"recloser rollback --to {rollout.release} --reason TEXT"
        return [f"{end}. It was champion once and is kept: a person may return to it ({back})"]
    return [f"{end}. It was never promoted: no rollback leads to it"]
