"""Owns the real residuals: pairs of trained models on real load, their losses point by point. Tests no rule."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

sys.path.append(str(Path(__file__).resolve().parents[1] / "accuracy"))

from data import eia, victoria
from eia import ZONES

from recloser.core import LOAD, QUANTILES, FloatArray, Horizon, Panel
from recloser.core.scores import crps
from recloser.features import FeatureSet, attach_truth
from recloser.models import TrainingPlan, train_lightgbm

MODELS = {
    "champion": (timedelta(days=730), TrainingPlan()),
    "alike": (timedelta(days=730), TrainingPlan(half_life_days=180.0, seed=2)),
    "unlike": (timedelta(days=365), TrainingPlan(trees=80, leaves=15, seed=3)),
}


@dataclass(frozen=True, slots=True)
class Pair:
    """Two real models' losses on the same days.

    Attributes:
        name: area and kind of candidate.
        candidate, champion: quantile CRPS per point over the champion's mean, shape (n_days, n_points).
        candidate_error, champion_error: |median - truth| in the same way.
    """

    name: str
    candidate: FloatArray
    champion: FloatArray
    candidate_error: FloatArray
    champion_error: FloatArray


def losses(*, quick: bool = False) -> dict[str, FloatArray]:
    """Return (loss of the CRPS, absolute error) by "area/model", shape (2, n_days, n_points); whole days only.

    Args:
        quick: one area, one year of history and one fit: for tests.
    """
    result: dict[str, FloatArray] = {}
    if not quick:
        horizon = Horizon(ZoneInfo("Australia/Melbourne"), timedelta(minutes=30))
        result.update(_answers(victoria(), horizon, FeatureSet.standard(horizon, "AU", "VIC"), range(2013, 2015)))
    panel = eia()
    for name, areas in ZONES.items():
        horizon = Horizon(ZoneInfo(name), timedelta(hours=1))
        own = Panel(panel.frame.filter(pl.col("area").is_in(areas)), panel.resolution, panel.as_of)
        features = FeatureSet.standard(horizon, "US", weather=False)
        if not quick or "BPAT" in areas:
            result.update(_answers(own, horizon, features, range(2018, 2019) if quick else range(2017, 2019)))
    return result


def _answers(panel: Panel, horizon: Horizon, features: FeatureSet, years: range) -> dict[str, FloatArray]:
    """Refit each quarter on what had come true, answer the days up to the next fit."""
    starts = [horizon.issue_on(date(year, month, 1)) for year in years for month in (1, 4, 7, 10)]
    begin = max(panel.frame["at"].min() + timedelta(days=35), starts[0] - timedelta(days=760))  # type: ignore[operator]
    end = min(horizon.issue_on(date(years[-1], 12, 30)), panel.as_of or datetime.max.replace(tzinfo=UTC))
    rows = attach_truth(features.compute(panel, list(horizon.issues(begin, end))), panel)
    found: dict[str, list[pl.DataFrame]] = {name: [] for name in MODELS}
    for start, following in zip(starts, [*starts[1:], end], strict=True):
        asked = rows.filter((pl.col("issued_at") >= start) & (pl.col("issued_at") < following))
        for name, (history, plan) in MODELS.items():
            known = (pl.col("at") + horizon.resolution <= start) & (pl.col("issued_at") >= start - history)
            model = train_lightgbm(rows.filter(known), features.names, plan)
            forecast, truth = model.predict(asked), asked[LOAD].cast(pl.Float64).fill_null(float("nan")).to_numpy()
            found[name].append(
                asked.select("area", "issued_at", "at").with_columns(
                    pl.Series("crps", crps(truth, forecast, QUANTILES)),
                    pl.Series("error", np.abs(forecast[:, QUANTILES.index(0.5)] - truth)),
                )
            )
    return {key: day for name, parts in found.items() for key, day in _whole_days(name, pl.concat(parts))}


def _whole_days(model: str, rows: pl.DataFrame) -> Iterator[tuple[str, FloatArray]]:
    for (area,), own in rows.group_by("area", maintain_order=True):
        days = own.sort("issued_at", "at").group_by("issued_at", maintain_order=True)
        points = int(own.group_by("issued_at").len()["len"].mode()[0])
        tables = [day.select("crps", "error").to_numpy().T for _, day in days if day.height == points]
        yield f"{area}/{model}", np.stack(tables, axis=1)


def pairs(table: dict[str, FloatArray]) -> list[Pair]:
    """Return each area's pairs, on days when both models were scored on every point; losses over the champion's mean.

    The candidate's losses are scaled so that both means are exactly equal: the null hypothesis is true of these days.
    """
    result: list[Pair] = []
    for area in dict.fromkeys(key.split("/")[0] for key in table):
        champion = table[f"{area}/champion"]
        for kind in [name for name in MODELS if name != "champion"]:
            candidate = table[f"{area}/{kind}"]
            whole = np.isfinite(champion).all(axis=(0, 2)) & np.isfinite(candidate).all(axis=(0, 2))
            mine, theirs = candidate[:, whole], champion[:, whole]
            mine = mine / mine.mean(axis=(1, 2), keepdims=True)
            theirs = theirs / theirs.mean(axis=(1, 2), keepdims=True)
            result.append(Pair(f"{area} {kind}", mine[0], theirs[0], mine[1], theirs[1]))
    return result
