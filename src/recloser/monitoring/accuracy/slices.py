"""Owns the table of accuracy by any slice of scored rows, calibration included. Judges nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from recloser.core import InvalidInput

_NEEDED = {"area", "at", "issued_at", "truth_mw", "scale_mw"}


def accuracy_by(rows: pl.DataFrame, quantiles: Mapping[float, str], by: Sequence[str] = ("area",)) -> pl.DataFrame:
    """Return accuracy per group of the rows whose truth is known.

    Args:
        rows: columns area, at, issued_at, truth_mw, scale_mw and one column (MW) per quantile; rows without a usable
            truth (null or NaN: late, masked) are left out.
        quantiles: level -> column; 0.5 must be among them.
        by: columns of `rows` to group by, or 'lead_h' (whole hours from issue to delivery).

    Returns:
        The columns of `by`; n; mae and bias (truth minus median) in shares of the scale; wmape in percent (null
        where the truth sums to nothing); pinball, the mean quantile loss in shares; coverage, the share of truths
        within the outermost two; below_<level>, the share of truths below each quantile, which for a calibrated
        forecast is the level itself (the probability integral transform at these levels; Gneiting, Balabdaoui &
        Raftery 2007, Probabilistic forecasts, calibration and sharpness). Sorted by `by`.

    Raises:
        InvalidInput: a column or the median is missing.
    """
    missing = (_NEEDED | set(quantiles.values()) | (set(by) - {"lead_h"})) - set(rows.columns)
    if missing or 0.5 not in quantiles:
        raise InvalidInput("scored rows lack columns", got=sorted(rows.columns), expected=", ".join(sorted(missing)))
    truth, scale, median = pl.col("truth_mw"), pl.col("scale_mw"), pl.col(quantiles[0.5])
    levels = sorted(quantiles)
    usable = truth.is_finite() & median.is_finite() & (scale > 0)
    error = (truth - median) / scale
    total = truth.abs().sum()
    loss = pl.mean_horizontal(
        [
            pl.max_horizontal(level * (truth - pl.col(name)), (level - 1) * (truth - pl.col(name))) / scale
            for level, name in ((level, quantiles[level]) for level in levels)
        ]
    )
    lowest, highest = quantiles[levels[0]], quantiles[levels[-1]]
    return (
        rows.with_columns(lead_h=(pl.col("at") - pl.col("issued_at")).dt.total_hours())
        .filter(usable.fill_null(value=False))
        .group_by(list(by), maintain_order=True)  # sums of floats in one order, so that they are the same twice
        .agg(
            n=pl.len().cast(pl.Int64),
            mae=error.abs().mean(),
            bias=error.mean(),
            wmape=pl.when(total > 0).then(100.0 * (truth - median).abs().sum() / total),
            pinball=loss.mean(),
            coverage=truth.is_between(pl.col(lowest), pl.col(highest)).mean(),
            **{f"below_{level:g}": (truth < pl.col(quantiles[level])).mean() for level in levels},
        )
        .sort(list(by))
    )


def peak_errors(rows: pl.DataFrame, zone: str, median: str, least_share: float = 0.8) -> pl.DataFrame:
    """Return by how much and by how long the forecast misses each local day's peak.

    Args:
        rows: columns area, at, truth_mw, scale_mw and the median (MW), one forecast per area and instant.
        zone: IANA zone of the local day.
        median: name of the median's column.
        least_share: of the day's rows whose truth must be known, else the day is left out.

    Returns:
        area, day, peak_mw (truth), height (truth's peak minus the forecast's, in shares of the scale), hours (the
        truth's peak later than the forecast's; the first of equal ones), sorted.
    """
    known = pl.col("truth_mw").is_finite() & pl.col(median).is_finite()
    local = pl.col("at").dt.convert_time_zone(zone).dt.date()
    when = pl.col("at").get(pl.col("truth_mw").arg_max()) - pl.col("at").get(pl.col(median).arg_max())
    return (
        rows.sort("area", "at")
        .with_columns(day=local, usable=known.fill_null(value=False))
        .with_columns(share=pl.col("usable").mean().over("area", "day"))
        .filter(pl.col("usable") & (pl.col("share") >= least_share))
        .group_by("area", "day")
        .agg(
            peak_mw=pl.col("truth_mw").max(),
            height=(pl.col("truth_mw").max() - pl.col(median).max()) / pl.col("scale_mw").mean(),
            hours=when.dt.total_minutes() / 60.0,
        )
        .sort("area", "day")
    )
