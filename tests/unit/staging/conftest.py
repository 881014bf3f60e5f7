"""A small seasonal world with real LightGBM models, for the bad cases of FINDINGS section 1."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import lightgbm
import numpy as np
import polars as pl
import pytest

from recloser.core import FloatArray
from recloser.staging import HoldOut, TrainingData

ZONE = ZoneInfo("Australia/Melbourne")
QUANTILES = (0.1, 0.5, 0.9)
FEATURES = ("hour", "weekday", "temperature_c", "temperature_c_mean_24h", "load_lag_7d", "load_lag_2d")
DAYS, HELD = 280, 42
START = datetime(2021, 1, 1, tzinfo=UTC)


def make_load(days: int = DAYS, areas: tuple[str, ...] = ("north", "south"), seed: int = 7) -> pl.DataFrame:
    """Hourly load (MW) and temperature (degC) with season, week, day, weather memory and autocorrelated noise."""
    rng = np.random.default_rng(seed)
    n = days * 24
    hours = np.arange(n)
    at = [START + timedelta(hours=int(k)) for k in range(n)]
    frames = []
    for index, area in enumerate(areas):
        local = pl.Series(at).dt.convert_time_zone(str(ZONE))
        hour, weekday = local.dt.hour().to_numpy(), local.dt.weekday().to_numpy()
        slow, noise = np.zeros(n), np.zeros(n)
        kicks, steps = rng.normal(0, 1, n), rng.normal(0, 1, n)
        for k in range(1, n):
            slow[k] = 0.985 * slow[k - 1] + 0.45 * kicks[k]
            noise[k] = 0.95 * noise[k - 1] + 0.009 * steps[k]
        warmth = 16 + 6 * np.cos(2 * np.pi * hours / 8766) + slow + 4 * np.sin(2 * np.pi * (hour - 9) / 24)
        shape = 1 - 0.15 * np.cos(2 * np.pi * (hour - 4) / 24) - 0.07 * np.cos(4 * np.pi * (hour - 1) / 24)
        week = np.where(weekday >= 6, 0.9, 1.0)
        weather = 1 + 0.012 * np.abs(warmth - 18)
        level = 40.0 * (index + 1)
        load = level * shape * week * weather * (1 + noise)
        frames.append(pl.DataFrame({"area": [area] * n, "at": at, "load_mw": load, "temperature_c": warmth}))
    return pl.concat(frames)


def make_frame(load: pl.DataFrame) -> pl.DataFrame:
    """Feature frame with truth, as the features room would give it."""
    local = pl.col("at").dt.convert_time_zone(str(ZONE))
    return (
        load.sort("area", "at")
        .with_columns(
            (pl.col("at").dt.truncate("1d") - pl.duration(hours=1)).alias("issued_at"),
            pl.col("load_mw").shift(48).abs().rolling_mean(672, min_samples=24).over("area").alias("scale_mw"),
            local.dt.hour().cast(pl.Float64).alias("hour"),
            local.dt.weekday().cast(pl.Float64).alias("weekday"),
            pl.col("temperature_c").rolling_mean(24).over("area").alias("temperature_c_mean_24h"),
            pl.col("load_mw").shift(168).over("area").alias("load_lag_7d"),
            pl.col("load_mw").shift(48).over("area").alias("load_lag_2d"),
        )
        .filter(pl.col("at") >= START + timedelta(days=14))
    )


@dataclass(frozen=True, slots=True)
class Booster:
    """Three LightGBM quantile boosters of load over its recent level."""

    parts: tuple[lightgbm.Booster, ...]

    def predict(self, rows: pl.DataFrame) -> FloatArray:
        inputs = _inputs(rows)
        scale = rows["scale_mw"].to_numpy()
        answers = np.column_stack([part.predict(inputs, num_threads=1) for part in self.parts])
        return np.sort(answers, axis=1) * scale[:, None]


def _inputs(rows: pl.DataFrame) -> FloatArray:
    scaled = rows.with_columns(pl.col("load_lag_7d", "load_lag_2d") / pl.col("scale_mw"))
    return scaled.select(pl.col(FEATURES).cast(pl.Float64)).to_numpy()


def train(frame: pl.DataFrame, trees: int = 60) -> Booster:
    rows = frame.filter(pl.col("load_mw").is_finite() & (pl.col("scale_mw") > 0))
    target = (rows["load_mw"] / rows["scale_mw"]).to_numpy()
    settings = {
        "objective": "quantile",
        "num_leaves": 15,
        "learning_rate": 0.12,
        "verbosity": -1,
        "num_threads": 1,
        "seed": 1,
        "deterministic": True,
        "force_row_wise": True,
    }
    data = lightgbm.Dataset(_inputs(rows), target, free_raw_data=False)
    return Booster(tuple(lightgbm.train({**settings, "alpha": q}, data, trees) for q in QUANTILES))


def naive_of(rows: pl.DataFrame) -> FloatArray:
    lag = rows["load_lag_7d"].to_numpy()
    return np.column_stack([0.88 * lag, lag, 1.12 * lag])


def hold_out(
    rows: pl.DataFrame, candidate: FloatArray, champion: FloatArray | None = None, *, naive: FloatArray | None = None
) -> HoldOut:
    return HoldOut.from_frame(
        rows,
        ZONE,
        QUANTILES,
        candidate=candidate,
        champion=champion,
        naive=naive_of(rows) if naive is None else naive,
    )


@dataclass(frozen=True, slots=True)
class World:
    """Everything the tests share, computed once."""

    load: pl.DataFrame
    training: pl.DataFrame
    held: pl.DataFrame
    recent: pl.DataFrame
    good: Booster
    weak: Booster
    train: Callable[..., Booster]
    frame: Callable[[pl.DataFrame], pl.DataFrame]
    hold_out: Callable[..., HoldOut]

    @property
    def edge(self) -> datetime:
        return START + timedelta(days=DAYS - HELD)

    def data(self, frame: pl.DataFrame, names: tuple[str, ...] = FEATURES) -> TrainingData:
        return TrainingData(frame, names, ZONE, self.recent)

    def corrupted(self, load: pl.DataFrame) -> pl.DataFrame:
        """Training frame made from a corrupted load."""
        return self.frame(load).filter(pl.col("at") < self.edge)


@pytest.fixture(scope="session")
def world() -> World:
    load = make_load()
    frame = make_frame(load)
    edge = START + timedelta(days=DAYS - HELD)
    training, held = frame.filter(pl.col("at") < edge), frame.filter(pl.col("at") >= edge)
    return World(
        load,
        training,
        held,
        held.select("area", "at", "load_mw"),
        train(training),
        train(training, trees=15),
        train,
        make_frame,
        hold_out,
    )
