"""Owns the series of the benchmark: real loads by local day and hour, and forecasts of them. Tests no detector.

Four kinds of forecast: the US operators' own (`operator`), a day-ahead LightGBM with lags refitted each half-year
(`champion`), and a frozen reference from calendar and weather (`reference`: Victoria and simulated feeders).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import holidays
import lightgbm as lgb
import numpy as np
import polars as pl

from recloser.core import FloatArray
from recloser.monitoring import DailyLoad, fit_reference
from recloser.monitoring.reference import deviations
from recloser.simulation import GridPlan, SimulatedGrid

ZONES = {
    "PJM": "America/New_York",
    "MISO": "America/Chicago",
    "NYIS": "America/New_York",
    "TVA": "America/Chicago",
    "BPAT": "America/Los_Angeles",
}
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Series:
    """One load with one way to forecast it.

    Attributes:
        name: area and kind of forecast.
        kind: operator, champion or reference.
        real: False for the simulated grid.
        days: local dates without holes.
        load: MW, shape (n_days, 24), local hours; NaN where unknown.
        holidays: public holidays.
        errors: altered load, first day, last day (excluded) -> signed errors in shares of the scale of these days.
        fleet: which series may be pooled with it.
    """

    name: str
    kind: str
    real: bool
    days: list[date]
    load: FloatArray
    holidays: frozenset[date]
    errors: Callable[[FloatArray, int, int], FloatArray]
    fleet: str

    def place(self, day: date) -> int:
        return min(max((day - self.days[0]).days, 0), len(self.days))


def by_day(frame: pl.DataFrame, zone: str, value: str) -> tuple[list[date], FloatArray]:
    """Return local days and their 24 hours from columns `at` (interval start, UTC) and a value; hours are means."""
    local = pl.col("at").dt.convert_time_zone(zone)
    hours = frame.group_by(day=local.dt.date(), hour=local.dt.hour()).agg(pl.col(value).mean()).drop_nulls()
    first, last = hours["day"].min(), hours["day"].max()
    assert isinstance(first, date)
    assert isinstance(last, date)
    days = [first + k * DAY for k in range((last - first).days + 1)]
    table = np.full((len(days), 24), np.nan)
    table[(hours["day"].to_physical() - (first - date(1970, 1, 1)).days).to_numpy(), hours["hour"].to_numpy()] = hours[
        value
    ].to_numpy()
    return days, table


def us_holidays(years: range, state: str | None = None) -> frozenset[date]:
    return frozenset(holidays.country_holidays("US", subdiv=state, years=years))


def eia(data: Path, kinds: tuple[str, ...] = ("operator", "champion")) -> list[Series]:
    """Return five US areas; hours that are not OKAY are unknown, and so are a forecast's hours without sense."""
    raw = pl.read_parquet(data / "eia930_load_dayahead_5areas_2015_2018.parquet").with_columns(
        at=pl.col("utc_hour_ending") - timedelta(hours=1), okay=pl.col("category").cast(pl.String) == "OKAY"
    )
    off = us_holidays(range(2015, 2020))
    found = []
    for area, zone in ZONES.items():
        own = raw.filter(pl.col("ba").cast(pl.String) == area)
        usable = own.with_columns(load=pl.when("okay").then("demand_mw"), forecast=pl.col("forecast_da_mw"))
        days, load = by_day(usable.select("at", "load"), zone, "load")
        begin, forecast = by_day(usable.select("at", "forecast"), zone, "forecast")
        wide = np.full(load.shape, np.nan)
        offset = (begin[0] - days[0]).days
        wide[max(0, offset) : offset + len(forecast)] = forecast[max(0, -offset) : len(days) - offset]
        level = float(np.nanmean(load[:365]))
        # What the data checks would mask: a forecast that is missing, zero or in another unit.
        wide = np.where(np.abs(np.log(np.maximum(wide, 1.0) / level)) < 1.2, wide, np.nan)
        if "operator" in kinds:
            found.append(Series(f"{area} operator", "operator", True, days, load, off, _fixed(wide, level), "EIA"))
        if "champion" in kinds:
            model = Champion(days, load, None, off, date(2016, 1, 1))
            found.append(Series(f"{area} champion", "champion", True, days, load, off, model.errors, "EIA"))
    return found


def victoria(data: Path) -> list[Series]:
    """Return Victoria with a champion and, per year, the reference that learnt from the years before or after."""
    raw = pl.read_parquet(data / "vic_elec_2012_2014.parquet").rename({"utc": "at"})
    zone = "Australia/Melbourne"
    days, load = by_day(raw.select("at", load="demand_mwh_per_30min"), zone, "load")
    heat_days, heat = by_day(raw.select("at", heat="temperature_c"), zone, "heat")
    assert heat_days == days
    off = frozenset(raw.filter(pl.col("holiday"))["local_date"].str.to_date().unique())
    champion = Champion(days, load, heat, off, date(2013, 1, 1))
    made = [Series("VIC champion", "champion", True, days, load, off, champion.errors, "VIC")]
    return [*made, *references("VIC", (days, load, np.nanmean(heat, axis=1)), off, (2012, 2013, 2014), "VIC")]


def references(
    name: str,
    what: tuple[list[date], FloatArray, FloatArray],
    off: frozenset[date],
    years: tuple[int, ...],
    fleet: str,
) -> list[Series]:
    """Return one series per held-out year: its errors are out of sample everywhere.

    The year itself is judged by a reference that learnt from the other years, the others by references that learnt
    without them and without the year.
    """
    days, load, warm = what
    blocks = tuple(f"{name}/{k:02d}" for k in range(24))
    level = float(np.nanmean(load))
    found = []
    for year in years:
        inside = np.array([day.year == year for day in days])
        errors = np.full(load.shape, np.nan)
        chunks = [inside] + [~inside & (np.arange(len(days)) // 28 % 6 == k) for k in range(6)]
        for chunk in chunks:
            near = inside | np.convolve(chunk, np.ones(15), mode="same").astype(bool)
            learnt = DailyLoad(tuple(days), blocks, np.where(near[None], np.nan, load.T), warm)
            away = deviations(fit_reference(learnt, off), DailyLoad(tuple(days), blocks, load.T, warm), off)
            scale = np.nanmean(np.where(near[None], np.nan, load.T), axis=1)
            errors[chunk] = ((away * scale[:, None]) / level).T[chunk]
        series = Series(
            f"{name} reference {year}", "reference", True, days, load, off, _fixed(load - errors * level, level), fleet
        )
        found.append(series)
    return found


def simulated(seeds: tuple[int, ...], feeders: int) -> list[Series]:
    """Return feeders of simulated grids with the reference of their other years."""
    found = []
    off = frozenset(holidays.country_holidays("NL", years=range(2018, 2024)))
    for seed in seeds:
        grid = SimulatedGrid(
            GridPlan(seed=seed, feeders=feeders, substations=0, days=1095, resolution=timedelta(hours=1))
        )
        frame = grid.frame()
        warm = frame.filter(pl.col("quantity") == "temperature_c").group_by("at").agg(pl.col("value").median())
        days, heat = by_day(warm, grid.plan.zone, "value")
        for area in grid.areas:
            own = frame.filter((pl.col("area") == area) & (pl.col("quantity") == "load_mw"))
            loads_days, load = by_day(own.select("at", "value"), grid.plan.zone, "value")
            count = len(loads_days)
            what = (loads_days, load, np.nanmean(heat[(loads_days[0] - days[0]).days :][:count], axis=1))
            years = (loads_days[-40].year,)
            made = references(f"sim{seed} {area}", what, off, years, f"sim{seed}")
            found += [replace(one, real=False) for one in made]
    return found


def _fixed(forecast: FloatArray, level: float) -> Callable[[FloatArray, int, int], FloatArray]:
    """Return the errors of a forecast that does not look at recent load."""

    def errors(load: FloatArray, first: int, last: int) -> FloatArray:
        result: FloatArray = (load[first:last] - forecast[first:last]) / level
        return result

    return errors


class Champion:
    """A day-ahead LightGBM: made at 09:00 the day before, refitted every half-year on all that came true.

    Args:
        days: local dates.
        load: MW, shape (n_days, 24).
        heat: degC in the same shape, or None.
        off: public holidays.
        start: first day it forecasts.
    """

    def __init__(
        self, days: list[date], load: FloatArray, heat: FloatArray | None, off: frozenset[date], start: date
    ) -> None:
        self._days, self._heat, self._off = days, heat, off
        self._level = float(np.nanmean(load[:365]))
        fits = [date(year, month, 1) for year in range(start.year, days[-1].year + 1) for month in (1, 7)]
        self._fits = [((fit - days[0]).days, self._fit(load, (fit - days[0]).days)) for fit in fits if fit < days[-1]]

    def errors(self, load: FloatArray, first: int, last: int) -> FloatArray:
        """Return the errors of days first to last, forecast by the model that served at the first of each half-year."""
        result = np.full((last - first, 24), np.nan)
        ends = [*(place for place, _ in self._fits[1:]), len(self._days)]
        for (place, model), end in zip(self._fits, ends, strict=True):
            low, high = max(first, place), min(last, end)
            if low >= high:
                continue
            inputs, level = self._inputs(load, low, high)
            forecast = model.predict(inputs, num_threads=1).reshape(-1, 24) * level[:, None]
            result[low - first : high - first] = (load[low:high] - forecast) / self._level
        return result

    def _fit(self, load: FloatArray, end: int) -> lgb.Booster:
        inputs, level = self._inputs(load, 15, end - 1)
        target = (load[15 : end - 1] / level[:, None]).ravel()
        known = np.isfinite(target)
        settings = {
            "objective": "l1",
            "num_leaves": 31,
            "learning_rate": 0.08,
            "num_threads": 1,
            "deterministic": True,
            "force_row_wise": True,
            "seed": 1,
            "verbosity": -1,
        }
        return lgb.train(settings, lgb.Dataset(inputs[known], target[known], params=settings), 120)

    def _inputs(self, load: FloatArray, first: int, last: int) -> tuple[FloatArray, FloatArray]:
        """Return features of days first to last, shape (n_days * 24, n), and the level known at issue, (n_days,)."""
        days = np.arange(first, last)
        recent = np.concatenate([load[days - 2][:, 9:], load[days - 1][:, :9]], axis=1)
        with np.errstate(invalid="ignore"):
            level = np.nanmean(np.where(np.isfinite(recent).any(axis=1)[:, None], recent, np.nanmean(load)), axis=1)
        names = [self._days[k] for k in days]
        daily = np.stack(
            [
                np.array([d.weekday() for d in names]),
                np.array([d.timetuple().tm_yday for d in names]),
                np.array([d in self._off for d in names]),
                np.array([d - DAY in self._off or d + DAY in self._off for d in names]),
            ],
            axis=1,
        )
        hourly = [load[days - lag] / level[:, None] for lag in (2, 3, 7, 14)]
        if self._heat is not None:
            heat = self._heat[days]
            hourly += [heat, np.broadcast_to(heat.mean(axis=1, keepdims=True), heat.shape)]
            hourly += [np.broadcast_to(self._heat[days - k].mean(axis=1, keepdims=True), heat.shape) for k in (1, 2)]
        columns = [np.tile(np.arange(24), len(days)), *(part.ravel() for part in hourly)]
        return np.column_stack([*columns, np.repeat(daily, 24, axis=0)]), level
