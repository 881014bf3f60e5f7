"""Owns the way from forecasts and truth to one signed score per area and day, and one for the fleet."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from recloser.core import FloatArray


@dataclass(frozen=True, slots=True)
class DayScore:
    """The fleet's forecast errors of one local day; shares of the areas' scale, positive where load was higher.

    Attributes:
        day: local date.
        signed: trimmed mean over areas of the mean signed error (truth minus median forecast).
        spread: trimmed mean over areas of the absolute error.
        areas: how many areas had enough usable samples.
        off: True on weekends and public holidays.
        size: how large an error is usual on such a day (heat, cold), over the size at comfort.
    """

    day: date
    signed: float
    spread: float
    areas: int
    off: bool = False
    size: float = 1.0


def daily_errors(rows: pl.DataFrame, zone: str, least_share: float = 0.5) -> pl.DataFrame:
    """Return errors per area and local day from scored forecast rows.

    Args:
        rows: columns area, at, truth_mw, median_mw, scale_mw, and optionally low_mw and high_mw (the 80 %
            interval) and naive_mw. Rows without a usable truth (null or NaN: late, masked) are left out.
        zone: IANA zone of the local day.
        least_share: of the day's rows that must be usable, else the day of that area is left out.

    Returns:
        area, day, signed, absolute (shares of scale_mw), inside (share in the interval, null without),
        naive (absolute error of the naive floor, null without), n; sorted by day and area.
    """
    known = pl.col("truth_mw").is_finite() & pl.col("median_mw").is_finite() & (pl.col("scale_mw") > 0)
    error = (pl.col("truth_mw") - pl.col("median_mw")) / pl.col("scale_mw")
    has_band, has_naive = {"low_mw", "high_mw"} <= set(rows.columns), "naive_mw" in rows.columns
    inside = (
        pl.col("truth_mw").is_between("low_mw", "high_mw").cast(pl.Float64) if has_band else pl.lit(None, pl.Float64)
    )
    naive = (
        (pl.col("truth_mw") - pl.col("naive_mw")).abs() / pl.col("scale_mw") if has_naive else pl.lit(None, pl.Float64)
    )
    usable = known.fill_null(value=False)
    return (
        rows.with_columns(
            day=pl.col("at").dt.convert_time_zone(zone).dt.date(), signed=error, inside=inside, naive=naive
        )
        .with_columns(total=pl.len().over("area", "day"))
        .filter(usable)
        .group_by("area", "day", maintain_order=True)
        .agg(
            pl.col("signed").mean(),
            pl.col("signed").abs().mean().alias("absolute"),
            pl.col("inside").mean(),
            pl.col("naive").filter(pl.col("naive").is_finite()).mean(),
            pl.len().cast(pl.Int64).alias("n"),
            pl.col("total").first(),
        )
        .filter(pl.col("n") >= least_share * pl.col("total"))
        .select("area", "day", "signed", "absolute", "inside", "naive", "n")
        .sort("day", "area")
    )


def pool(
    errors: pl.DataFrame, days_off: frozenset[date] = frozenset(), trim: float = 0.2, least: int = 1
) -> list[DayScore]:
    """Return one score per day for the fleet: the trimmed mean over areas, so that a few bad feeds move nothing.

    Args:
        errors: from `daily_errors`.
        days_off: public holidays; weekends count as off without being named.
        trim: share of areas cut at either end.
        least: areas below which a day is left out.
    """
    scores = []
    for (day,), group in errors.sort("day").group_by("day", maintain_order=True):
        if len(group) < least or not isinstance(day, date):
            continue
        scores.append(
            DayScore(
                day,
                trimmed_mean(group["signed"].to_numpy(), trim),
                trimmed_mean(group["absolute"].to_numpy(), trim),
                len(group),
                day.weekday() >= 5 or day in days_off,
            )
        )
    return scores


def trimmed_mean(values: FloatArray, trim: float) -> float:
    """Return the mean without the lowest and highest `trim` share."""
    ordered = np.sort(values)
    cut = int(trim * len(ordered))
    return float(ordered[cut : len(ordered) - cut].mean())
