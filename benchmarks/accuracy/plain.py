"""The plain LightGBM row: what a practitioner writes in an afternoon. No as-of logic, no calibration, clean data only.

Calendar in local time, load lags of whole days, level of the last day before the issue, temperature with lags and
rolling means; three independent quantile boosters, 300 trees x 31 leaves, learning rate 0.05, all else LightGBM's
defaults.
"""

from __future__ import annotations

from datetime import timedelta

import lightgbm as lgb
import numpy as np
import polars as pl

from recloser.core import LOAD, QUANTILES, TEMPERATURE, FloatArray, Panel

STEPS_PER_HOUR = 2
PARAMETERS = {
    "objective": "quantile",
    "learning_rate": 0.05,
    "num_leaves": 31,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "seed": 1,
    "verbosity": -1,
}
TREES = 300


def plain_frame(panel: Panel, zone: str, holiday: pl.DataFrame) -> pl.DataFrame:
    """Return columns at, load_mw, day (local date of the target) and the plain features of a day-ahead forecast."""
    wide = panel.wide().sort("at")
    hours, heat, load = STEPS_PER_HOUR, pl.col(TEMPERATURE), pl.col(LOAD)
    local = pl.col("at").dt.convert_time_zone(zone)
    wide = wide.with_columns(
        local.dt.date().alias("day"),
        (local.dt.hour() + local.dt.minute() / 60).alias("hour"),
        local.dt.weekday().alias("weekday"),
        local.dt.ordinal_day().alias("year_day"),
        *(load.shift(24 * hours * d).alias(f"lag{d}") for d in (2, 3, 7, 14)),
        *(heat.shift(hours * k).alias(f"temp_lag{k}") for k in (1, 3, 6, 24, 48)),
        *(heat.rolling_mean(hours * k).alias(f"temp_mean{k}") for k in (3, 24, 72)),
        load.rolling_mean(24 * hours).alias("level"),
    )
    # The level known at 09:00 local on the day before: the mean of the 24 hours that end then.
    nine = wide.filter(local.dt.strftime("%H:%M") == "08:30")
    level = nine.select((pl.col("day") + timedelta(days=1)).alias("day"), pl.col("level").alias("level_at_issue"))
    return wide.drop("level").join(level, on="day", how="left").join(holiday, on="day", how="left").sort("at")


def plain_names(frame: pl.DataFrame) -> list[str]:
    return [name for name in frame.columns if name not in {"area", "at", "day", LOAD}]


def fit_plain(rows: pl.DataFrame) -> list[lgb.Booster]:
    rows = rows.drop_nulls()
    inputs, truth = rows.select(plain_names(rows)).to_numpy(), rows[LOAD].to_numpy()
    return [
        lgb.train({**PARAMETERS, "alpha": level}, lgb.Dataset(inputs, truth, params=PARAMETERS), TREES)
        for level in QUANTILES
    ]


def predict_plain(boosters: list[lgb.Booster], rows: pl.DataFrame) -> FloatArray:
    inputs = rows.select(plain_names(rows)).to_numpy()
    return np.sort(np.stack([booster.predict(inputs, num_threads=1) for booster in boosters], axis=1), axis=1)
