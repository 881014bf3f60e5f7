from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from recloser.models import LightGBMQuantile, TrainingPlan, train_lightgbm

FEATURES = ("hour", "weekday", "temperature_c", "load_lag_7d", "load_lag_14d", "load_newest_4d", "load_level_24h")
PLAN = TrainingPlan(trees=30, leaves=15, learning_rate=0.15, calibration_days=42)


def feature_rows(days: int = 240, seed: int = 3) -> pl.DataFrame:
    """Hourly rows of two areas (large, small) whose load follows hour, weekday and temperature, noisier by day."""
    rng = np.random.default_rng(seed)
    start = datetime(2020, 1, 1, tzinfo=UTC)
    parts = []
    for area, level in (("big", 900.0), ("small", 3.0)):
        hours = np.arange(24 * days)
        hour, day = hours % 24, hours // 24
        heat = 15 + 8 * np.sin(hour / 24 * 2 * np.pi) + rng.normal(0, 3, hours.size)
        shape = 1 + 0.2 * np.sin((hour - 6) / 24 * 2 * np.pi) - 0.1 * (day % 7 >= 5) + 0.01 * np.abs(heat - 18)
        noise = rng.normal(0, 1, hours.size) * np.where(hour >= 12, 0.06, 0.02)
        per_unit = shape + noise
        lag = np.r_[np.full(24 * 7, np.nan), per_unit[: -24 * 7]]
        lag2 = np.r_[np.full(24 * 14, np.nan), per_unit[: -24 * 14]]
        at = [start + timedelta(hours=int(k)) for k in hours]
        parts.append(
            pl.DataFrame(
                {
                    "area": [area] * hours.size,
                    "issued_at": [start + timedelta(days=int(d) - 1, hours=9) for d in day],
                    "at": at,
                    "scale_mw": np.full(hours.size, level),
                    "hour": hour.astype(np.float32),
                    "weekday": (day % 7).astype(np.float32),
                    "temperature_c": heat.astype(np.float32),
                    "load_lag_7d": lag.astype(np.float32),
                    "load_lag_14d": lag2.astype(np.float32),
                    "load_newest_4d": np.r_[np.full(48, np.nan), per_unit[:-48]].astype(np.float32),
                    "load_level_24h": np.ones(hours.size, dtype=np.float32),
                    "load_mw": per_unit * level,
                }
            )
        )
    return pl.concat(parts).with_columns(pl.col(pl.Float32).fill_nan(None))


@pytest.fixture(scope="session")
def rows() -> pl.DataFrame:
    return feature_rows()


@pytest.fixture(scope="session")
def trained(rows: pl.DataFrame) -> LightGBMQuantile:
    return train_lightgbm(rows, FEATURES, PLAN)
