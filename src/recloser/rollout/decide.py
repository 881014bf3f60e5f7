"""Owns the decision about one rollout: a pure, total function of record, evidence and now. Reads and writes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from recloser.core import require_utc
from recloser.rollout.evidence import Evidence
from recloser.rollout.machine import forward, harm, protections
from recloser.rollout.machine.action import Action, Target, apply, stay, target_of
from recloser.rollout.rollout import Rollout

__all__ = ["Action", "Target", "apply", "decide", "target_of"]

Rule = Callable[[Rollout, Evidence, datetime], Action | None]
RULES: tuple[tuple[str, Rule], ...] = (
    ("rollback", protections.on_rollback_command),
    ("reject", protections.on_reject),
    ("unready", protections.on_unready),
    ("incidents", protections.on_incidents),
    ("divergence", protections.on_divergence),
    ("worse", protections.on_worse),
    ("harm", harm.on_harm),
    ("lost_reference", protections.on_lost_reference),
    ("newer", protections.on_newer),
    ("deadline", protections.on_deadline),
    ("lost_lease", protections.on_lost_lease),
    ("pull", protections.on_pull),
    ("hold", forward.on_hold),
    ("resume", forward.on_resume),
    ("override", forward.on_override),
)
"""The rules in their order; the first that has something to do decides. None of them: `forward.advance`."""


def decide(rollout: Rollout, evidence: Evidence, now: datetime) -> Action:
    """Return the one step to take now; total over all states and evidence, never raises on them.

    Order: protections first (operator, readiness, T0, T1, T2/T3, harm), then supersession, deadline, lease and the
    pulling of traffic, then holds and overrides, and only then a promotion, which needs every gate and, where the plan
    says so, people. No data holds; a deadline rolls back.

    Args:
        rollout: the record as it stands.
        evidence: what is known; unknown fields never promote.
        now: aware UTC.
    """
    require_utc(now, "decide")
    if rollout.finished:
        return stay(rollout, f"finished: {rollout.reason}")
    for event, rule in RULES:
        action = rule(rollout, evidence, now)
        if action is not None:
            return replace(action, event=event)
    return forward.advance(rollout, evidence, now)
