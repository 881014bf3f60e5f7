"""Owns approvals: who has said yes to which evidence until when, and what is still missing. Knows no rollout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from recloser.core import format_utc
from recloser.rollout.plan import RolloutPlan


@dataclass(frozen=True, slots=True)
class Approval:
    """One person's yes to one case; it counts for that case alone, before `expires_at` (aware UTC)."""

    name: str
    role: str
    case: str
    expires_at: datetime


def counted(approvals: Sequence[Approval], case: str, proposer: str, now: datetime) -> dict[str, Approval]:
    """Return by name the approvals that count: for this case, not expired, and not the proposer's own."""
    valid = [a for a in approvals if a.case == case and now < a.expires_at and a.name != proposer]
    return {approval.name: approval for approval in valid}


def missing_approvals(
    plan: RolloutPlan, approvals: Sequence[Approval], case: str, proposer: str, now: datetime
) -> tuple[str, ...]:
    """Return in plain words whose yes is missing; empty when there are enough people and each role has spoken.

    One person counts once, whatever the number of approvals. Approvals of another case are void (I10).
    """
    found = counted(approvals, case, proposer, now)
    missing: list[str] = []
    if len(found) < plan.approvers:
        by = f": {', '.join(sorted(found))}" if found else ""
        missing.append(f"{len(found)} of {plan.approvers} people have approved{by}")
    spoken = {approval.role for approval in found.values()}
    missing += [f"nobody has approved as {role}" for role in plan.approver_roles if role not in spoken]
    void = sorted({a.name for a in approvals if a.case != case})
    expired = sorted({a.name for a in approvals if a.case == case and now >= a.expires_at})
    if missing and void:
        missing.append(f"void, given for other evidence: {', '.join(void)}")
    if missing and expired:
        missing.append(f"expired: {', '.join(expired)}")
    return tuple(missing)


def told(approval: Approval) -> dict[str, str]:
    """Return the approval as JSON-ready data."""
    until = format_utc(approval.expires_at)
    return {"name": approval.name, "role": approval.role, "case": approval.case, "expires_at": until}
