"""Owns the real residuals: pairs of trained models on real load, their losses point by point. Tests no rule."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

sys.path.append(str(Path(__file__).resolve().parents[1] / "accuracy"))

from data import eia, victoria
from eia import ZONES
from sides import Side, harmed, per_unit, side

from recloser.core import LOAD, FloatArray, Horizon, Panel
from recloser.features import FeatureSet, attach_truth
from recloser.models import TrainingPlan, train_lightgbm

# Name -> (days of history, days before the refit that it was fitted, recipe).
MODELS = {
    "champion": (730, 0, TrainingPlan()),
    "retrained": (730, 91, TrainingPlan()),  # the same recipe a quarter apart, what a platform compares most
    "alike": (730, 0, TrainingPlan(half_life_days=180.0, seed=2)),
    "unlike": (365, 0, TrainingPlan(trees=80, leaves=15, seed=3)),
    "poor": (180, 0, TrainingPlan(trees=25, leaves=7, seed=4)),  # never compared itself: what a forecast decays towards
}
KINDS = ("retrained", "alike", "unlike")
COLUMNS = ("low", "median", "high", "truth", "scale_mw")
HOURS = 24


@dataclass(frozen=True, slots=True)
class Pair:
    """Two real models on the same days.

    Attributes:
        name: area and kind of candidate.
        candidate, champion: errors scaled so that both mean losses are one: the null hypothesis is true of these days.
        candidate_level, champion_level: median forecast per unit of the area's recent level, shape (n_days, n_points).
        truly: worse forecasters by kind of harm and effect, on the same days; see `sides.harmed`.
    """

    name: str
    candidate: Side
    champion: Side
    candidate_level: FloatArray
    champion_level: FloatArray
    truly: dict[tuple[str, float], Side] = field(default_factory=dict)


def answers(*, quick: bool = False) -> dict[str, FloatArray]:
    """Return low, median, high, truth and recent level (MW) by "area/model", shape (5, n_days, n_points).

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
    first = panel.frame["at"].min()
    assert isinstance(first, datetime)
    begin = max(first + timedelta(days=35), starts[0] - timedelta(days=850))
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
                    *(pl.Series(column, forecast[:, k]) for k, column in enumerate(COLUMNS[:3])),
                    pl.Series("truth", truth),
                )
            )
    return {key: day for name, parts in found.items() for key, day in _whole_days(name, pl.concat(parts))}


def _whole_days(model: str, rows: pl.DataFrame) -> Iterator[tuple[str, FloatArray]]:
    for (area,), own in rows.group_by("area", maintain_order=True):
        days = own.sort("issued_at", "at").group_by("issued_at", maintain_order=True)
        points = int(own.group_by("issued_at").len()["len"].mode()[0])
        tables = [day.select(COLUMNS).to_numpy().T for _, day in days if day.height == points]
        yield f"{area}/{model}", np.stack(tables, axis=1)


def pairs(table: dict[str, FloatArray]) -> list[Pair]:
    """Return each area's pairs on the days when all models were scored on every point, then a kind's areas pooled."""
    result: list[Pair] = []
    for area in dict.fromkeys(key.split("/")[0] for key in table):
        own = {name: table[f"{area}/{name}"] for name in MODELS}
        whole = np.all([np.isfinite(days).all(axis=(0, 2)) for days in own.values()], axis=0)
        scaled = {name: per_unit(days[:, whole]) for name, days in own.items()}
        champion = side(*scaled["champion"])
        for kind in KINDS:
            mine = side(*scaled[kind])
            truly = {key: one.over(mine) for key, one in harmed(scaled[kind], scaled["poor"]).items()}
            levels = scaled[kind][0][1], scaled["champion"][0][1]
            result.append(Pair(f"{area} {kind}", mine.over(mine), champion.over(champion), *levels, truly))
    return [*result, *(one for kind in KINDS for one in _pooled(result, kind))]


def _pooled(found: list[Pair], kind: str) -> list[Pair]:
    """Average the hourly areas day by day, so that what they have in common stays in; nothing for one area."""
    own = [pair for pair in found if pair.name.endswith(f" {kind}") and pair.champion.loss.shape[1] == HOURS]
    if len(own) < 2:
        return []
    days = min(len(pair.champion.loss) for pair in own)
    mine, champion = _mean([pair.candidate for pair in own], days), _mean([pair.champion for pair in own], days)
    truly = {key: _mean([pair.truly[key] for pair in own], days).over(mine) for key in own[0].truly}
    levels = (
        np.mean([pair.candidate_level[-days:] for pair in own], axis=0),
        np.mean([pair.champion_level[-days:] for pair in own], axis=0),
    )
    return [Pair(f"{len(own)} areas {kind}", mine.over(mine), champion.over(champion), *levels, truly)]


def _mean(sides: list[Side], days: int) -> Side:
    columns = [np.mean([getattr(one, name)[-days:] for one in sides], axis=0) for name in ("loss", "error", "ramp")]
    return Side(*columns)
