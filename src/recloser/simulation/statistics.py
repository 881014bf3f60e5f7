"""Owns the statistics by which a simulated feed is compared with real load. Judges nothing by itself."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import polars as pl

from recloser.core import LOAD, TEMPERATURE, FloatArray


@dataclass(frozen=True, slots=True)
class FeedStatistics:
    """Shape numbers of one load series with its temperature; shares of the mean unless said otherwise.

    Attributes:
        load_factor: mean over peak.
        variation: standard deviation over mean.
        weekend_ratio: mean of Saturdays and Sundays over mean of the other days.
        trough_h, trough: local hour and depth of the mean daily minimum, over the daily mean.
        peak_h, peak: the same of the maximum.
        response: daily mean load over the mean, by daily mean temperature: (low degC, high degC, ratio, days).
        ramp_median, ramp_p99: absolute change over one hour.
        day_correlation, week_correlation: autocorrelation at one day and one week.
        naive_sd: standard deviation of the difference to the week before.
        naive_step_correlation, naive_day_correlation: autocorrelation of that difference.
        temperature_mean_c, temperature_sd_c, temperature_day_correlation: of the temperature.
    """

    load_factor: float
    variation: float
    weekend_ratio: float
    trough_h: int
    trough: float
    peak_h: int
    peak: float
    response: tuple[tuple[float, float, float, int], ...]
    ramp_median: float
    ramp_p99: float
    day_correlation: float
    week_correlation: float
    naive_sd: float
    naive_step_correlation: float
    naive_day_correlation: float
    temperature_mean_c: float
    temperature_sd_c: float
    temperature_day_correlation: float


_BINS = (-15.0, 3.0, 8.0, 11.0, 14.0, 17.0, 20.0, 23.0, 26.0, 45.0)


def feed_statistics(frame: pl.DataFrame, zone: str, areas: list[str] | None = None) -> FeedStatistics:
    """Return the statistics of the summed load of some areas (default: all that have load).

    Args:
        frame: SAMPLE_SCHEMA with one revision per sample, no gaps, on an even grid.
        zone: IANA zone for hours and days of the week.
        areas: whose load to sum.
    """
    chosen = frame if areas is None else frame.filter(pl.col("area").is_in(areas))
    load = chosen.filter(pl.col("quantity") == LOAD).group_by("at").agg(pl.col("value").sum().alias("load")).sort("at")
    warmth = chosen.filter(pl.col("quantity") == TEMPERATURE).group_by("at").agg(pl.col("value").mean().alias("t"))
    joined = load.join(warmth, on="at", how="left").sort("at")
    local = joined["at"].dt.convert_time_zone(zone)
    y, t = joined["load"].to_numpy(), joined["t"].to_numpy()
    step = joined["at"][1] - joined["at"][0]
    hour = max(1, round(3600.0 / step.total_seconds()))
    y = y / y.mean()
    days = local.dt.date().to_physical().to_numpy()
    _, index = np.unique(days, return_inverse=True)
    count = np.bincount(index)
    daily, daily_t = np.bincount(index, y) / count, np.bincount(index, t) / count
    hours = local.dt.hour().to_numpy()
    profile = np.bincount(hours, y / daily[index]) / np.bincount(hours)
    off = local.dt.weekday().to_numpy() >= 6
    ramp = np.abs(y[hour:] - y[:-hour])
    week = 7 * 24 * hour
    naive = y[week:] - y[:-week]
    return FeedStatistics(
        load_factor=float(1.0 / y.max()),
        variation=float(y.std()),
        weekend_ratio=float(y[off].mean() / y[~off].mean()),
        trough_h=int(profile.argmin()),
        trough=float(profile.min()),
        peak_h=int(profile.argmax()),
        peak=float(profile.max()),
        response=_response(daily, daily_t),
        ramp_median=float(np.median(ramp)),
        ramp_p99=float(np.quantile(ramp, 0.99)),
        day_correlation=correlation(y, 24 * hour),
        week_correlation=correlation(y, week),
        naive_sd=float(naive.std()),
        naive_step_correlation=correlation(naive, 1),
        naive_day_correlation=correlation(naive, 24 * hour),
        temperature_mean_c=float(t.mean()),
        temperature_sd_c=float(t.std()),
        temperature_day_correlation=correlation(t, 24 * hour),
    )


def correlation(series: FloatArray, lag: int) -> float:
    """Return the autocorrelation at `lag` steps."""
    return float(np.corrcoef(series[lag:], series[:-lag])[0, 1])


def _response(daily: FloatArray, daily_t: FloatArray) -> tuple[tuple[float, float, float, int], ...]:
    result = []
    for low, high in itertools.pairwise(_BINS):
        inside = (daily_t >= low) & (daily_t < high)
        if inside.any():
            result.append((low, high, float(daily[inside].mean()), int(inside.sum())))
    return tuple(result)
