"""Owns the calendar of a simulated grid as arrays: local hour, day type, season. Reads no clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import holidays
import numpy as np
import numpy.typing as npt
import polars as pl

from recloser.core import FloatArray
from recloser.simulation.plan import GridPlan

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Timeline:
    """Calendar of every interval, arrays of shape (steps,).

    Attributes:
        at: interval starts, aware UTC, as a polars series.
        step_h: length of an interval in hours.
        local_h: local wall-clock hour with fraction, 0..24.
        solar_h: hour by the sun (UTC plus the zone's winter offset).
        weekday: 0 is Monday (local).
        day: ordinal of the local date.
        holiday: 1.0 on public holidays (local).
        vacation: 0..1, how deep in the summer or Christmas break.
        year_share: 0..1 through the calendar year.
        years: years since the first interval.
    """

    at: pl.Series
    step_h: float
    local_h: FloatArray
    solar_h: FloatArray
    weekday: IntArray
    day: IntArray
    holiday: FloatArray
    vacation: FloatArray
    year_share: FloatArray
    years: FloatArray


def build_timeline(plan: GridPlan, days: int) -> Timeline:
    """Return the calendar of `days` x 24 hours from the plan's start."""
    end = plan.start + timedelta(days=days)
    at = pl.datetime_range(plan.start, end, plan.resolution, closed="left", time_unit="us", time_zone="UTC", eager=True)
    local = at.dt.convert_time_zone(plan.zone)
    local_h = local.dt.hour().to_numpy() + local.dt.minute().to_numpy() / 60.0
    midyear = pl.Series([plan.start]).dt.cast_time_unit("us")
    winter = midyear.dt.convert_time_zone(plan.zone).dt.base_utc_offset().dt.total_seconds().to_numpy()[0] / 3600.0
    utc_h = at.dt.hour().to_numpy() + at.dt.minute().to_numpy() / 60.0
    ordinal = local.dt.date().to_physical().to_numpy().astype(np.int64) + date(1970, 1, 1).toordinal()
    year_share = (local.dt.ordinal_day().to_numpy() - 1 + local_h / 24.0) / 365.25
    return Timeline(
        at=at,
        step_h=plan.resolution / timedelta(hours=1),
        local_h=local_h,
        solar_h=np.mod(utc_h + winter, 24.0),
        weekday=local.dt.weekday().to_numpy().astype(np.int64) - 1,
        day=ordinal,
        holiday=_holidays(plan, ordinal),
        vacation=_vacation(year_share, plan.latitude),
        year_share=np.mod(year_share + (0.5 if plan.latitude < 0 else 0.0), 1.0),
        years=np.arange(len(at)) / (plan.steps_per_day * 365.25),
    )


def _holidays(plan: GridPlan, ordinal: IntArray) -> FloatArray:
    first, last = date.fromordinal(int(ordinal[0])), date.fromordinal(int(ordinal[-1]))
    calendar = holidays.country_holidays(plan.country, subdiv=plan.subdivision, years=range(first.year, last.year + 1))
    known = np.array(sorted(day.toordinal() for day in calendar), dtype=np.int64)
    return np.isin(ordinal, known).astype(np.float64)


def _vacation(year_share: FloatArray, latitude: float) -> FloatArray:
    """Return the depth of the breaks: about four weeks of high summer and the days around New Year."""
    middle = 0.58 if latitude >= 0 else 0.04
    distance = np.abs(np.mod(year_share - middle + 0.5, 1.0) - 0.5)
    summer = np.clip(1.5 - distance / 0.030, 0.0, 1.0)
    christmas = np.clip(1.5 - np.abs(np.mod(year_share + 0.5, 1.0) - 0.5) / 0.012, 0.0, 1.0)
    result: FloatArray = np.maximum(summer, christmas)
    return result
