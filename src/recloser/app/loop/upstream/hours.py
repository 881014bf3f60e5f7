"""Owns load and forecasts of local days by the hour, as known when a day closed. Judges nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from recloser.core import FloatArray, Panel, Quality, local_midnight

KEPT = int(Quality.UNUSABLE) & ~int(Quality.SHIFT_SUSPECT)
DAY = timedelta(days=1)


def by_hour(rows: pl.DataFrame, zone: ZoneInfo, areas: Sequence[str], days: Sequence[date]) -> FloatArray:
    """Return the mean of each local hour, shape (n_areas, n_days, 24); NaN where nothing is known.

    Args:
        rows: columns area, at, value (MW).
        zone: of the local day; the hour that a clock change leaves out is NaN, the one that comes twice their mean.
        areas: first axis of the result.
        days: second axis, local.
    """
    local = pl.col("at").dt.convert_time_zone(zone.key)
    known = rows.filter(pl.col("value").is_finite() & pl.col("area").is_in(list(areas)))
    hours = known.group_by("area", day=local.dt.date(), hour=local.dt.hour(), maintain_order=True).agg(
        pl.col("value").mean()
    )
    hours = hours.filter(pl.col("day").is_in(list(days)))
    places = {area: k for k, area in enumerate(areas)}, {day: k for k, day in enumerate(days)}
    table = np.full((len(areas), len(days), 24), np.nan)
    row = hours["area"].replace_strict(places[0], return_dtype=pl.Int64).to_numpy()
    column = [places[1][day] for day in hours["day"]]
    table[row, column, hours["hour"].to_numpy()] = hours["value"].to_numpy()
    return table


def measured(panel: Panel, quantity: str) -> pl.DataFrame:
    """Return area, at, value of a series by its value: a suspected shift does not hide it, other faults do."""
    frame = panel.frame.filter(pl.col("quantity") == quantity)
    latest = Panel(frame, panel.resolution, panel.as_of).latest()
    usable = (pl.col("quality").cast(pl.Int64) & KEPT) == 0
    return latest.filter(usable).select("area", "at", "value")


def span_of(day: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Return the beginning of the day before and the end of the day (aware UTC)."""
    return local_midnight(day - DAY, zone), local_midnight(day + DAY, zone)
