"""Owns whose yes the next step of a rollout needs, and who has given it by now. Draws no conclusion from it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from recloser.rollout.evidence import Evidence
from recloser.rollout.people.approval import Approval, counted, missing_approvals
from recloser.rollout.people.proposers import Proposers
from recloser.rollout.rollout import Rollout


def behind(rollout: Rollout, evidence: Evidence) -> Proposers:
    """Return the people behind a release: those it was queued with, and those who had a hand in it since."""
    return rollout.proposers.joined(evidence.proposers)


def given(rollout: Rollout, evidence: Evidence, now: datetime) -> dict[str, Approval]:
    """Return by name the approvals of the present case that count now, by the clock where the evidence has it."""
    at = evidence.today or now
    return counted(evidence.approvals, rollout.case, behind(rollout, evidence), at)


def missing(rollout: Rollout, evidence: Evidence, now: datetime) -> tuple[str, ...]:
    """Return in plain words whose yes is missing; who overrides answers for the roles, never for the second person."""
    plan = replace(rollout.plan, approver_roles=()) if rollout.overridden else rollout.plan
    at = evidence.today or now
    return missing_approvals(plan, evidence.approvals, rollout.case, behind(rollout, evidence), at)


def lacks_for_override(rollout: Rollout, evidence: Evidence, actor: str, now: datetime) -> int:
    """Return how many people must say yes besides the one who overrides, 0 when enough have; each person once."""
    plan, until = rollout.plan, now.max.replace(tzinfo=now.tzinfo)
    own = Approval(actor, "", rollout.case, until)
    found = counted((*evidence.approvals, own), rollout.case, behind(rollout, evidence), evidence.today or now)
    return max(0, behind(rollout, evidence).needed(plan.approvers) - len(found))
