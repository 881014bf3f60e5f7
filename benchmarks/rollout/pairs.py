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

# Name -> (days of history, days before the refit that it was fitted, recipe).
MODELS = {
    "champion": (730, 0, TrainingPlan()),
    "retrained": (730, 91, TrainingPlan()),  # the same recipe a quarter apart, what a platform compares most
    "alike": (730, 0, TrainingPlan(half_life_days=180.0, seed=2)),
    "unlike": (365, 0, TrainingPlan(trees=80, leaves=15, seed=3)),
}
KINDS = ("retrained", "alike", "unlike")
HOURS = 24


@dataclass(frozen=True, slots=True)
class Pair:
    """Two real models on the same days.

    Attributes:
        name: area and kind of candidate.
        candidate, champion: quantile CRPS per point over its mean, shape (n_days, n_points): both means are exactly
            equal, the null hypothesis is true of these days.
        candidate_error, champion_error: |median - truth| in the same way.
        candidate_level, champion_level: median forecast per unit of the area's recent level.
    """

    name: str
    candidate: FloatArray
    champion: FloatArray
    candidate_error: FloatArray
    champion_error: FloatArray
    candidate_level: FloatArray
    champion_level: FloatArray


def losses(*, quick: bool = False) -> dict[str, FloatArray]:
    """Return CRPS, absolute error, median and level (MW) by "area/model", shape (4, n_days, n_points).

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
    """Refit each half-year on what had come true, answer the days up to the next fit."""
    starts = [horizon.issue_on(date(year, month, 1)) for year in years for month in (1, 7)]
    begin = max(panel.frame["at"].min() + timedelta(days=35), starts[0] - timedelta(days=850))  # type: ignore[operator]
    end = min(horizon.issue_on(date(years[-1], 12, 30)), panel.as_of or datetime.max.replace(tzinfo=UTC))
    rows = attach_truth(features.compute(panel, list(horizon.issues(begin, end))), panel)
    found: dict[str, list[pl.DataFrame]] = {name: [] for name in MODELS}
    for start, following in zip(starts, [*starts[1:], end], strict=True):
        asked = rows.filter((pl.col("issued_at") >= start) & (pl.col("issued_at") < following))
        for name, (history, before, plan) in MODELS.items():
            then = start - timedelta(days=before)
            known = (pl.col("at") + horizon.resolution <= then) & (
                pl.col("issued_at") >= then - timedelta(days=history)
            )
            model = train_lightgbm(rows.filter(known), features.names, plan)
            forecast, truth = model.predict(asked), asked[LOAD].cast(pl.Float64).fill_null(float("nan")).to_numpy()
            found[name].append(
                asked.select("area", "issued_at", "at", "scale_mw").with_columns(
                    pl.Series("crps", crps(truth, forecast, QUANTILES)),
                    pl.Series("error", np.abs(forecast[:, QUANTILES.index(0.5)] - truth)),
                    pl.Series("median", forecast[:, QUANTILES.index(0.5)]),
                )
            )
    return {key: day for name, parts in found.items() for key, day in _whole_days(name, pl.concat(parts))}


def _whole_days(model: str, rows: pl.DataFrame) -> Iterator[tuple[str, FloatArray]]:
    for (area,), own in rows.group_by("area", maintain_order=True):
        days = own.sort("issued_at", "at").group_by("issued_at", maintain_order=True)
        points = int(own.group_by("issued_at").len()["len"].mode()[0])
        tables = [
            day.select("crps", "error", "median", "scale_mw").to_numpy().T for _, day in days if day.height == points
        ]
        yield f"{area}/{model}", np.stack(tables, axis=1)


def pairs(table: dict[str, FloatArray]) -> list[Pair]:
    """Return each area's pairs on the days when both were scored on every point, then all areas of a kind pooled."""
    result: list[Pair] = []
    for area in dict.fromkeys(key.split("/")[0] for key in table):
        champion = table[f"{area}/champion"]
        for kind in KINDS:
            candidate = table[f"{area}/{kind}"]
            whole = np.isfinite(champion).all(axis=(0, 2)) & np.isfinite(candidate).all(axis=(0, 2))
            result.append(_pair(f"{area} {kind}", candidate[:, whole], champion[:, whole]))
    return [*result, *(one for kind in KINDS for one in _pooled(result, kind))]


def _pair(name: str, candidate: FloatArray, champion: FloatArray) -> Pair:
    mine = candidate[:2] / candidate[:2].mean(axis=(1, 2), keepdims=True)
    theirs = champion[:2] / champion[:2].mean(axis=(1, 2), keepdims=True)
    levels = candidate[2] / candidate[3], champion[2] / champion[3]
    return Pair(name, mine[0], theirs[0], mine[1], theirs[1], *levels)


def _pooled(found: list[Pair], kind: str) -> list[Pair]:
    """Average the hourly areas day by day, so that what they have in common stays in; nothing for one area."""
    own = [pair for pair in found if pair.name.endswith(f" {kind}") and pair.champion.shape[1] == HOURS]
    if len(own) < 2:
        return []
    days = min(len(pair.champion) for pair in own)
    columns = [
        np.mean([getattr(pair, name)[-days:] for pair in own], axis=0)
        for name in ("candidate", "champion", "candidate_error", "champion_error", "candidate_level", "champion_level")
    ]
    losses_of = [column / column.mean() for column in columns[:4]]
    return [Pair(f"{len(own)} areas {kind}", *losses_of, *columns[4:])]
