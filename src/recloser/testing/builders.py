"""Owns small deterministic load panels for tests. Not a simulation of a grid (see recloser.simulation)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from recloser.core import LOAD, SAMPLE_SCHEMA, TEMPERATURE, TIME, FloatArray, Panel

START = datetime(2020, 1, 1, tzinfo=UTC)


def daily_load(steps: int, per_day: int, *, seed: int = 0, level_mw: float = 100.0) -> FloatArray:
    """Return load in MW with a daily and a weekly shape and autocorrelated noise, shape (steps,)."""
    random = np.random.default_rng(seed)
    day = np.arange(steps) / per_day
    shape = 1.0 + 0.2 * np.sin(2 * np.pi * (day - 0.4)) - 0.1 * ((day.astype(int) + 2) % 7 >= 5)
    noise = np.zeros(steps)
    shocks = random.normal(0.0, 0.01, steps)
    for k in range(1, steps):
        noise[k] = 0.97 * noise[k - 1] + shocks[k]
    result: FloatArray = level_mw * shape * (1.0 + noise)
    return result


def sample_panel(
    areas: Sequence[str] = ("A", "B"),
    days: int = 100,
    *,
    resolution: timedelta = timedelta(hours=1),
    start: datetime = START,
    seed: int = 0,
) -> Panel:
    """Return a panel of load_mw and temperature_c, everything known in time, as of the end of the load."""
    per_day = int(timedelta(days=1) / resolution)
    parts = []
    for index, area in enumerate(areas):
        steps = days * per_day
        load = daily_load(steps, per_day, seed=seed + index, level_mw=50.0 * (index + 1))
        parts.append(_column(area, LOAD, load, start, resolution, resolution))
        warm = 10.0 + 8.0 * np.sin(2 * np.pi * np.arange(steps + 2 * per_day) / per_day / 365.0)
        parts.append(_column(area, TEMPERATURE, warm, start, resolution, -timedelta(days=2)))
    frame = pl.concat(parts).sort("area", "quantity", "at", "available_at")
    return Panel(frame, resolution, start + days * timedelta(days=1))


def _column(
    area: str, quantity: str, values: FloatArray, start: datetime, resolution: timedelta, known: timedelta
) -> pl.DataFrame:
    at = pl.datetime_range(start, start + (len(values) - 1) * resolution, resolution, time_unit="us", eager=True)
    return pl.DataFrame(
        {
            "area": [area] * len(values),
            "quantity": [quantity] * len(values),
            "at": at.cast(TIME),
            "available_at": (at + known).cast(TIME),
            "value": values,
            "quality": [0] * len(values),
            "source": ["test"] * len(values),
        },
        schema=SAMPLE_SCHEMA,
    )
