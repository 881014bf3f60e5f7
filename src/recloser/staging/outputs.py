"""Owns the checks of coverage, metrics completeness and golden parity."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from recloser.registry import GoldenResult
from recloser.staging.performance.holdout import HoldOut
from recloser.staging.policy import GatePolicy
from recloser.staging.verdict import HOLD, PASS, REFUSE, CheckResult


def check_coverage(holdout: HoldOut, policy: GatePolicy) -> CheckResult:
    """Check that the share of truths inside the 0.1-0.9 band lies in the allowed range, percent.

    Too few is unsafe. Too many is only wasteful, and the CRPS against champion and naive floor prices that; a first
    model of a season it has not seen before covers 95 % and more until it is calibrated in use.
    """
    name = "coverage"
    thresholds = {"minimum_coverage80": policy.minimum_coverage80, "maximum_coverage80": policy.maximum_coverage80}
    if 0.1 not in holdout.quantiles or 0.9 not in holdout.quantiles:
        return CheckResult(name, HOLD, "the model gives no 80 % band", {}, thresholds)
    if holdout.candidate.shape != (len(holdout.truth), len(holdout.quantiles)):
        return CheckResult(name, REFUSE, "no answers to measure coverage on", {}, thresholds)
    low = holdout.candidate[:, holdout.quantiles.index(0.1)]
    high = holdout.candidate[:, holdout.quantiles.index(0.9)]
    known = np.isfinite(holdout.truth)
    days = int(np.unique(holdout.day[known]).size)
    if days < policy.minimum_days:
        return CheckResult(name, HOLD, f"only {days} days to measure coverage on", {"days": days}, thresholds)
    inside = (holdout.truth >= low) & (holdout.truth <= high)  # a NaN answer counts as outside
    coverage = 100.0 * float(inside[known].mean())
    numbers = {"coverage80": coverage, "days": days, "rows": int(known.sum())}
    told = f"{coverage:.1f} % of the truths lie in the 80 % band"
    if policy.minimum_coverage80 <= coverage <= policy.maximum_coverage80:
        return CheckResult(name, PASS, told, numbers, thresholds)
    return CheckResult(name, REFUSE, f"{told}: {'too few' if coverage < 80 else 'too many'}", numbers, thresholds)


def check_metrics(metrics: Mapping[str, float | int | None], policy: GatePolicy) -> CheckResult:
    """Check that every required metric is there and a finite number; nothing else may be NaN or infinite either."""
    thresholds = {"required_metrics": list(policy.required_metrics)}
    missing = [name for name in policy.required_metrics if metrics.get(name) is None]
    wrong = sorted(name for name, number in metrics.items() if number is not None and not math.isfinite(number))
    numbers = {"metrics": dict(metrics)}
    if missing or wrong:
        parts = [f"missing metric: {', '.join(missing)}"] if missing else []
        parts += [f"not a number: {', '.join(wrong)}"] if wrong else []
        return CheckResult(
            "metrics", REFUSE, "; ".join(parts), numbers | {"missing": missing, "wrong": wrong}, thresholds
        )
    return CheckResult("metrics", PASS, f"{len(metrics)} metrics are there and finite", numbers, thresholds)


def check_parity(result: GoldenResult | None) -> CheckResult:
    """Check that the loaded package answers its golden rows as it did when it was made; None is a hold."""
    if result is None:
        return CheckResult("parity", HOLD, "no golden rows were compared")
    numbers = {"rows": result.rows, "worst_mw": result.worst_mw}
    verdict = PASS if result.agrees else REFUSE
    return CheckResult("parity", verdict, result.reason, numbers, {"tolerance_mw": result.tolerance_mw})
