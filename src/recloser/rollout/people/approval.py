"""Owns approvals: who has said yes to which evidence until when, and what is still missing. Knows no rollout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from recloser.core import format_utc, short_id
from recloser.rollout.people.proposers import Proposers, identity
from recloser.rollout.plan import RolloutPlan


@dataclass(frozen=True, slots=True)
class Approval:
    """One person's yes to one case; it counts for that case alone, before `expires_at` (aware UTC)."""

    name: str
    role: str
    case: str
    expires_at: datetime


def counted(approvals: Sequence[Approval], case: str, proposers: Proposers, now: datetime) -> dict[str, Approval]:
    """Return by name the approvals that count: for this case, not expired, not a proposer's own, one of each person."""
    valid = [a for a in approvals if a.case == case and now < a.expires_at and not proposers.bar(a.name)]
    people = {identity(approval.name): approval for approval in valid}
    return {approval.name: approval for approval in people.values()}


def missing_approvals(
    plan: RolloutPlan, approvals: Sequence[Approval], case: str, proposers: Proposers, now: datetime
) -> tuple[str, ...]:
    """Return in plain words whose yes is missing; empty when there are enough people and each role has spoken.

    One person counts once, whatever the number of approvals. Approvals of another case are void (I10). At least two
    people must approve what a stranger proposed.
    """
    found, needed = counted(approvals, case, proposers, now), proposers.needed(plan.approvers)
    missing: list[str] = []
    if len(found) < needed:
        by = f": {', '.join(sorted(found))}" if found else ""
        more = f" (two, because {', '.join(proposers.strangers)} may be one of them)" if needed > plan.approvers else ""
        missing.append(f"{len(found)} of {needed} people have approved{by}{more}")
    spoken = {approval.role for approval in found.values()}
    missing += [f"nobody has approved as {role}" for role in plan.approver_roles if role not in spoken]
    void = sorted({a.name for a in approvals if a.case != case} - set(found))
    expired = sorted({a.name for a in approvals if a.case == case and now >= a.expires_at})
    own = sorted({a.name for a in approvals if a.case == case and proposers.bar(a.name)})
    if missing and void:
        missing.append(f"void, given for other evidence: {', '.join(void)}")
    if missing and expired:
        missing.append(f"expired: {', '.join(expired)}")
    if missing and own:
        missing.append(f"not counted, because they proposed it: {', '.join(own)}")
    return tuple(missing)


def approval_key(rollout: str, case: str, name: str) -> str:
    """Return the key of a person's yes to a case; a later one of the same person replaces it."""
    return short_id("act", ["approve", rollout, case, identity(name)])


def told(approval: Approval) -> dict[str, str]:
    """Return the approval as JSON-ready data."""
    until = format_utc(approval.expires_at)
    return {"name": approval.name, "role": approval.role, "case": approval.case, "expires_at": until}
