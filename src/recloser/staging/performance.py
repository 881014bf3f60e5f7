"""Owns the comparison with champion, naive floor and incumbent on a hold-out. Differences, never ratios of scores."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from recloser.core import FloatArray
from recloser.core.scores import score_table
from recloser.staging.holdout import HoldOut, PairedDays, bootstrap_bounds, pair_scale, paired_days
from recloser.staging.policy import GatePolicy
from recloser.staging.verdict import HOLD, PASS, REFUSE, CheckResult

_SEASONS = ("DJF", "MAM", "JJA", "SON")


def check_performance(holdout: HoldOut, policy: GatePolicy) -> tuple[CheckResult, ...]:
    """Check the answers themselves, then against champion, seasonal naive, incumbent, and slice by slice.

    Daily means of the loss difference (CRPS over the area's level; absolute error for the incumbent) with 7-day
    block-bootstrap bounds. Worse than the margin by the mean refuses; a mean within it whose bound is not is a hold.
    """
    output = check_output(holdout)
    if output.verdict != PASS:
        return (output,)
    results = [output, check_champion(holdout, policy), check_naive(holdout, policy)]
    if holdout.incumbent is not None:
        results.append(check_incumbent(holdout, holdout.incumbent, policy))
    return (*results, check_slices(holdout, policy))


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


def check_slices(holdout: HoldOut, policy: GatePolicy) -> CheckResult:
    """Check that no season, block of hours, kind of day or area is much worse than the reference there.

    The reference is the champion, before the first one the naive. A slice refuses when its mean is beyond the slice
    margin and certainly (lower bound) worse at all; small slices are not judged.
    """
    against = "champion" if holdout.champion is not None else "naive"
    reference = holdout.naive if holdout.champion is None else holdout.champion
    mine, other = holdout.loss(holdout.candidate), holdout.loss(reference)
    table: dict[str, dict[str, float | int]] = {}
    for label, rows in _slices(holdout):
        pairs = paired_days(mine[rows], other[rows], holdout.day[rows])
        if pairs.days.size >= policy.slice_minimum_days:
            low, _ = _relative_bounds(pairs, policy)
            table[label] = {"relative": pairs.relative(), "lower": low, "days": int(pairs.days.size)}
    thresholds = {"slice_margin": policy.slice_margin, "slice_minimum_days": policy.slice_minimum_days}
    numbers = {"against": against, "slices": table}
    name = "performance.slices"
    if not table:
        return CheckResult(name, HOLD, "no slice has enough days", numbers, thresholds)
    bad = {k: v for k, v in table.items() if not (v["relative"] <= policy.slice_margin or v["lower"] <= 0)}
    worst = max(table, key=lambda label: (table[label]["relative"], label))
    told = f"{_percent(table[worst]['relative'])} than the {against} in {worst}"
    if bad:
        reason = f"{len(bad)} of {len(table)} slices are too bad; {told}"
        return CheckResult(name, REFUSE, reason, numbers, thresholds)
    return CheckResult(name, PASS, f"{len(table)} slices, the worst {told}", numbers, thresholds)


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
    low, high = _relative_bounds(pairs, policy)
    numbers |= {
        "relative": relative,
        "lower": low,
        "upper": high,
        "difference": float(pairs.difference.mean()),
        "sd_day": float(pairs.difference.std(ddof=1)),
        "reference_loss": float(pairs.reference.mean()),
    }
    told = f"{_percent(relative)} than {against} ({low:+.1%} .. {high:+.1%}) over {pairs.days.size} days"
    if relative > margin:
        return CheckResult(name, REFUSE, f"{told}; allowed {margin:+.1%}", numbers, thresholds)
    if high > limit:
        return CheckResult(name, HOLD, f"{told}; not yet shown to be within {limit:+.1%}", numbers, thresholds)
    return CheckResult(name, PASS, told, numbers, thresholds)


def _relative_bounds(pairs: PairedDays, policy: GatePolicy) -> tuple[float, float]:
    low, high = bootstrap_bounds(
        pairs.difference,
        block=policy.bootstrap_block_days,
        draws=policy.bootstrap_draws,
        seed=policy.seed,
        confidence=policy.confidence,
    )
    level = float(pairs.reference.mean())
    return (low / level, high / level) if level > 0 else (low, high)


def _slices(holdout: HoldOut) -> Iterator[tuple[str, npt.NDArray[np.bool_]]]:
    months = holdout.day.astype("datetime64[M]").astype(np.int64) % 12
    season = (months + 1) % 12 // 3
    for index, label in enumerate(_SEASONS):
        yield f"season {label}", season == index
    for start in range(0, 24, 6):
        yield f"hours {start:02d}-{start + 6:02d}", holdout.hour // 6 == start // 6
    weekday = (holdout.day.astype(np.int64) + 3) % 7  # 1970-01-01 was a Thursday
    off = (weekday >= 5) | holdout.holiday
    yield "working days", ~off
    yield "weekends and holidays", off
    for name in np.unique(holdout.area):
        yield f"area {name}", holdout.area == name


def _percent(relative: float) -> str:
    return f"{abs(relative):.1%} {'worse' if relative > 0 else 'better'}"
