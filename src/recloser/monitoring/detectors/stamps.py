"""Owns the test for whole-hour stamp errors by the forecast: load that fits it only when moved. Judges no levels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recloser.core import FloatArray, InvalidInput
from recloser.monitoring.window import BoolArray


@dataclass(frozen=True, slots=True)
class StampLimits:
    """When a shift is called.

    Attributes:
        days: days in a row that must agree.
        match: smallest mean match of these days; +1 is exactly one hour off, -1 exactly in time.
        part: smallest mean match of each third of the day: a later morning alone is a change of habits.
        quantile: of the history's own runs of days that must be passed too.
        margin: by which.
        sharp: the same quantile of a forecast that can tell of stamps at all lies below this: on usual days it fits
            clearly better in time than moved.
    """

    days: int = 2
    match: float = 0.1
    part: float = 0.0
    quantile: float = 0.995
    margin: float = 0.05
    sharp: float = -0.2


def stamp_matches(load: FloatArray, forecast: FloatArray) -> FloatArray:
    """Return how days compare with the forecast moved by an hour, shape (n_days, 2 directions, 4 parts).

    The match is (misfit in time - misfit moved) over the misfit that the forecast itself would have when moved;
    directions: one hour late, one hour early; parts: day, its three thirds. Level and swing of the day are fitted
    first, so that more or less load is no shift. NaN for a day with fewer than 18 usable hours.

    Args:
        load: MW, local hours, shape (n_days, 24).
        forecast: MW, the same.

    Raises:
        InvalidInput: the shapes differ.
    """
    if load.shape != forecast.shape or load.ndim != 2 or load.shape[1] != 24:
        raise InvalidInput("load and forecast by hour differ", got=(load.shape, forecast.shape), expected="(n, 24)")
    result = np.full((len(load), 2, 4), np.nan)
    flat = forecast.ravel()
    for number, hours in enumerate((1, -1)):
        rolled = np.roll(flat, hours)
        rolled[0 if hours > 0 else -1] = np.nan
        moved: FloatArray = rolled.reshape(load.shape)
        known = np.isfinite(load) & np.isfinite(forecast) & np.isfinite(moved)
        gain: FloatArray = _misfit(load, forecast, known) - _misfit(load, moved, known)
        worth = _misfit(forecast, moved, known)
        enough = known.sum(axis=1) >= 18
        for place, part in enumerate((slice(0, 24), slice(0, 8), slice(8, 16), slice(16, 24))):
            share = gain[:, part].sum(axis=1) / np.maximum(worth[:, part].sum(axis=1), 1e-9)
            result[:, number, place] = np.where(enough, np.clip(share, -2.0, 2.0), np.nan)
    return result


def _misfit(curve: FloatArray, shape: FloatArray, known: BoolArray) -> FloatArray:
    """Return squared errors of the curve against the best multiple of the shape, means taken off, 0 where unknown."""
    count = np.maximum(known.sum(axis=1, keepdims=True), 1)
    y, x = (
        np.where(known, part - np.where(known, part, 0.0).sum(axis=1, keepdims=True) / count, 0.0)
        for part in (curve, shape)
    )
    slope = np.maximum((x * y).sum(axis=1, keepdims=True), 0.0) / np.maximum((x * x).sum(axis=1, keepdims=True), 1e-9)
    result: FloatArray = np.where(known, (y - slope * x) ** 2, 0.0)
    return result


def stamp_shift(history: FloatArray, recent: FloatArray, limits: StampLimits) -> int:
    """Return the hours by which recent stamps are late (+1) or early (-1), 0 if they are in time or it is unknown.

    Args:
        history: matches of days believed in time, shape (n_days, 2, 4).
        recent: matches of the newest days, oldest first; the last `limits.days` are judged.
        limits: thresholds.
    """
    if len(recent) < limits.days or len(history) < 28:
        return 0
    last = recent[-limits.days :].mean(axis=0)
    usual = _runs(history[:, :, 0], limits.days)
    for number, hours in enumerate((1, -1)):
        known = usual[np.isfinite(usual[:, number]), number]
        if not len(known):
            continue
        least = max(limits.match, float(np.quantile(known, limits.quantile)) + limits.margin)
        if last[number, 0] > least and last[number, 1:].min() > limits.part:
            return hours
    return 0


def can_tell(history: FloatArray, limits: StampLimits) -> bool:
    """Return whether a forecast is sharp enough to tell of stamps: days believed in time never look moved.

    Forecasts of single feeders often are not: their usual days fit as well an hour later.

    Args:
        history: matches of days believed in time, shape (n_days, 2, 4).
        limits: thresholds.
    """
    usual = _runs(history[:, :, 0], limits.days)
    known = usual[np.isfinite(usual).all(axis=1)]
    return len(known) > 0 and bool((np.quantile(known, limits.quantile, axis=0) < limits.sharp).all())


def _runs(rows: FloatArray, days: int) -> FloatArray:
    result: FloatArray = np.lib.stride_tricks.sliding_window_view(rows, days, axis=0).mean(axis=-1)
    return result
