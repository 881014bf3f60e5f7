"""Owns the frozen reference: daily load from calendar and weather alone, so that nothing hides drift."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from recloser.core import LOAD, TEMPERATURE, FloatArray, InvalidInput, Panel
from recloser.monitoring.residuals import DayScore, trimmed_mean
from recloser.monitoring.window import Blocks, blocks_of, calendar_of, fold, median, window_of

BoolArray = npt.NDArray[np.bool_]

_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_LEAST_DAYS = 120


@dataclass(frozen=True, slots=True)
class DailyLoad:
    """Complete local days of a fleet.

    Attributes:
        days: local dates, ascending, without holes.
        areas: sorted names.
        load_mw: daily means of usable samples, shape (n_areas, n_days); NaN where under 80 % of them are there.
        temperature_c: median over areas of the daily mean forecast, shape (n_days,); NaN where unknown.
    """

    days: tuple[date, ...]
    areas: tuple[str, ...]
    load_mw: FloatArray
    temperature_c: FloatArray


def daily_load(panel: Panel, start: datetime, end: datetime, zone: str) -> DailyLoad:
    """Return the complete local days within [start, end) as the panel knows them; faulty samples are left out."""
    blocks = blocks_of(panel)
    load, calendar, areas = _means(blocks, LOAD, start, end, zone)
    warmth, _, _ = _means(blocks, TEMPERATURE, start, end, zone)
    count = load.shape[1]
    temperature = median(warmth[:, :count], 0) if warmth.size else np.full(count, np.nan)
    return DailyLoad(tuple(calendar[:count]), areas, load, temperature)


def _means(
    blocks: Blocks, quantity: str, start: datetime, end: datetime, zone: str
) -> tuple[FloatArray, list[date], tuple[str, ...]]:
    window = window_of(blocks, quantity, start, end)
    calendar = calendar_of(window, zone)
    days = fold(window, calendar)
    count = days.complete(window.per_hour)
    known = np.isfinite(days.good[:, :count])
    share = known.mean(axis=2)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(known, days.good[:, :count], 0.0).sum(axis=2) / known.sum(axis=2)
    dates = [date.fromordinal(int(calendar.begin) + _EPOCH_ORDINAL + k) for k in range(count)]
    return np.where(share >= 0.8, mean, np.nan), dates, window.areas


@dataclass(frozen=True, slots=True)
class Reference:
    """A ridge regression of each area's daily load on weekday, day off, season and temperature with memory.

    Attributes:
        areas: sorted names.
        knots: degC at which the response to temperature may bend.
        weights: one row of coefficients per area, in shares of the area's scale.
        scale_mw: mean load of each area in the training days.
        first, last: training days.
        volatility: size of the fleet's error at comfort, and its growth per 10 degC of heat and of cold.
    """

    areas: tuple[str, ...]
    knots: tuple[float, ...]
    weights: tuple[tuple[float, ...], ...]
    scale_mw: tuple[float, ...]
    first: date
    last: date
    volatility: tuple[float, float, float] = (1.0, 0.0, 0.0)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready data."""
        return {**asdict(self), "first": self.first.isoformat(), "last": self.last.isoformat()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Reference:
        """Return the reference that `to_dict` wrote.

        Raises:
            InvalidInput: keys are missing or unknown.
        """
        try:
            facts = {**data, "first": date.fromisoformat(data["first"]), "last": date.fromisoformat(data["last"])}
            for name in ("areas", "knots", "scale_mw", "volatility"):
                facts[name] = tuple(facts[name])
            facts["weights"] = tuple(tuple(row) for row in facts["weights"])
            return cls(**facts)
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInput("unreadable reference", got=repr(error), where="Reference") from error


def fit_reference(daily: DailyLoad, days_off: frozenset[date], ridge: float = 1.0) -> Reference:
    """Fit the reference on days that are believed to be free of drift.

    Source: Hoerl & Kennard (1970), Ridge Regression; the intercept per weekday is hardly penalised.

    Raises:
        InvalidInput: fewer than 120 days with load and temperature.
    """
    known = np.isfinite(daily.temperature_c)
    if int((known & np.isfinite(daily.load_mw).any(axis=0)).sum()) < _LEAST_DAYS:
        raise InvalidInput("too few days for a reference", got=int(known.sum()), expected=f">= {_LEAST_DAYS} days")
    knots = tuple(float(k) for k in np.quantile(daily.temperature_c[known], [0.15, 0.35, 0.55, 0.75, 0.9]))
    inputs = _inputs(daily, days_off, knots)
    weights, scales = [], []
    penalty = np.full(inputs.shape[1], ridge)
    penalty[:7] = 1e-3
    for row in daily.load_mw:
        use = np.isfinite(row) & np.isfinite(inputs).all(axis=1)
        scale = float(np.abs(row[use]).mean()) if use.any() else float("nan")
        x, y = inputs[use], row[use] / scale if scale > 0 else row[use]
        weights.append(tuple(float(w) for w in np.linalg.solve(x.T @ x + np.diag(penalty), x.T @ y)))
        scales.append(scale)
    return Reference(daily.areas, knots, tuple(weights), tuple(scales), daily.days[0], daily.days[-1])


def reference_scores(
    reference: Reference, daily: DailyLoad, days_off: frozenset[date], trim: float = 0.2
) -> list[DayScore]:
    """Return the fleet's daily deviation from the reference: positive where load is higher than it used to be."""
    away = deviations(reference, daily, days_off)
    expected_size = _sizes(daily.temperature_c) @ np.asarray(reference.volatility)
    scores = []
    for column, day in enumerate(daily.days):
        known = away[np.isfinite(away[:, column]), column]
        if len(known) >= max(1, len(away) // 2):
            off = day.weekday() >= 5 or day in days_off
            signed, spread = trimmed_mean(known, trim), trimmed_mean(np.abs(known), trim)
            size = float(expected_size[column] / reference.volatility[0])
            scores.append(DayScore(day, signed, spread, len(known), off, size))
    return scores


def deviations(reference: Reference, daily: DailyLoad, days_off: frozenset[date]) -> FloatArray:
    """Return how far each area's load lies off the reference, in shares of its scale, shape (n_kept, n_days).

    Kept are the reference's areas that `daily` has too and whose load is not zero, in the reference's order.
    """
    inputs = _inputs(daily, days_off, reference.knots)
    place = {area: k for k, area in enumerate(daily.areas)}
    kept = [k for k, area in enumerate(reference.areas) if area in place and reference.scale_mw[k] > 0]
    load = daily.load_mw[[place[reference.areas[k]] for k in kept]]
    scale = np.array([reference.scale_mw[k] for k in kept])
    expected = np.array([reference.weights[k] for k in kept]) @ inputs.T
    result: FloatArray = load / scale[:, None] - expected
    return result


def train_reference(daily: DailyLoad, days_off: frozenset[date]) -> tuple[Reference, list[DayScore]]:
    """Return a reference that knows how its errors grow in heat and cold, and its out-of-sample history.

    The history scores each block of 28 days under a reference fitted without it and without a week around it;
    the drift monitor's threshold is calibrated on it.

    Raises:
        InvalidInput: too few days.
    """
    plain = _held_out(daily, days_off)
    place = {day: k for k, day in enumerate(daily.days)}
    sizes = _sizes(daily.temperature_c)[[place[score.day] for score in plain]]
    errors = np.array([min(abs(score.signed), 0.25) for score in plain])
    volatility = np.linalg.solve(sizes.T @ sizes + np.diag([0.0, 1.0, 1.0]), sizes.T @ errors)
    level = max(float(volatility[0]), 1e-6)
    grown = (level, max(float(volatility[1]), 0.0), max(float(volatility[2]), 0.0))
    weighed = [replace(s, size=float(row @ np.asarray(grown)) / level) for s, row in zip(plain, sizes, strict=True)]
    return replace(fit_reference(daily, days_off), volatility=grown), weighed


def _held_out(daily: DailyLoad, days_off: frozenset[date], block_days: int = 28) -> list[DayScore]:
    scores: list[DayScore] = []
    count = len(daily.days)
    for first in range(0, count, block_days):
        last = min(first + block_days, count)
        inside = np.zeros(count, dtype=bool)
        inside[first:last] = True
        near = np.zeros(count, dtype=bool)
        near[max(0, first - 7) : last + 7] = True
        rest = DailyLoad(daily.days, daily.areas, np.where(near, np.nan, daily.load_mw), daily.temperature_c)
        chosen = DailyLoad(daily.days, daily.areas, np.where(inside, daily.load_mw, np.nan), daily.temperature_c)
        scores += reference_scores(fit_reference(rest, days_off), chosen, days_off)
    return scores


def _sizes(temperature_c: FloatArray) -> FloatArray:
    """Return what the size of an error depends on, shape (n_days, 3): one, heat and cold in units of 10 degC."""
    warm = np.nan_to_num(temperature_c, nan=16.0)
    return np.stack(
        [np.ones(len(warm)), np.maximum(warm - 18.0, 0.0) / 10.0, np.maximum(12.0 - warm, 0.0) / 10.0], axis=1
    )


def _inputs(daily: DailyLoad, days_off: frozenset[date], knots: Sequence[float]) -> FloatArray:
    """Return the design, shape (n_days, 7 + 1 + 1 + 4 + 2 x (1 + n_knots)); NaN without temperature."""
    weekday = np.array([d.weekday() for d in daily.days])
    off = np.array([d in days_off and d.weekday() < 6 for d in daily.days], dtype=np.float64)
    bridge = np.array([_between(d, days_off) for d in daily.days], dtype=np.float64)
    angle = 2 * np.pi * np.array([d.timetuple().tm_yday for d in daily.days]) / 365.25
    season = [np.cos(angle), np.sin(angle), np.cos(2 * angle), np.sin(2 * angle)]
    today = daily.temperature_c
    past = [np.concatenate([np.full(k, today[0]), today[:-k]]) for k in range(1, 8)]
    share = 0.6 ** np.arange(7)
    memory = np.stack(past, axis=1) @ (share / share.sum())
    columns = [np.eye(7)[weekday], off[:, None], bridge[:, None], np.stack(season, axis=1)]
    for series in (today, memory):
        bends = [(series - 16.0) / 10.0, *(np.maximum(series - knot, 0.0) / 10.0 for knot in knots)]
        columns.append(np.stack(bends, axis=1))
    return np.concatenate(columns, axis=1)


def _between(day: date, days_off: frozenset[date]) -> bool:
    """Return whether the day is a working day around a holiday or between Christmas and the first days of January."""
    year_end = (day.month, day.day) >= (12, 24) or (day.month, day.day) <= (1, 3)
    step = timedelta(days=1)
    return year_end or (day - step in days_off and day.weekday() == 4)
