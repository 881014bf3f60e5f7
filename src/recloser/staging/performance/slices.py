"""Owns the comparison slice by slice: season, hours, kind of day, weather extreme, asset group, area."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from recloser.core import FloatArray
from recloser.staging.performance.comparison import percent, relative_bounds
from recloser.staging.performance.holdout import HoldOut, paired_days
from recloser.staging.performance.metrics import peak_rows
from recloser.staging.policy import GatePolicy
from recloser.staging.verdict import HOLD, PASS, REFUSE, CheckResult

_SEASONS = ("DJF", "MAM", "JJA", "SON")
_EXTREME = 0.05


def check_slices(holdout: HoldOut, policy: GatePolicy) -> CheckResult:
    """Check that no slice is much worse than the reference there, by CRPS, absolute error and peak error.

    The reference is the champion, before the first one the naive. A slice refuses when its mean is beyond the slice
    margin and certainly (lower bound) worse at all; the further metrics share the error level among all comparisons
    (Bonferroni). Small slices are told and not judged.
    """
    against = "champion" if holdout.champion is not None else "naive"
    reference = holdout.naive if holdout.champion is None else holdout.champion
    losses = _losses(holdout, reference)
    slices = [(label, rows) for label, rows in slices_of(holdout) if rows.any()]
    shared = 1.0 - (1.0 - policy.confidence) / max(1, 2 * len(slices))
    table: dict[str, dict[str, Any]] = {}
    for label, rows in slices:
        for metric, (mine, other) in losses.items():
            pairs = paired_days(mine[rows], other[rows], holdout.day[rows])
            if pairs.days.size < _least(metric, policy):
                continue
            low, _ = relative_bounds(pairs, policy, policy.confidence if metric == "rcrps" else shared)
            row = {"relative": pairs.relative(), "lower": low, "days": int(pairs.days.size)}
            if metric == "rcrps":
                table[label] = row
            else:
                table.setdefault(label, {})[metric] = row
    thresholds = {"slice_margin": policy.slice_margin, "slice_minimum_days": policy.slice_minimum_days}
    numbers = {"against": against, "slices": table}
    name = "performance.slices"
    flat = {
        (label, metric): row if metric == "rcrps" else row[metric]
        for label, row in table.items()
        for metric in losses
        if metric == "rcrps" or metric in row
    }
    if not flat:
        return CheckResult(name, HOLD, "no slice has enough days", numbers, thresholds)
    bad = {k: v for k, v in flat.items() if not (v["relative"] <= policy.slice_margin or v["lower"] <= 0)}
    worst = max(bad or flat, key=lambda key: (flat[key]["relative"], key))
    told = f"{percent(flat[worst]['relative'])} than the {against} in {worst[0]} by {worst[1]}"
    if bad:
        count = len({label for label, _ in bad})
        return CheckResult(name, REFUSE, f"{count} of {len(table)} slices are too bad; {told}", numbers, thresholds)
    return CheckResult(name, PASS, f"{len(table)} slices, the worst {told}", numbers, thresholds)


def _least(metric: str, policy: GatePolicy) -> int:
    """Return the days below which a slice is not judged; far bounds need more blocks than few days give."""
    return policy.slice_minimum_days if metric == "rcrps" else max(21, 3 * policy.bootstrap_block_days)


def _losses(holdout: HoldOut, reference: FloatArray) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Return per metric the losses of candidate and reference by row; NaN where a row does not count."""
    points = [holdout.point_loss(holdout.median(forecast)) for forecast in (holdout.candidate, reference)]
    peaks = peak_rows(holdout)
    return {
        "rcrps": (holdout.loss(holdout.candidate), holdout.loss(reference)),
        "rmae": (points[0], points[1]),
        "peak": (np.where(peaks, points[0], np.nan), np.where(peaks, points[1], np.nan)),
    }


def slices_of(holdout: HoldOut) -> Iterator[tuple[str, npt.NDArray[np.bool_]]]:
    """Yield each slice's name and which rows belong to it, shape (n_rows,)."""
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
    yield "holidays", holdout.holiday
    if holdout.temperature_c is not None:
        yield from _extremes(holdout, holdout.temperature_c)
    if holdout.group is not None:
        for name in sorted(set(holdout.group.tolist()) - {""}):
            yield f"group {name}", holdout.group == name
    for name in np.unique(holdout.area):
        yield f"area {name}", holdout.area == name


def _extremes(holdout: HoldOut, temperature_c: FloatArray) -> Iterator[tuple[str, npt.NDArray[np.bool_]]]:
    """Yield the coldest and hottest twentieth of each area's rows."""
    cold, hot = np.zeros(len(temperature_c), dtype=np.bool_), np.zeros(len(temperature_c), dtype=np.bool_)
    for name in np.unique(holdout.area):
        rows = (holdout.area == name) & np.isfinite(temperature_c)
        if rows.any():
            low, high = np.quantile(temperature_c[rows], [_EXTREME, 1.0 - _EXTREME])
            cold |= rows & (temperature_c <= low)
            hot |= rows & (temperature_c >= high)
    yield "coldest hours", cold
    yield "hottest hours", hot
