"""Owns the weather of a simulated grid: temperature, sunshine and the day-ahead forecast with its error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recloser.core import FloatArray
from recloser.simulation.noise import coloured, decay
from recloser.simulation.timeline import Timeline


@dataclass(frozen=True, slots=True)
class Weather:
    """One region's weather, every array of shape (steps,).

    Attributes:
        temperature_c: what it really is.
        forecast_c: what was said on the morning of the day before.
        sunshine: output of solar panels as a share of their rating, 0..1.
    """

    temperature_c: FloatArray
    forecast_c: FloatArray
    sunshine: FloatArray


def draw_weather(time: Timeline, latitude: float, rng: np.random.Generator) -> Weather:
    """Draw a temperate year: mean 16 degC, sd 6, one-day autocorrelation near 0.75, hot spells in summer.

    The forecast's error has two parts: of the day (sd 0.7 degC, half of it left the next day) and of the
    hours (sd 0.6 degC), which is usual for a lead of 18 to 42 hours.
    """
    steps = len(time.year_share)
    season = -np.cos(2 * np.pi * (time.year_share - 0.055))
    front = coloured(rng, (steps,), decay(36.0, time.step_h))
    drizzle = coloured(rng, (steps,), decay(5.0, time.step_h))
    cloud = np.clip(0.5 + 0.28 * coloured(rng, (steps,), decay(20.0, time.step_h)) - 0.10 * front, 0.05, 0.97)
    # Warm air in summer runs away upwards, cold air in winter less so: the skew that makes the yearly peak.
    heat = np.where(front > 0, front * (1.0 + 0.40 * np.maximum(season, 0)), front * 0.85)
    swing = (3.6 + 1.9 * np.maximum(season, -0.4)) * (1.25 - 0.6 * cloud)
    daily = np.cos(2 * np.pi * (time.solar_h - 15.0) / 24.0)
    temperature = 15.6 + 4.8 * season + 3.5 * heat + swing * daily + 0.5 * drizzle
    error = 0.7 * coloured(rng, (steps,), decay(35.0, time.step_h)) + 0.6 * coloured(
        rng, (steps,), decay(6.0, time.step_h)
    )
    sunshine = _height_of_sun(time, latitude) * (1.05 - cloud) * 0.9
    return Weather(temperature, temperature + error, sunshine)


def _height_of_sun(time: Timeline, latitude: float) -> FloatArray:
    """Return the sine of the sun's elevation, 0 at night (Cooper 1969 declination)."""
    tilt = np.radians(23.45) * np.sin(2 * np.pi * (time.year_share - 0.2218))
    phi = np.radians(latitude)
    turn = np.radians(15.0 * (time.solar_h - 12.0))
    height: FloatArray = np.sin(phi) * np.sin(tilt) + np.cos(phi) * np.cos(tilt) * np.cos(turn)
    return np.maximum(height, 0.0)
