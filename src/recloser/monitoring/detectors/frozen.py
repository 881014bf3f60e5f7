"""Owns the frozen reference by area and block of the day: what load off it means for a detector. Judges nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np

from recloser.core import LOAD, TEMPERATURE, FloatArray, InvalidInput, Panel
from recloser.monitoring.detectors.day import BLOCKS, DayErrors, is_special
from recloser.monitoring.reference import DailyLoad, Reference, deviations, fit_reference
from recloser.monitoring.window import blocks_of, calendar_of, fold, median, window_of

CHUNK_DAYS = 28
AROUND_DAYS = 7


@dataclass(frozen=True, slots=True)
class FrozenReference:
    """What each area's load by block of the day should be from calendar and weather alone, and how large an area is.

    Attributes:
        blocks: the regression of each area and block, named 'area/block'.
        level_mw: area -> mean load in the days it learned from.
    """

    blocks: Reference
    level_mw: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready data."""
        return {"blocks": self.blocks.to_dict(), "level_mw": dict(self.level_mw)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> FrozenReference:
        """Return what `to_dict` wrote.

        Raises:
            InvalidInput: keys are missing or unknown.
        """
        try:
            levels = {str(area): float(mw) for area, mw in data["level_mw"].items()}
            return cls(Reference.from_dict(data["blocks"]), levels)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidInput("unreadable reference by block", got=repr(error), where="FrozenReference") from error


def block_load(panel: Panel, start: datetime, end: datetime, zone: str) -> DailyLoad:
    """Return the complete local days within [start, end) by area and block; faulty samples are left out.

    Returns:
        Rows 'area/block', means in MW; NaN where under two thirds of a block's samples are usable. The temperature is
        the median over areas of the daily mean.
    """
    blocks = blocks_of(panel)
    window = window_of(blocks, LOAD, start, end)
    calendar = calendar_of(window, zone)
    days = fold(window, calendar)
    count = days.complete(window.per_hour)
    load = _means(days.good[:, :count], BLOCKS, 2.0 / 3.0)
    weather = window_of(blocks, TEMPERATURE, start, end)
    warmth = fold(weather, calendar_of(weather, zone)).good[:, :count]
    warm = median(_means(warmth, 1, 0.8)[:, :, 0], 0) if warmth.size else np.full(count, np.nan)
    epoch = date(1970, 1, 1).toordinal()
    names = tuple(f"{area}/{block}" for area in window.areas for block in range(BLOCKS))
    table = np.swapaxes(load, 1, 2).reshape(len(names), count)
    dates = tuple(date.fromordinal(int(calendar.begin) + epoch + k) for k in range(count))
    return DailyLoad(dates, names, table, warm if len(warm) == count else np.full(count, np.nan))


def _means(good: FloatArray, parts: int, least: float) -> FloatArray:
    """Return means over equal parts of the day, shape (n_areas, n_days, parts); NaN where too little is usable."""
    shape = (*good.shape[:2], parts, good.shape[2] // parts)
    table = good.reshape(shape)
    known = np.isfinite(table)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(known, table, 0.0).sum(axis=3) / known.sum(axis=3)
    return np.where(known.mean(axis=3) >= least, mean, np.nan)


def freeze(
    daily: DailyLoad, days_off: frozenset[date], holidays: frozenset[date]
) -> tuple[FrozenReference, dict[str, list[DayErrors]]]:
    """Return a reference and each area's out-of-sample history, from days believed free of drift.

    The history holds each four weeks under a reference fitted without them and a week around them.

    Args:
        daily: from `block_load`, a year or more.
        days_off: what the regression takes for days off.
        holidays: public holidays, for the kinds of day of the errors.

    Raises:
        InvalidInput: fewer than 120 days with load and temperature.
    """
    fitted = fit_reference(daily, days_off)
    levels = {}
    for area, rows in _areas(daily.areas).items():
        known = daily.load_mw[rows]
        if np.isfinite(known).any():
            levels[area] = float(np.nanmean(np.abs(known)))
    frozen = FrozenReference(fitted, levels)
    away = np.full(daily.load_mw.shape, np.nan)
    for first in range(0, len(daily.days), CHUNK_DAYS):
        last = first + CHUNK_DAYS
        rest = daily.load_mw.copy()
        rest[:, max(0, first - AROUND_DAYS) : last + AROUND_DAYS] = np.nan
        without = fit_reference(DailyLoad(daily.days, daily.areas, rest, daily.temperature_c), days_off)
        away[:, first:last] = _off(without, daily, days_off)[:, first:last]
    return frozen, _histories(away, daily, frozen, holidays)


def frozen_days(
    frozen: FrozenReference, daily: DailyLoad, days_off: frozenset[date], holidays: frozenset[date]
) -> dict[str, list[DayErrors]]:
    """Return how far each area's load lies off the reference, day by day; areas it does not know are left out.

    Args:
        frozen: from `freeze`.
        daily: from `block_load`; begins at least seven days before the first day that matters (weather has memory).
        days_off: as in `freeze`.
        holidays: as in `freeze`.
    """
    return _histories(_off(frozen.blocks, daily, days_off), daily, frozen, holidays)


def _off(reference: Reference, daily: DailyLoad, days_off: frozenset[date]) -> FloatArray:
    """Return deviations in MW, shape as daily.load_mw; NaN for rows the reference does not know."""
    result = np.full(daily.load_mw.shape, np.nan)
    place = {name: row for row, name in enumerate(daily.areas)}
    scale = dict(zip(reference.areas, reference.scale_mw, strict=True))
    kept = [name for name in reference.areas if name in place and scale[name] > 0]
    if kept:
        rows = [place[name] for name in kept]
        result[rows] = deviations(reference, daily, days_off) * np.array([scale[name] for name in kept])[:, None]
    return result


def _histories(
    away_mw: FloatArray, daily: DailyLoad, frozen: FrozenReference, holidays: frozenset[date]
) -> dict[str, list[DayErrors]]:
    kinds = [(day.weekday() >= 5 or day in holidays, is_special(day, holidays)) for day in daily.days]
    found = {}
    for area, rows in _areas(daily.areas).items():
        level = frozen.level_mw.get(area, 0.0)
        if level <= 0.0:
            continue
        own = away_mw[rows].T / level
        enough = np.isfinite(own).sum(axis=1) >= BLOCKS // 2
        found[area] = [
            DayErrors(day, tuple(own[k].tolist()), float(np.nanmean(np.abs(own[k]))), *kinds[k])
            for k, day in enumerate(daily.days)
            if enough[k]
        ]
    return found


def _areas(names: tuple[str, ...]) -> dict[str, list[int]]:
    """Return area -> its rows, in order of the blocks."""
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        rows.setdefault(name.rpartition("/")[0], []).append(row)
    return rows
