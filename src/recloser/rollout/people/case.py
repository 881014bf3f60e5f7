"""Owns the case: the digest of what people are asked to approve. Asks nobody."""

from __future__ import annotations

from datetime import datetime

from recloser.core import digest_of, format_utc
from recloser.rollout.evidence import Evidence
from recloser.rollout.rollout import Rollout


def case_digest(rollout: Rollout, evidence: Evidence, asked_at: datetime) -> str:
    """Return the SHA-256 of what was put to people at `asked_at` (aware UTC).

    Covered: release and package, champion, plan, staging scale, step, the paired days that were closed by then,
    the guard incidents so far, and who overrides the gates if somebody does. Days that close later are not covered:
    they never change the earlier ones, and what they show is judged by the protections and by the promotion gate,
    which takes a case back that no longer holds.
    """
    days = [[d.day.isoformat(), d.difference, d.n] for d in evidence.days if d.closed_at <= asked_at]
    cut = evidence.cut_off
    return digest_of(
        {
            "rollout": rollout.key,
            "release": rollout.release,
            "package": evidence.package,
            "champion": rollout.champion,
            "plan": rollout.plan.to_dict(),
            "scale": rollout.scale,
            "phase": str(rollout.phase),
            "step": rollout.step,
            "asked_at": format_utc(asked_at),
            "days": days,
            "incidents": dict(sorted(evidence.incidents.items())),
            "cut_off": None if cut is None else cut.reason,
            **({"overridden": rollout.overridden} if rollout.overridden else {}),
        }
    )
