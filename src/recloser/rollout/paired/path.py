"""Owns the course of the paired tests over the closed days, for people to look at. Decides nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from recloser.rollout.paired.betting import wealth_good, wealth_since, wealth_worse
from recloser.rollout.paired.pairing import PairedDay, informative
from recloser.rollout.rollout import Rollout


def evidence_path(rollout: Rollout, days: Sequence[PairedDay]) -> dict[str, Any]:
    """Return the daily differences and the wealth of both strict tests after each day, JSON-ready.

    Args:
        rollout: whose days they are.
        days: closed days in any order; those without a point are left out.

    Returns:
        {"trial": {"days", "limits"}, "probation": {...}}; `days` are {"day", "difference", "n", "worse", "good"} with
        wealth None where staging gave no scale, `limits` the wealth at which "worse" ends it and "good" promotes it
        (None where nothing does).
    """
    until = None if rollout.promoted_at is None else rollout.promoted_at.date()
    known = sorted((day for day in days if day.n > 0), key=lambda day: day.day)
    trial = [day for day in known if until is None or day.day <= until]
    probation = [day for day in known if until is not None and day.day > until]
    plan = rollout.plan
    return {
        "trial": {
            "days": _course(rollout, trial, watch=0),
            "limits": {"worse": 1.0 / plan.trip_alpha, "good": 1.0 / plan.alpha},
        },
        "probation": {
            "days": _course(rollout, probation, watch=max(1, round(plan.probation_days))),
            "limits": {"worse": 1.0 / plan.alpha, "good": None},
        },
    }


def _course(rollout: Rollout, days: Sequence[PairedDay], watch: int) -> list[dict[str, Any]]:
    """Return the days with the wealth after each; with `watch` days, harm may begin on any of them (T3)."""
    rows = [{"day": day.day.isoformat(), "difference": day.difference, "n": day.n} for day in days]
    scale = rollout.scale
    if not rows or scale is None or not 0.0 < scale < float("inf"):
        return [{**row, "worse": None, "good": None} for row in rows]
    differences = informative(days)
    worse = wealth_since(differences, scale, watch) if watch else wealth_worse(differences, scale)
    good = wealth_good(differences, scale, rollout.plan.margin)
    return [{**row, "worse": float(w), "good": float(g)} for row, w, g in zip(rows, worse, good, strict=True)]
