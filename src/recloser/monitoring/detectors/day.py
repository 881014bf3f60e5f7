"""Owns one series' forecast errors of a local day, by block of the day. Judges nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl

from recloser.core import FloatArray, InvalidInput

BLOCKS = 8


@dataclass(frozen=True, slots=True)
class DayErrors:
    """Signed errors of one series on one local day, in shares of its scale; positive where load was higher.

    Attributes:
        day: local date.
        blocks: mean error of each three-hour block of the day, shape (8,); NaN without enough usable rows.
        absolute: mean absolute error of the day.
        off: True on weekends and public holidays.
        special: True on public holidays, the days next to them and from Christmas to New Year.
        size: how large an error is usual on such a day (heat, cold), over the size at comfort.
    """

    day: date
    blocks: tuple[float, ...]
    absolute: float
    off: bool = False
    special: bool = False
    size: float = 1.0

    def __post_init__(self) -> None:
        if len(self.blocks) != BLOCKS:
            raise InvalidInput("a day of errors has eight blocks", got=len(self.blocks), expected=str(BLOCKS))


def day_errors(days: list[date], hourly: FloatArray, holidays: frozenset[date]) -> list[DayErrors]:
    """Return a series' days that have at least four blocks with errors.

    Args:
        days: local dates.
        hourly: signed errors in shares of the scale, shape (n_days, 24); NaN where truth or forecast is missing,
            faulty or masked.
        holidays: public holidays; weekends count as off without being named.
    """
    if hourly.shape != (len(days), 24):
        raise InvalidInput("errors by hour do not fit the days", got=hourly.shape, expected=str((len(days), 24)))
    parts = hourly.reshape(len(days), BLOCKS, 24 // BLOCKS)
    known = np.isfinite(parts)
    count = known.sum(axis=2)
    with np.errstate(invalid="ignore", divide="ignore"):
        blocks = np.where(count >= 2, np.where(known, parts, 0.0).sum(axis=2) / count, np.nan)
        absolute = np.where(known, np.abs(parts), 0.0).sum(axis=(1, 2)) / count.sum(axis=1)
    enough = np.isfinite(blocks).sum(axis=1) >= BLOCKS // 2
    return [
        DayErrors(
            day,
            tuple(blocks[k].tolist()),
            float(absolute[k]),
            day.weekday() >= 5 or day in holidays,
            is_special(day, holidays),
        )
        for k, day in enumerate(days)
        if enough[k]
    ]


def errors_of_rows(rows: pl.DataFrame, zone: str, holidays: frozenset[date]) -> dict[str, list[DayErrors]]:
    """Return each area's days from scored forecast rows.

    Args:
        rows: columns area, at, truth_mw, median_mw, scale_mw; rows without a usable truth count as missing.
        zone: IANA zone of the local day.
        holidays: public holidays.
    """
    error = (pl.col("truth_mw") - pl.col("median_mw")) / pl.col("scale_mw")
    local = pl.col("at").dt.convert_time_zone(zone)
    hours = (
        rows.select("area", day=local.dt.date(), hour=local.dt.hour(), error=error)
        .filter(pl.col("error").is_finite())
        .group_by("area", "day", "hour")
        .agg(pl.col("error").mean())
        .sort("area", "day", "hour")
    )
    result = {}
    for (area,), own in hours.group_by("area", maintain_order=True):
        days = own["day"].unique(maintain_order=True).to_list()
        table = np.full((len(days), 24), np.nan)
        place = own["day"].rle_id().to_numpy()
        table[place, own["hour"].to_numpy()] = own["error"].to_numpy()
        result[str(area)] = day_errors(days, table, holidays)
    return result


def is_special(day: date, holidays: frozenset[date]) -> bool:
    """Return whether errors of the day are those of a holiday: on it, next to it, or from Christmas to New Year."""
    if (day.month, day.day) >= (12, 24) or (day.month, day.day) <= (1, 2):
        return True
    return any(day + timedelta(days=step) in holidays for step in (-1, 0, 1))
