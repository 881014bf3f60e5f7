"""Owns the gates a rollout must pass to move on, and the test numbers they read. Protections live in `decide`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from recloser.core import FloatArray, format_utc
from recloser.rollout.evidence import Evidence
from recloser.rollout.paired.betting import ever_over, wealth_good, wealth_since, wealth_worse
from recloser.rollout.paired.fast import fast_verdict
from recloser.rollout.paired.pairing import PairedDay, informative
from recloser.rollout.plan import Promotion
from recloser.rollout.rollout import Rollout, RolloutState

_S = RolloutState


def promoted_days(rollout: Rollout, evidence: Evidence) -> tuple[PairedDay, ...]:
    """Return the days the present phase is judged on: those after the promotion in probation (T3), else all (T2)."""
    if rollout.phase is not _S.PROBATION or rollout.promoted_at is None:
        return evidence.days
    start = rollout.promoted_at.date()
    return tuple(item for item in evidence.days if item.day > start)


def t2_numbers(rollout: Rollout, days: Sequence[PairedDay]) -> dict[str, Any]:
    """Return the verdicts and numbers of the paired tests over closed days, JSON-ready.

    Keys: days, mean (None without a day), wealth_worse_max, wealth_good, worse, good, surely_worse. All verdicts are
    False when there is no staging scale or no day: no data decides nothing.
    """
    differences = informative(days)
    count = int(differences.size)
    usable = count > 0 and rollout.scale is not None and 0.0 < rollout.scale < float("inf")
    numbers: dict[str, Any] = {
        "days": count,
        "mean": float(differences.mean()) if count else None,
        "wealth_worse_max": 1.0,
        "wealth_good": 1.0,
        "worse": False,
        "good": False,
        "surely_worse": False,
    }
    if not usable or rollout.scale is None:
        return numbers
    plan = rollout.plan
    worse = worse_wealth(rollout, differences, rollout.scale)
    good = wealth_good(differences, rollout.scale, plan.margin)
    return {
        **numbers,
        "wealth_worse_max": float(worse.max()),
        "wealth_good": float(good[-1]),
        "worse": ever_over(worse, worse_level(rollout)),
        "good": float(good[-1]) >= 1.0 / plan.alpha,
        "surely_worse": numbers["mean"] > 0.0 and fast_verdict(days, rollout.scale, plan.pull_alpha),
    }


def worse_level(rollout: Rollout) -> float:
    """Return the level at which "worse" ends the rollout: T2 `trip_alpha`, T3 `alpha`.

    A trial has the fast tests beside the strict one and is looked at for weeks; a probation has the strict one only.
    """
    return rollout.plan.alpha if rollout.phase is _S.PROBATION else rollout.plan.trip_alpha


def worse_wealth(rollout: Rollout, differences: FloatArray, scale: float) -> FloatArray:
    """Return the wealth against "not worse": on trial from its first day (T2), on probation from any day (T3)."""
    if rollout.phase is not _S.PROBATION:
        return wealth_worse(differences, scale)
    return wealth_since(differences, scale, max(1, round(rollout.plan.probation_days)))


def blockers(rollout: Rollout, evidence: Evidence, now: datetime) -> tuple[str, ...]:
    """Return in plain words what keeps the rollout from its next step, people aside; empty when it may go on.

    Unknown counts as missing (I6). A freeze blocks (I3: it never blocks a rollback, which does not come here).
    """
    found = _firm(rollout, evidence)
    if rollout.phase is _S.QUEUED:
        return tuple(found)
    found += _time_and_data(rollout, evidence, now)
    return (*found, *unproven(rollout, evidence))


def unproven(rollout: Rollout, evidence: Evidence) -> tuple[str, ...]:
    """Return what the evidence does not show and must for the next step; a case put to people falls with it."""
    found: list[str] = []
    if rollout.phase is _S.SHADOW and rollout.pulled and not t2_numbers(rollout, evidence.days)["good"]:
        found.append("its traffic was pulled: only strict evidence that it is not worse brings it back")
    elif rollout.phase is _S.SHADOW:
        found += _harm(rollout, evidence)
    if rollout.phase is _S.CANARY and rollout.step + 1 >= len(rollout.plan.steps):
        found += _promotion(rollout, evidence)
    return tuple(found)


def override_blockers(rollout: Rollout, evidence: Evidence) -> tuple[str, ...]:
    """Return what nobody may override: freezes, an expired waiver, readiness, order, and signs of harm.

    Time and proof may be waived.
    """
    return (*_firm(rollout, evidence), *harm_signs(rollout, evidence))


def harm_signs(rollout: Rollout, evidence: Evidence) -> tuple[str, ...]:
    """Return what the paired days say against the release that no person may answer for."""
    found: list[str] = []
    numbers = t2_numbers(rollout, promoted_days(rollout, evidence))
    if rollout.pulled and not numbers["good"]:
        found.append("there was evidence of harm: its traffic was pulled")
    mean = numbers["mean"]
    if mean is not None and not numbers["good"] and (numbers["surely_worse"] or mean > rollout.plan.margin):
        found.append(f"signs of harm: mean daily loss {100 * mean:+.1f} % over {numbers['days']} days")
    return tuple(found)


def needs_approval(rollout: Rollout) -> bool:
    """Return whether people must approve the next step: its first traffic, its promotion, or both at once."""
    before = rollout.plan.approve_before
    last = rollout.step + 1 >= len(rollout.plan.steps)
    if rollout.phase is _S.CANARY:
        return last and "promotion" in before
    if rollout.phase is _S.QUEUED and rollout.champion is None:
        return bool(before)  # it gets all traffic and is promoted, in one step
    return rollout.phase is _S.SHADOW and "traffic" in before


def _firm(rollout: Rollout, evidence: Evidence) -> list[str]:
    found: list[str] = []
    if evidence.freeze:
        found.append(f"promotions are frozen: {evidence.freeze}")
    if evidence.gate:
        found.append(f"the staging gate no longer passes it: {evidence.gate}")
    if rollout.phase is not _S.PROBATION and evidence.ready is not True:
        why = f": {evidence.ready_reason}" if evidence.ready_reason else ""
        found.append(f"readiness and signature of the release are not confirmed{why}")
    if rollout.phase is _S.QUEUED:
        if not evidence.slot_free:
            found.append("another rollout is on trial")
        return found
    if not evidence.settled:
        found.append("not every gateway follows the present route yet")
    return found


def _time_and_data(rollout: Rollout, evidence: Evidence, now: datetime) -> list[str]:
    found: list[str] = []
    plan = rollout.plan
    least = {
        _S.SHADOW: plan.shadow_days,
        _S.CANARY: plan.steps[min(rollout.step, len(plan.steps) - 1)].days,
        _S.PROBATION: plan.probation_days,
    }.get(rollout.phase, 0.0)
    until = rollout.since + timedelta(days=least)
    asked = rollout.state is _S.AWAITING_APPROVAL  # its phase has lasted long enough, or it would not have asked
    if now < until and not asked:
        found.append(f"{rollout.phase} lasts until {format_utc(until)}")
    if rollout.scale is None or not 0.0 < rollout.scale < float("inf"):
        found.append("no data: staging gave no scale for the paired test")
    if evidence.labels_missing_since is not None:
        found.append(f"no data: labels are missing since {format_utc(evidence.labels_missing_since)}")
    fresh = sum(1 for day in promoted_days(rollout, evidence) if day.n > 0 and day.closed_at > rollout.since)
    wanted = max(1, int(least // 2))
    if fresh < wanted and not asked:
        found.append(f"no data: {fresh} of {wanted} paired days closed since {format_utc(rollout.since)}")
    return found


def _harm(rollout: Rollout, evidence: Evidence) -> list[str]:
    """Return why a shadow gets no traffic yet: what would pull the traffic of a canary keeps it from having any."""
    numbers = t2_numbers(rollout, evidence.days)
    if not numbers["surely_worse"] or numbers["good"]:
        return []
    return [f"signs of harm: mean daily loss {100 * numbers['mean']:+.1f} % over {numbers['days']} days"]


def _promotion(rollout: Rollout, evidence: Evidence) -> list[str]:
    plan = rollout.plan
    numbers = t2_numbers(rollout, evidence.days)
    if numbers["mean"] is None:
        return ["no data: no paired day at all"]
    if plan.promotion is Promotion.EVIDENCE:
        if numbers["good"]:
            return []
        got = f"betting wealth {numbers['wealth_good']:.3g} of {1 / plan.alpha:.3g}"
        return [f"not yet shown to be less than {100 * plan.margin:g} % worse: {got}"]
    found: list[str] = []
    if numbers["days"] < plan.harmless_days:
        found.append(f"{numbers['days']} of {plan.harmless_days} paired days without harm")
    if rollout.pulled and not numbers["good"]:
        found.append("there was evidence of harm: its traffic was pulled")
    if numbers["surely_worse"] or numbers["mean"] > plan.margin:
        found.append(f"signs of harm: mean daily loss {100 * numbers['mean']:+.1f} % over {numbers['days']} days")
    return found
