"""Owns recognising unit mistakes in training data: kW for MW, degF or K for degC. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from recloser.core import FloatArray
from recloser.staging.data.series import Grid
from recloser.staging.policy import GatePolicy
from recloser.staging.verdict import HOLD, PASS, REFUSE, CheckResult

_MAX_DAILY_CHANGE_C = 25.0
_FACTORS = {
    1e3: "about 1000 times (kW read as MW?)",
    1e-3: "about a thousandth of (GW read as MW?)",
    1e6: "about a million times (W read as MW?)",
    1e-6: "about a millionth of",
}


def check_units(grid: Grid, recent: Grid | None, policy: GatePolicy) -> CheckResult:
    """Check for level jumps between parts of the window, and against recent verified load, that only units explain.

    The level of a day is the 90th percentile of |load|: it stays away from zero where net load crosses it. Days of
    an area are sorted by level; a gap of `unit_ratio` between neighbours splits them into right and wrong ones.
    """
    thresholds = {"unit_ratio": policy.unit_ratio, "max_unit_share": policy.max_unit_share}
    levels = daily_levels(grid)
    found = [_split(levels[row], policy.unit_ratio) for row in range(len(grid.areas))]
    shares = np.array([share for share, _ in found])
    worst = int(shares.argmax())
    numbers: dict[str, object] = {"worst_area": grid.areas[worst], "wrong_share": float(shares[worst])}
    if shares[worst] > policy.max_unit_share:
        ratio = found[worst][1]
        reason = f"unit error: parts of the load of {grid.areas[worst]} are {_times(ratio)} the rest"
        return CheckResult("data.units", REFUSE, reason, numbers | {"ratio": ratio}, thresholds)
    if recent is None:
        return CheckResult("data.units", PASS, "one level throughout (no recent load to compare)", numbers, thresholds)
    ratios = _against(grid, levels, recent)
    if ratios:
        area = max(ratios, key=lambda name: abs(np.log(ratios[name])))
        numbers |= {"against_recent": ratios[area], "against_recent_area": area}
        if abs(np.log(ratios[area])) > np.log(policy.unit_ratio):
            reason = f"unit error: the load of {area} is {_times(ratios[area])} the recent verified load"
            return CheckResult("data.units", REFUSE, reason, numbers, thresholds)
    return CheckResult("data.units", PASS, "one level throughout", numbers, thresholds)


def check_temperature(frame: pl.DataFrame, columns: Sequence[str], policy: GatePolicy) -> CheckResult:
    """Check temperatures in degC for other units and impossible values, per area and column."""
    thresholds = {
        "min_temperature_c": policy.min_temperature_c,
        "max_temperature_c": policy.max_temperature_c,
        "max_bad_temperature_share": policy.max_bad_temperature_share,
        "max_daily_change_c": _MAX_DAILY_CHANGE_C,
    }
    name = "data.temperature"
    if not columns:
        return CheckResult(name, PASS, "no temperature feature", {}, thresholds)
    worst = _hottest(frame, columns, policy)
    if worst is None:
        return CheckResult(name, HOLD, "no temperature is known", {}, thresholds)
    numbers = worst | {"largest_daily_change_c": _daily_change(frame, columns[0])}
    where = f"{worst['column']} of {worst['area']}"
    if worst["bad_share"] > policy.max_bad_temperature_share:
        unit = "K" if worst["median"] > 200 else "degF" if worst["median"] > 30 else "another unit"
        reason = f"unit error: {where} looks like {unit} (median {worst['median']:.1f}, highest {worst['highest']:.1f})"
        return CheckResult(name, REFUSE, reason, numbers, thresholds)
    if numbers["largest_daily_change_c"] > _MAX_DAILY_CHANGE_C:
        reason = f"unit error: {columns[0]} jumps by {numbers['largest_daily_change_c']:.0f} degC between daily means"
        return CheckResult(name, REFUSE, reason, numbers, thresholds)
    return CheckResult(name, PASS, f"within {worst['lowest']:.0f} .. {worst['highest']:.0f} degC", numbers, thresholds)


def daily_levels(grid: Grid) -> FloatArray:
    """Return the 90th percentile of |load| per area and local day, MW, shape (n_areas, n_days); NaN if unknown or 0."""
    rows, columns = np.nonzero(np.isfinite(grid.load))
    frame = pl.DataFrame(
        {"row": rows, "day": grid.day[columns] - grid.day[0], "level": np.abs(grid.load[rows, columns])}
    )
    levels = frame.group_by("row", "day").agg(pl.col("level").quantile(0.9)).sort("row", "day")
    result = np.full((len(grid.areas), int(grid.day[-1] - grid.day[0]) + 1), np.nan)
    result[levels["row"].to_numpy(), levels["day"].to_numpy()] = levels["level"].to_numpy()
    result[result <= 0] = np.nan
    return result


def _split(levels: FloatArray, unit_ratio: float) -> tuple[float, float]:
    """Return the share of days on the rarer side of the widest level gap, and the ratio across it; 0 if none."""
    known = np.sort(levels[np.isfinite(levels)])
    if known.size < 2:
        return 0.0, 1.0
    ratios = known[1:] / known[:-1]
    at = int(ratios.argmax())
    if ratios[at] < unit_ratio:
        return 0.0, 1.0
    upper = known.size - at - 1
    ratio = float(np.median(known[at + 1 :]) / np.median(known[: at + 1]))
    return min(upper, at + 1) / known.size, ratio if upper <= at + 1 else 1.0 / ratio


def _against(grid: Grid, levels: FloatArray, recent: Grid) -> dict[str, float]:
    other = daily_levels(recent)
    ratios = {}
    for row, area in enumerate(recent.areas):
        mine = levels[grid.areas.index(area)]
        if np.isfinite(mine).any() and np.isfinite(other[row]).any():
            ratios[area] = float(np.nanmedian(mine) / np.nanmedian(other[row]))
    return ratios


def _hottest(frame: pl.DataFrame, columns: Sequence[str], policy: GatePolicy) -> dict[str, Any] | None:
    """Return the (area, column) with the largest share of impossible values, with its numbers."""
    known = frame.select("area", pl.col(columns).cast(pl.Float64).fill_nan(None))
    parts = []
    for column in columns:
        outside = (pl.col(column) > policy.max_temperature_c) | (pl.col(column) < policy.min_temperature_c)
        numbers = known.group_by("area", maintain_order=True).agg(
            pl.lit(column).alias("column"),
            outside.mean().alias("bad_share"),
            pl.col(column).min().alias("lowest"),
            pl.col(column).max().alias("highest"),
        )
        parts.append(numbers.drop_nulls())
    table = pl.concat(parts).sort("bad_share", "highest", "area", "column", descending=[True, True, False, False])
    if table.is_empty():
        return None
    worst = table.row(0, named=True)
    median = known.filter(pl.col("area") == worst["area"])[worst["column"]].median()
    return {**worst, "median": median}


def _daily_change(frame: pl.DataFrame, column: str) -> float:
    """Return the largest change of the daily mean between neighbouring days, of an area and of the whole fleet.

    Where areas take turns in the training data, neighbouring days belong to different ones: then the fleet's median
    of each area's distance from its own median tells.
    """
    daily = (
        frame.filter(pl.col(column).cast(pl.Float64).is_finite())
        .group_by("area", pl.col("at").dt.date().alias("day"), maintain_order=True)
        .agg(pl.col(column).cast(pl.Float64).mean().alias("mean"))
        .with_columns(away=pl.col("mean") - pl.col("mean").median().over("area"))
        .sort("area", "day")
    )
    fleet = daily.group_by("day").agg(pl.col("away").median()).sort("day").with_columns(area=pl.lit("*"))
    changes = [
        table.with_columns(gap=pl.col("day").diff().over("area"), change=pl.col("away").diff().abs().over("area"))
        .filter(pl.col("gap") == pl.duration(days=1))
        .select(pl.col("change").max())
        .item()
        for table in (daily, fleet)
    ]
    return max((float(change) for change in changes if change is not None), default=0.0)


def _times(ratio: float) -> str:
    for factor, text in _FACTORS.items():
        if abs(np.log10(ratio / factor)) < 0.4:
            return text
    return f"{ratio:.3g} times"
