"""Owns the training of the LightGBM quantile forecaster. Pure: rows and a plan in, a model out."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import polars as pl

from recloser.core import LOAD, QUANTILES, FloatArray, InvalidInput
from recloser.models.calibration import Calibration, conformal_quantile
from recloser.models.lightgbm_native import grown, version
from recloser.models.lightgbm_quantile import SPREAD_FLOOR, LightGBMQuantile
from recloser.models.model import Float32Array, age_days, checked_quantiles, column, matrix

if TYPE_CHECKING:
    import lightgbm as lgb

LEAST_ROWS = 200
SPREAD_EVERY_WEEKS = 6
# One dead channel of 0.001 MW with blips is 900 times its own scale and would bend the model of the whole fleet
# (measured: MAE of nine healthy substations from 0.6 to 1.8 of their mean load).
TARGET_LIMIT = 10.0
HUBER = 0.2
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """How to train; part of the run's parameters.

    Attributes:
        trees, leaves, learning_rate: of the centre booster.
        max_rows: rows are drawn at random (by `seed`) down to this number; None for all.
        calibration_days: length of the time-ordered hold-out at the end that sets the width of the quantiles;
            at most a third of the history; 0 sets it on the training rows (too narrow: for tests only).
        half_life_days: older rows weigh less in training; None for equal weights.
        dropout: share of training rows in which features go missing at random, so that the trees learn gaps.
        threads: fixed number of LightGBM threads.
        seed: of sampling and bagging.
    """

    trees: int = 200
    leaves: int = 63
    learning_rate: float = 0.06
    max_rows: int | None = 50_000
    calibration_days: int = 56
    half_life_days: float | None = None
    dropout: float = 0.03
    threads: int = 1
    seed: int = 1


@dataclass(frozen=True, slots=True)
class _Sample:
    """Training rows: float32 inputs (n_rows, n_features), load over scale, weights, and how old each issue is."""

    inputs: Float32Array
    target: FloatArray
    weight: FloatArray
    age_days: FloatArray

    def part(self, rows: BoolArray) -> _Sample:
        return _Sample(self.inputs[rows], self.target[rows], self.weight[rows], self.age_days[rows])


def train_lightgbm(
    rows: pl.DataFrame,
    feature_names: tuple[str, ...],
    plan: TrainingPlan | None = None,
    quantiles: tuple[float, ...] = QUANTILES,
) -> LightGBMQuantile:
    """Train on rows with truth; deterministic for equal rows, plan and library version.

    A trial centre is fitted without the newest `calibration_days` and without every sixth week before. The
    weeks left out teach the spread booster how far off forecasts are in each season and weather; the newest days
    then set, per quantile, how many spreads wide the band must be. The centre is refitted on all rows.

    Args:
        rows: columns of a feature frame plus load_mw (MW); rows without truth or scale are left out, and those
            whose load is more than ten times their scale.
        feature_names: columns to use, in order.
        plan: how; default TrainingPlan().
        quantiles: levels with 0.5.

    Raises:
        InvalidInput: too few usable rows, or a column is absent.

    Source: locally weighted split conformal prediction, Lei et al. (2018), Distribution-Free Predictive Inference
    for Regression, section 5.2, one side at a time.
    """
    plan = plan or TrainingPlan()
    levels = checked_quantiles(quantiles)
    sample = _sample(rows, feature_names, plan)
    spread, widths = _spread(sample, feature_names, plan, levels)
    centre = _fit(sample, feature_names, plan, "centre")
    facts = {"plan": asdict(plan), "rows": int(sample.target.size), "lightgbm": version()}
    texts = (_text(centre), _text(spread))
    return LightGBMQuantile(feature_names, levels, texts, widths, Calibration.none(levels), facts)


def _text(booster: lgb.Booster) -> str:
    text: str = booster.model_to_string(num_iteration=-1)
    return text


def _spread(
    sample: _Sample, names: tuple[str, ...], plan: TrainingPlan, levels: tuple[float, ...]
) -> tuple[lgb.Booster, tuple[float, ...]]:
    """Return the booster of the absolute residual and the width of each level in units of it."""
    older, between, newest = _held_out(sample, plan.calibration_days)
    trial = _fit(sample.part(older), names, plan, "trial")
    seasons, recent = sample.part(between), sample.part(newest)
    far = np.abs(seasons.target - trial.predict(seasons.inputs, num_threads=plan.threads))
    booster = _fit(_Sample(seasons.inputs, far, seasons.weight, seasons.age_days), names, plan, "spread")
    unit = np.maximum(booster.predict(recent.inputs, num_threads=plan.threads), SPREAD_FLOOR)
    error = (recent.target - trial.predict(recent.inputs, num_threads=plan.threads)) / unit
    even = np.ones(error.size)
    # The median stays where the centre is: shifting it by an old season's bias costs accuracy (measured).
    widths = tuple(0.0 if level == 0.5 else conformal_quantile(error, even, level) for level in levels)
    return booster, widths


def _held_out(sample: _Sample, days: int) -> tuple[BoolArray, BoolArray, BoolArray]:
    """Return masks: rows of the trial centre, rows that teach the spread, rows that set the widths."""
    age = sample.age_days
    everything = np.ones(age.size, dtype=bool)
    hold = min(float(days), float(age.max()) / 3)
    newest = age < hold
    # Two more days: the older rows' targets must have come true before the first held-out issue.
    older = age >= hold + 2.0
    if newest.sum() < LEAST_ROWS or older.sum() < LEAST_ROWS:
        return everything, everything, everything
    week = ((age - hold) // 7).astype(np.int64)
    between = older & (week % SPREAD_EVERY_WEEKS == SPREAD_EVERY_WEEKS - 1)
    if between.sum() < LEAST_ROWS:
        return older, newest, newest
    return older & ~between, between, newest


def _fit(sample: _Sample, names: tuple[str, ...], plan: TrainingPlan, role: str) -> lgb.Booster:
    trees, leaves, rate = {
        "centre": (plan.trees, plan.leaves, plan.learning_rate),
        "trial": (max(1, plan.trees // 2), plan.leaves, 2 * plan.learning_rate),
        "spread": (30, 15, 0.1),
    }[role]
    parameters: dict[str, Any] = {
        # Squared error while it is ordinary, absolute error beyond: erratic feeders do not drown calm ones.
        "objective": "huber",
        "alpha": HUBER,
        "num_leaves": leaves,
        "num_iterations": trees,
        "learning_rate": rate,
        "max_bin": 63,
        "min_data_in_leaf": 20,
        "bagging_fraction": 0.5,
        "bagging_freq": 1,
        "feature_fraction": 0.5,
        "num_threads": plan.threads,
        "seed": plan.seed,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }
    return grown(sample.inputs, sample.target, sample.weight, names, parameters)


def _sample(rows: pl.DataFrame, feature_names: tuple[str, ...], plan: TrainingPlan) -> _Sample:
    random = np.random.Generator(np.random.PCG64(plan.seed))
    size = (pl.col(LOAD) / pl.col("scale_mw")).abs()
    rows = rows.filter(pl.col(LOAD).is_finite() & (pl.col("scale_mw") > 0) & (size <= TARGET_LIMIT))
    if rows.height < LEAST_ROWS:
        raise InvalidInput(
            "too few rows with a known load to train on",
            got=rows.height,
            expected=f"at least {LEAST_ROWS}",
            where="train_lightgbm",
            next_step="Ingest more history, or look at the quality flags.",
        )
    if plan.max_rows is not None and rows.height > plan.max_rows:
        rows = rows[np.sort(random.choice(rows.height, plan.max_rows, replace=False))]
    inputs = matrix(rows, feature_names, "train_lightgbm").copy()
    gappy = np.flatnonzero(random.random(rows.height) < plan.dropout)
    hidden = random.random((gappy.size, len(feature_names))) < 0.5
    inputs[gappy] = np.where(hidden, np.float32(np.nan), inputs[gappy])
    age = age_days(rows)
    weight = np.ones(rows.height) if plan.half_life_days is None else 0.5 ** (age / plan.half_life_days)
    return _Sample(inputs, column(rows, LOAD) / column(rows, "scale_mw"), weight, age)
