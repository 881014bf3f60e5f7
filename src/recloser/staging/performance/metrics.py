"""Owns the further metrics of the comparison: absolute, quantile and peak error, bias, coverage; with uncertainty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from recloser.core import FloatArray
from recloser.core.scores import usable
from recloser.staging.performance.holdout import HoldOut, bootstrap_means
from recloser.staging.policy import GatePolicy
from recloser.staging.verdict import HOLD, PASS, REFUSE, CheckResult

PEAK_SHARE = 0.1
LOSSES = ("rmae", "rcrps", "peak")
METRICS = (*LOSSES, "bias", "coverage80")
BAND = 80.0


@dataclass(frozen=True, slots=True)
class Daily:
    """Daily means of one model's numbers on the rows it shares with another, shape (n_days,) each.

    Attributes:
        days: local dates, ascending.
        numbers: 'rmae', 'rcrps', 'peak' and 'bias' in units of the recent level, 'coverage80' in percent; NaN on a
            day that has none.
    """

    days: npt.NDArray[np.datetime64]
    numbers: dict[str, FloatArray]


def check_metrics_of_pair(holdout: HoldOut, policy: GatePolicy) -> CheckResult:
    """Check several metrics against the champion, before the first one against the naive.

    A metric refuses when it is worse than its margin by the mean and certainly worse at all (lower bound of the
    block-bootstrapped daily difference). A metric that is missing or no number refuses. Bias and coverage of a first
    model are told and not judged here: the naive has hardly any bias, and coverage has its own check.

    rmae and rcrps are mean absolute error and CRPS over the recent level; peak is the absolute error in the highest
    tenth of each area's day; bias is |mean signed error|, all as shares of the reference's rmae; coverage is the
    distance of the 80 % band's coverage from 80 %, in points.
    """
    against = "champion" if holdout.champion is not None else "naive"
    reference = holdout.naive if holdout.champion is None else holdout.champion
    mine, other = daily_pair(holdout, holdout.candidate, reference)
    thresholds: dict[str, Any] = {
        "metric_margin": policy.metric_margin,
        "bias_margin": policy.bias_margin,
        "coverage_margin": policy.coverage_margin,
    }
    name = "performance.metrics"
    if mine.days.size < policy.minimum_days:
        reason = f"only {mine.days.size} days to compare metrics with the {against}"
        return CheckResult(name, HOLD, reason, {"days": int(mine.days.size)}, thresholds)
    table = {metric: compare_metric(metric, mine, other, policy) for metric in METRICS}
    numbers = {"against": against, "days": int(mine.days.size), "metrics": table}
    lost = [metric for metric, row in table.items() if not np.isfinite(list(row.values())).all()]
    if lost:
        return CheckResult(name, REFUSE, f"missing metric or not a number: {', '.join(lost)}", numbers, thresholds)
    judged = METRICS if holdout.champion is not None else LOSSES
    margins = {"bias": policy.bias_margin, "coverage80": policy.coverage_margin}
    worse = [
        metric
        for metric in judged
        if table[metric]["worse"] > margins.get(metric, policy.metric_margin) and table[metric]["lower"] > 0
    ]
    if worse:
        told = "; ".join(f"{metric} {_told(metric, table[metric])}" for metric in worse)
        return CheckResult(name, REFUSE, f"certainly worse than the {against}: {told}", numbers, thresholds)
    least = max(judged, key=lambda metric: (table[metric]["worse"] / margins.get(metric, policy.metric_margin), metric))
    reason = f"{len(judged)} metrics against the {against}; nearest to its margin: {least} {_told(least, table[least])}"
    return CheckResult(name, PASS, reason, numbers, thresholds)


def compare_metric(metric: str, mine: Daily, other: Daily, policy: GatePolicy) -> dict[str, float]:
    """Return how the two stand: each one's number, how much worse the first is, and bounds of that.

    Returns:
        candidate, reference: means over days; 'coverage80' in percent, else in units of the recent level.
        worse, lower, upper: relative to the reference's rmae (bias) or own number; coverage in points.
    """
    both = np.column_stack([mine.numbers[metric], other.numbers[metric], other.numbers["rmae"]])
    both = both[np.isfinite(both).all(axis=1)]
    if not len(both):
        return dict.fromkeys(("candidate", "reference", "worse", "lower", "upper"), float("nan"))
    drawn = bootstrap_means(both, block=policy.bootstrap_block_days, draws=policy.bootstrap_draws, seed=policy.seed)
    means = both.mean(axis=0)
    low, high = np.quantile(_distance(metric, drawn, means), [1.0 - policy.confidence, policy.confidence])
    return {
        "candidate": float(means[0]),
        "reference": float(means[1]),
        "worse": float(_distance(metric, means[None, :], means)[0]),
        "lower": float(low),
        "upper": float(high),
    }


def _distance(metric: str, means: FloatArray, level: FloatArray) -> FloatArray:
    """Return how much worse the first column is than the second, row by row; a perfect reference gives infinity."""
    with np.errstate(divide="ignore", invalid="ignore"):
        if metric == "coverage80":
            result: FloatArray = np.abs(means[:, 0] - BAND) - np.abs(means[:, 1] - BAND)
        elif metric == "bias":
            result = (np.abs(means[:, 0]) - np.abs(means[:, 1])) / level[2]
        else:
            result = (means[:, 0] - means[:, 1]) / level[1]
    return result


def daily_pair(holdout: HoldOut, first: FloatArray, second: FloatArray) -> tuple[Daily, Daily]:
    """Return both models' daily numbers on the rows where truth and both answers are finite; thin days drop."""
    rows = np.asarray(usable(holdout.truth, first) & usable(holdout.truth, second))
    days, index = np.unique(holdout.day[rows], return_inverse=True)
    counts = np.bincount(index, minlength=days.size)
    full = counts >= (np.median(counts) / 2 if counts.size else 0)
    peaks = peak_rows(holdout)[rows]
    sides = []
    for forecast in (first, second):
        each = row_numbers(holdout, forecast, rows)
        numbers = {name: _means(column, index, days.size)[full] for name, column in each.items()}
        numbers["peak"] = _means(np.where(peaks, each["rmae"], np.nan), index, days.size)[full]
        sides.append(Daily(days[full], numbers))
    return sides[0], sides[1]


def row_numbers(holdout: HoldOut, forecast: FloatArray, rows: npt.NDArray[np.bool_]) -> dict[str, FloatArray]:
    """Return per row the numbers that daily means are taken of: rmae, rcrps, bias, coverage80."""
    error = (holdout.median(forecast)[rows] - holdout.truth[rows]) / holdout.scale()[rows]
    numbers = {"rmae": np.abs(error), "rcrps": holdout.loss(forecast)[rows], "bias": error}
    numbers["coverage80"] = np.full(error.size, np.nan)
    if 0.1 in holdout.quantiles and 0.9 in holdout.quantiles:
        low, high = (forecast[rows, holdout.quantiles.index(level)] for level in (0.1, 0.9))
        truth = holdout.truth[rows]
        numbers["coverage80"] = 100.0 * ((truth >= low) & (truth <= high))
    return numbers


def peak_rows(holdout: HoldOut) -> npt.NDArray[np.bool_]:
    """Return which rows belong to the highest tenth of their area's day by truth, at least one a day."""
    areas, area = np.unique(holdout.area, return_inverse=True)
    days, day = np.unique(holdout.day, return_inverse=True)
    cell = area.astype(np.int64) * days.size + day
    known = np.flatnonzero(np.isfinite(holdout.truth))
    order = known[np.lexsort((-holdout.truth[known], cell[known]))]
    counts = np.bincount(cell[order], minlength=areas.size * days.size)
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    rank = np.arange(order.size) - first[cell[order]]
    result = np.zeros(len(holdout.truth), dtype=np.bool_)
    result[order] = rank < np.maximum(1, PEAK_SHARE * counts[cell[order]])
    return result


def _means(column: FloatArray, index: npt.NDArray[np.int64], size: int) -> FloatArray:
    known = np.isfinite(column)
    counts = np.bincount(index[known], minlength=size)
    sums = np.bincount(index[known], column[known], minlength=size)
    result: FloatArray = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return result


def _told(metric: str, row: dict[str, float]) -> str:
    if metric == "coverage80":
        return f"{row['worse']:+.1f} points ({row['lower']:+.1f} .. {row['upper']:+.1f})"
    return f"{row['worse']:+.1%} ({row['lower']:+.1%} .. {row['upper']:+.1%})"
