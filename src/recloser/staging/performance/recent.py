"""Owns the comparison on the newest days, and with what was really handed out on them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from recloser.core import FloatArray
from recloser.staging.performance.comparison import percent, relative_bounds
from recloser.staging.performance.holdout import HoldOut, PairedDays, paired_days
from recloser.staging.policy import GatePolicy
from recloser.staging.verdict import HOLD, PASS, REFUSE, CheckResult

LEAST_DAYS = 3


def check_recent(holdout: HoldOut, policy: GatePolicy) -> CheckResult:
    """Check the newest window alone, against the champion, before the first one against the naive.

    A regime that changed a week ago hardly shows in the mean of eight weeks. Of these days, too, only those are
    compared that neither model has learned from.
    """
    against = "champion" if holdout.champion is not None else "naive"
    reference = holdout.naive if holdout.champion is None else holdout.champion
    return _newest("performance.recent", f"the {against}", reference, holdout, policy)


def check_live(holdout: HoldOut, policy: GatePolicy) -> CheckResult:
    """Check the newest window against what was handed out: the champion with its corrections, canary, fallbacks."""
    name = "performance.live"
    if holdout.live is None or not np.isfinite(holdout.live).any():
        return CheckResult(name, PASS, "nothing was handed out for the hold-out's days yet")
    return _newest(name, "what was handed out", holdout.live, holdout, policy)


def _newest(name: str, against: str, reference: FloatArray, holdout: HoldOut, policy: GatePolicy) -> CheckResult:
    thresholds = {"recent_days": policy.recent_days, "recent_margin": policy.recent_margin}
    known = np.isfinite(holdout.truth)
    newest = holdout.day[known].max() if known.any() else None
    if newest is None:
        return CheckResult(name, HOLD, "no truth to compare with", {}, thresholds)
    rows = holdout.day > newest - np.timedelta64(policy.recent_days, "D")
    pairs = paired_days(holdout.loss(holdout.candidate)[rows], holdout.loss(reference)[rows], holdout.day[rows])
    numbers: dict[str, object] = {"days": int(pairs.days.size), "until": str(newest)}
    if pairs.days.size < LEAST_DAYS:
        reason = f"only {pairs.days.size} of the newest days to compare with {against}: told, not judged"
        return CheckResult(name, PASS, reason, numbers, thresholds)
    return _judged(CheckResult(name, PASS, "", numbers, thresholds), against, pairs, policy)


def _judged(blank: CheckResult, against: str, pairs: PairedDays, policy: GatePolicy) -> CheckResult:
    relative = pairs.relative()
    if not np.isfinite(relative):
        return replace(blank, verdict=REFUSE, reason=f"worse than {against}, which made no error at all")
    low, high = relative_bounds(pairs, policy, policy.confidence)
    numbers = {**blank.numbers, "relative": relative, "lower": low, "upper": high}
    told = f"{percent(relative)} than {against} ({low:+.1%} .. {high:+.1%}) on the newest {pairs.days.size} days"
    bad = relative > policy.recent_margin and low > 0
    return replace(blank, verdict=REFUSE if bad else PASS, reason=told, numbers=numbers)
