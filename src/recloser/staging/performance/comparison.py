"""Owns the comparison with champion, naive floor and incumbent on a hold-out. Differences, never ratios of scores."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from recloser.core import FloatArray
from recloser.core.scores import score_table
from recloser.staging.performance.holdout import HoldOut, PairedDays, bootstrap_bounds, pair_scale, paired_days
from recloser.staging.policy import GatePolicy
from recloser.staging.verdict import HOLD, PASS, REFUSE, CheckResult


def check_output(holdout: HoldOut) -> CheckResult:
    """Check that the candidate answered every row with finite numbers of the right shape."""
    name, want = "performance.output", (len(holdout.truth), len(holdout.quantiles))
    if holdout.candidate.size == 0 and want[0] > 0:
        return CheckResult(name, REFUSE, "empty output: the candidate answered nothing", {"rows": want[0]})
    if holdout.candidate.shape != want:
        got = list(holdout.candidate.shape)
        return CheckResult(name, REFUSE, f"output of shape {tuple(got)} instead of {want}", {"shape": got})
    bad = int((~np.isfinite(holdout.candidate)).any(axis=1).sum())
    if bad:
        reason = f"{bad} of {want[0]} answers are not finite numbers"
        return CheckResult(name, REFUSE, reason, {"rows": want[0], "not_finite": bad})
    known = int(np.isfinite(holdout.truth).sum())
    numbers = {"rows": want[0], "with_truth": known}
    if known == 0:
        return CheckResult(name, HOLD, "no hold-out row has a truth to compare with", numbers)
    scores = {"candidate": score_table(holdout.truth, holdout.candidate, holdout.quantiles)}
    scores["naive"] = score_table(holdout.truth, holdout.naive, holdout.quantiles)
    if holdout.champion is not None:
        scores["champion"] = score_table(holdout.truth, holdout.champion, holdout.quantiles)
    return CheckResult(name, PASS, f"{want[0]} rows answered, {known} with a truth", numbers | {"scores": scores})


def check_champion(holdout: HoldOut, policy: GatePolicy) -> CheckResult:
    """Check that the candidate is not worse than the champion by more than the margin; carries the pair's scales."""
    name = "performance.champion"
    if holdout.champion is None:
        return CheckResult(name, PASS, "no champion yet: naive floor and incumbent decide")
    pairs = paired_days(holdout.loss(holdout.candidate), holdout.loss(holdout.champion), holdout.day)
    result = _compare(name, "the champion", pairs, policy.margin, policy, slack=policy.uncertainty)
    scale = pair_scale(holdout)
    return replace(result, numbers={**result.numbers, "pair": None if scale is None else scale.to_dict()})


def check_worth(holdout: HoldOut, policy: GatePolicy, trigger: str) -> CheckResult:
    """Check that a candidate nobody asked for would help at all: else doing nothing is better, and is the outcome.

    Args:
        holdout: everybody's answers.
        policy: `worth_margin`.
        trigger: what started the run, in words.
    """
    name, thresholds = "performance.worth", {"worth_margin": policy.worth_margin}
    if holdout.champion is None:
        return CheckResult(name, PASS, "no champion yet: any model helps", {}, thresholds)
    pairs = paired_days(holdout.loss(holdout.candidate), holdout.loss(holdout.champion), holdout.day)
    relative = pairs.relative() if pairs.days.size else float("nan")
    numbers = {"relative": relative, "days": int(pairs.days.size)}
    if not np.isfinite(relative):
        return CheckResult(name, PASS, "nothing to compare", {"days": int(pairs.days.size)}, thresholds)
    told = f"{percent(relative)} than the champion over {pairs.days.size} days"
    if relative > -policy.worth_margin:
        reason = f"retraining ({trigger}) would not help: {told}. Doing nothing is better: the champion stays"
        return CheckResult(name, REFUSE, reason, numbers, thresholds)
    return CheckResult(name, PASS, f"retraining ({trigger}) helps: {told}", numbers, thresholds)


def check_naive(holdout: HoldOut, policy: GatePolicy) -> CheckResult:
    """Check that the candidate beats the seasonal naive by the margin."""
    pairs = paired_days(holdout.loss(holdout.candidate), holdout.loss(holdout.naive), holdout.day)
    return _compare("performance.naive", "the seasonal naive", pairs, 0.0 - policy.naive_margin, policy)


def check_incumbent(holdout: HoldOut, incumbent: FloatArray, policy: GatePolicy) -> CheckResult:
    """Compare the absolute error of the median with the operator's own forecast: advice, or a must by policy."""
    mine = holdout.point_loss(holdout.median(holdout.candidate))
    pairs = paired_days(mine, holdout.point_loss(incumbent), holdout.day)
    result = _compare("performance.incumbent", "the operator's forecast", pairs, policy.incumbent_margin, policy)
    if result.verdict == PASS or policy.incumbent_required:
        return result
    return replace(result, verdict=PASS, reason=f"advice only: {result.reason}")


def _compare(
    name: str, against: str, pairs: PairedDays, margin: float, policy: GatePolicy, *, slack: float = 0.0
) -> CheckResult:
    """Refuse on the mean, hold on the upper bound less `slack`, of the difference relative to the other's loss."""
    numbers: dict[str, Any] = {"days": int(pairs.days.size), "rows": int(pairs.rows.sum())}
    limit = margin + slack
    thresholds = {
        "margin": margin,
        "upper": limit,
        "minimum_days": policy.minimum_days,
        "confidence": policy.confidence,
    }
    if pairs.days.size < policy.minimum_days:
        return CheckResult(name, HOLD, f"only {pairs.days.size} days to compare with {against}", numbers, thresholds)
    relative = pairs.relative()
    if not np.isfinite(relative):
        return CheckResult(name, REFUSE, f"worse than {against}, which made no error at all", numbers, thresholds)
    low, high = relative_bounds(pairs, policy, policy.confidence)
    numbers |= {
        "relative": relative,
        "lower": low,
        "upper": high,
        "difference": float(pairs.difference.mean()),
        "sd_day": float(pairs.difference.std(ddof=1)),
        "reference_loss": float(pairs.reference.mean()),
    }
    told = f"{percent(relative)} than {against} ({low:+.1%} .. {high:+.1%}) over {pairs.days.size} days"
    if relative > margin:
        return CheckResult(name, REFUSE, f"{told}; allowed {margin:+.1%}", numbers, thresholds)
    if high > limit:
        return CheckResult(name, HOLD, f"{told}; not yet shown to be within {limit:+.1%}", numbers, thresholds)
    return CheckResult(name, PASS, told, numbers, thresholds)


def relative_bounds(pairs: PairedDays, policy: GatePolicy, confidence: float) -> tuple[float, float]:
    """Return one-sided bounds of the mean daily difference, relative to the reference's mean loss where it has one."""
    low, high = bootstrap_bounds(
        pairs.difference,
        block=policy.bootstrap_block_days,
        draws=policy.bootstrap_draws,
        seed=policy.seed,
        confidence=confidence,
    )
    level = float(pairs.reference.mean())
    return (low / level, high / level) if level > 0 else (low, high)


def percent(relative: float) -> str:
    """Return a relative difference in words, such as '3.1% worse'."""
    return f"{abs(relative):.1%} {'worse' if relative > 0 else 'better'}"
