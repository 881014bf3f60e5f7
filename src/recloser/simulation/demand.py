"""Owns how feeders turn calendar and weather into load: habits, heating, cooling, solar, coloured noise."""

from __future__ import annotations

import numpy as np

from recloser.core import FloatArray
from recloser.simulation.noise import coloured, decay, smooth
from recloser.simulation.plan import Traits
from recloser.simulation.timeline import Timeline
from recloser.simulation.weather import Weather

# Working-day habits by local hour (mean 1); shaped after public standard profiles for homes, offices and works.
_HOME = (
    0.79,
    0.74,
    0.71,
    0.69,
    0.70,
    0.75,
    0.87,
    1.00,
    1.02,
    1.00,
    0.98,
    0.99,
    1.00,
    0.98,
    0.97,
    1.02,
    1.10,
    1.22,
    1.26,
    1.25,
    1.22,
    1.14,
    1.02,
    0.89,
)
_OFFICE = (
    0.66,
    0.64,
    0.63,
    0.63,
    0.65,
    0.72,
    0.88,
    1.10,
    1.28,
    1.36,
    1.38,
    1.38,
    1.36,
    1.36,
    1.35,
    1.32,
    1.28,
    1.20,
    1.06,
    0.94,
    0.86,
    0.78,
    0.72,
    0.68,
)
_WORKS = (
    0.88,
    0.87,
    0.86,
    0.86,
    0.88,
    0.93,
    1.03,
    1.10,
    1.13,
    1.13,
    1.12,
    1.10,
    1.08,
    1.09,
    1.09,
    1.07,
    1.04,
    1.01,
    0.98,
    0.97,
    0.96,
    0.94,
    0.92,
    0.90,
)
# Days off rise later and flatter.
_HOME_OFF = (
    0.82,
    0.76,
    0.72,
    0.69,
    0.68,
    0.69,
    0.74,
    0.85,
    1.00,
    1.12,
    1.16,
    1.16,
    1.14,
    1.10,
    1.06,
    1.07,
    1.12,
    1.20,
    1.24,
    1.22,
    1.17,
    1.10,
    1.01,
    0.90,
)
_OFFICE_OFF = (
    0.66,
    0.64,
    0.62,
    0.62,
    0.62,
    0.63,
    0.66,
    0.70,
    0.76,
    0.82,
    0.85,
    0.86,
    0.86,
    0.85,
    0.84,
    0.83,
    0.82,
    0.80,
    0.77,
    0.74,
    0.72,
    0.70,
    0.68,
    0.67,
)
_WORKS_OFF = (
    0.84,
    0.83,
    0.82,
    0.82,
    0.82,
    0.83,
    0.85,
    0.86,
    0.87,
    0.87,
    0.87,
    0.87,
    0.86,
    0.86,
    0.86,
    0.86,
    0.86,
    0.86,
    0.86,
    0.86,
    0.85,
    0.85,
    0.84,
    0.84,
)

# An area mixes many habits, which flattens its day.
_CONTRAST = 0.86

COMFORT_LOW_C = 17.0
COMFORT_HIGH_C = 19.0


def draw_load(time: Timeline, weather: Weather, traits: Traits, rng: np.random.Generator) -> FloatArray:
    """Return the net load in MW, shape (steps, feeders); solar feeders may go below zero."""
    habit = _habits(time, traits)
    comfort = _comfort(time, weather, traits)
    trend = 1.0 + time.years[:, None] * traits.growth[None, :]
    gross = (habit * trend + comfort) * np.exp(_noise(time, traits, rng))
    solar = weather.sunshine[:, None] * traits.solar[None, :]
    result: FloatArray = traits.level_mw[None, :] * (gross - solar)
    return result


def _curve(hours: tuple[float, ...], at_h: FloatArray) -> FloatArray:
    points = np.arange(-1, 26) + 0.5
    curve = np.asarray((hours[-1], *hours, hours[0], hours[1]))
    result: FloatArray = np.interp(at_h, points, curve)
    return result


def _habits(time: Timeline, traits: Traits) -> FloatArray:
    """Return load without weather as a share of the level: class profiles mixed per feeder, each with its own lag."""
    off = np.maximum((time.weekday >= 5).astype(np.float64), time.holiday)
    sunday = np.maximum((time.weekday == 6).astype(np.float64), time.holiday)
    parts = []
    for shares, work, rest, sunday_dip, vacation_dip in (
        (traits.residential, _HOME, _HOME_OFF, 0.02, 0.03),
        (traits.commercial, _OFFICE, _OFFICE_OFF, 0.11, 0.07),
        (traits.industrial, _WORKS, _WORKS_OFF, 0.06, 0.12),
    ):
        grid_h = np.arange(0.0, 24.0, 0.25)
        tables = [1.0 + _CONTRAST * (_curve(hours, grid_h) - 1.0) for hours in (work, rest)]
        hours = np.mod(time.local_h[:, None] - traits.lag_h[None, :], 24.0)
        wrapped = [np.interp(hours, grid_h, table, period=24.0) for table in tables]
        mixed = wrapped[0] + off[:, None] * (wrapped[1] - wrapped[0])
        dip = 1.0 - sunday_dip * sunday - vacation_dip * time.vacation
        parts.append(shares[None, :] * mixed * dip[:, None])
    result: FloatArray = parts[0] + parts[1] + parts[2]
    # Darkness comes earlier in winter: the evening shoulder moves with the sun, not with the clock.
    evening = np.exp(-0.5 * ((time.local_h - 18.0) / 2.2) ** 2) * np.cos(2 * np.pi * time.year_share)
    return result + 0.025 * evening[:, None] * traits.residential[None, :]


def _comfort(time: Timeline, weather: Weather, traits: Traits) -> FloatArray:
    """Return heating and cooling as a share of the level: V-shaped in felt temperature, with the memory of walls."""
    walls = smooth(weather.temperature_c, decay(48.0, time.step_h))
    felt = 0.66 * walls + 0.34 * smooth(weather.temperature_c, decay(4.0, time.step_h))
    cold = np.maximum(COMFORT_LOW_C - felt, 0.0)
    # Every air conditioner runs in the end: cooling saturates.
    warm = 34.0 * -np.expm1(-np.maximum(felt - COMFORT_HIGH_C, 0.0) / 34.0)
    at_home = 1.0 + 0.25 * np.cos(2 * np.pi * (time.local_h - 19.0) / 24.0)
    awake = 1.0 + 0.45 * np.cos(2 * np.pi * (time.local_h - 16.5) / 24.0)
    heating = (cold * at_home)[:, None] * traits.heating[None, :]
    cooling = (warm * awake)[:, None] * traits.cooling[None, :]
    result: FloatArray = heating + cooling
    return result


def _noise(time: Timeline, traits: Traits, rng: np.random.Generator) -> FloatArray:
    """Return log-load noise: shocks common to all feeders (days, hours), each feeder's own, all autocorrelated."""
    steps, feeders = len(time.years), len(traits.level_mw)
    slow, fast = decay(80.0, time.step_h), decay(4.0, time.step_h)
    common = 0.013 * coloured(rng, (steps,), slow) + 0.007 * coloured(rng, (steps,), fast)
    own = coloured(rng, (steps, feeders), slow) * traits.slow + coloured(rng, (steps, feeders), fast) * traits.fast
    result: FloatArray = common[:, None] + own
    return result
