"""Owns accuracy in detail as one document: in all, by area, lead time and slice, with calibration and daily peaks."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import polars as pl

from recloser.monitoring.accuracy.slices import accuracy_by, peak_errors

DIGITS = 6
SLICES = ("working day", "day off")


def accuracy_detail(
    rows: pl.DataFrame, quantiles: Mapping[float, str], zone: str, holidays: frozenset[date]
) -> dict[str, Any]:
    """Return what is known of a forecast's accuracy now that its truth has come.

    Args:
        rows: as for `accuracy_by`: area, at, issued_at, truth_mw, scale_mw and a column (MW) per quantile.
        quantiles: level -> column; 0.5 must be among them.
        zone: IANA zone of local days and hours.
        holidays: public holidays.

    Returns:
        {"all", "by_area", "by_lead_h", "by_slice", "by_hour", "peaks"}, JSON-ready. A group has n, mae_pct and bias_pct
        (forecast minus truth) in percent of the scale, wmape, coverage_pct, and below_pct: level -> share of truths
        below that quantile, the level itself if calibrated. Peaks: n days, height_pct (forecast's peak minus the
        truth's, percent of the scale), miss_pct (the same without sign), hours_off (mean distance in time).

    Raises:
        InvalidInput: a column is missing.
    """
    local = pl.col("at").dt.convert_time_zone(zone)
    off = (local.dt.weekday() >= 6) | local.dt.date().is_in(sorted(holidays))
    dated = rows.sort("area", "at", "issued_at").with_columns(
        every=pl.lit("all"),
        slice=pl.when(off).then(pl.lit(SLICES[1])).otherwise(pl.lit(SLICES[0])),
        hour=local.dt.hour(),
    )

    def groups(by: str) -> list[dict[str, Any]]:
        return [_told(row, by, quantiles) for row in accuracy_by(dated, quantiles, by=(by,)).iter_rows(named=True)]

    whole = groups("every")
    return {
        "all": None if not whole else {name: item for name, item in whole[0].items() if name != "every"},
        "by_area": groups("area"),
        "by_lead_h": groups("lead_h"),
        "by_slice": groups("slice"),
        "by_hour": groups("hour"),
        "peaks": _peaks(
            peak_errors(dated.unique(["area", "at"], keep="last", maintain_order=True), zone, quantiles[0.5])
        ),
    }


def _told(row: Mapping[str, Any], by: str, quantiles: Mapping[float, str]) -> dict[str, Any]:
    return {
        by: row[by],
        "n": row["n"],
        "mae_pct": round(100.0 * row["mae"], DIGITS),
        "bias_pct": round(-100.0 * row["bias"], DIGITS),
        "wmape": None if row["wmape"] is None else round(row["wmape"], DIGITS),
        "coverage_pct": round(100.0 * row["coverage"], DIGITS),
        "below_pct": {f"{level:g}": round(100.0 * row[f"below_{level:g}"], DIGITS) for level in sorted(quantiles)},
    }


def _peaks(peaks: pl.DataFrame) -> dict[str, Any] | None:
    if peaks.is_empty():
        return None
    height = -100.0 * peaks["height"]
    means = {"height_pct": height.mean(), "miss_pct": height.abs().mean(), "hours_off": peaks["hours"].abs().mean()}
    return {"n": peaks.height, **{name: round(float(mean), DIGITS) for name, mean in means.items()}}  # type: ignore[arg-type]
