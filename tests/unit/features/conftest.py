from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest

from recloser.core import SAMPLE_SCHEMA, Horizon, Panel

HOUR = timedelta(hours=1)


def series(area: str, quantity: str, start: datetime, values: np.ndarray, delay: timedelta) -> pl.DataFrame:
    at = [start + k * HOUR for k in range(values.size)]
    return pl.DataFrame(
        {
            "area": [area] * values.size,
            "quantity": [quantity] * values.size,
            "at": at,
            "available_at": [t + delay for t in at],
            "value": values,
            "quality": [0] * values.size,
            "source": ["test"] * values.size,
        },
        schema=dict(SAMPLE_SCHEMA),
    )


def panel_of(parts: list[pl.DataFrame], as_of: datetime | None = None, resolution: timedelta = HOUR) -> Panel:
    frame = pl.concat(parts).sort("area", "quantity", "at", "available_at", maintain_order=True)
    return Panel(frame, resolution, as_of or frame["available_at"].max())


@pytest.fixture(scope="session")
def horizon() -> Horizon:
    return Horizon(ZoneInfo("Australia/Melbourne"), HOUR)


@pytest.fixture(scope="session")
def panel() -> Panel:
    """Two areas, hourly, around the end of daylight saving (2014-04-06) in Melbourne."""
    start = datetime(2014, 2, 20, tzinfo=UTC)
    hours = np.arange(24 * 55)
    rng = np.random.default_rng(7)
    parts = []
    for name, level in (("a", 100.0), ("b", -4.0)):
        load = level * (1 + 0.2 * np.sin(hours * np.pi / 12)) + rng.normal(0, abs(level) * 0.05, hours.size)
        heat = 18 + 6 * np.sin(hours * np.pi / 12 + 1) + rng.normal(0, 1, hours.size)
        parts += [series(name, "load_mw", start, load, HOUR), series(name, "temperature_c", start, heat, -48 * HOUR)]
    return panel_of(parts)
