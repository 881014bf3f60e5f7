"""A small world to serve: two trained models of equal size, the naive rungs, limits, requests of any length."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NoReturn

import numpy as np
import polars as pl

from recloser.core import TIME, FloatArray, ModelRows, Refused
from recloser.models import (
    Model,
    Persistence,
    SeasonalNaive,
    TrainingPlan,
    load_model,
    predict_rows,
    prompt,
    train_lightgbm,
)
from recloser.serving import NAIVE, AssetLimits, Gateway, GuardPolicy, Predictor, Route
from recloser.serving.http import CurrentForecast, InputColumns

AREAS = tuple(f"feeder-{k:02d}" for k in range(40))
STEP = timedelta(hours=1)
START = datetime(2024, 1, 1, tzinfo=UTC)
NAMED = ("hour", "load_lag_7d", "load_newest_4d", "load_level_24h")
FEATURES = (*NAMED, *(f"x{k:02d}" for k in range(25 - len(NAMED))))
COLUMNS = InputColumns(("scale_mw", *FEATURES))
POLICY = GuardPolicy(divergence_default=3.0, required=("load_level_24h",))
TRAINED = ("rel-champion", "rel-canary")
LIMITS = AssetLimits(-50.0, 400.0, 300.0, STEP)


@dataclass(frozen=True, slots=True)
class Named:
    """A model under a release's name."""

    release: str
    model: Model

    @property
    def prompt(self) -> bool:
        """Tell whether the model answers a few rows in bounded time."""
        return prompt(self.model)

    def predict(self, rows: pl.DataFrame) -> FloatArray:
        """Return MW, shape (n_rows, n_quantiles)."""
        return self.model.predict(rows)

    def predict_rows(self, rows: ModelRows) -> FloatArray:
        """Return the same without a data frame."""
        return predict_rows(self.model, rows)


def frame(n: int, seed: int = 1, areas: tuple[str, ...] = AREAS) -> pl.DataFrame:
    """Return n rows of a feature frame, area by area in the order of time, with a learnable truth."""
    rng = np.random.default_rng(seed)
    per = -(-n // len(areas))
    who = [area for area in areas for _ in range(per)][:n]
    at = [START + (k % per) * STEP for k in range(n)]
    x = np.round(rng.normal(0.0, 1.0, (n, len(FEATURES))), 3)
    x[:, 0] = [t.hour for t in at]
    level = 1.0 + 0.15 * np.sin(x[:, 0] / 24 * 2 * np.pi)
    x[:, 1:4] = np.round(level[:, None] + rng.normal(0, 0.02, (n, 3)), 4)
    truth = 100.0 * (level + 0.05 * x[:, 4] * (x[:, 5] > 0) + 0.02 * np.tanh(x[:, 6:15]).sum(axis=1))
    columns = {"area": who, "issued_at": [START + timedelta(days=k % per // 24) for k in range(n)], "at": at}
    columns |= {"scale_mw": np.full(n, 100.0), "load_mw": np.round(truth + rng.normal(0, 2.0, n), 3)}
    columns |= {name: x[:, k] for k, name in enumerate(FEATURES)}
    return pl.DataFrame(columns, schema_overrides={"issued_at": TIME, "at": TIME})


def models(folder: Path, trees: int = 300, names: tuple[str, ...] = TRAINED) -> dict[str, Model]:
    """Return the named of champion and canary, `trees` trees with 63 leaves each, and the naive rungs; kept there."""
    found: dict[str, Model] = {}
    for name in names:
        place = folder / f"{name}-{trees}"
        if not place.exists():
            seed = TRAINED.index(name) + 1
            plan = TrainingPlan(trees=trees, leaves=63, max_rows=20_000, calibration_days=0, seed=seed)
            train_lightgbm(frame(40 * 24 * 40), FEATURES, plan).save(place)
        found[name] = load_model(place)
    return found | {"seasonal_naive": SeasonalNaive.of(FEATURES), "persistence": Persistence.of(FEATURES)}


class Present:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the present."""
        return datetime.now(UTC)


class Nothing:
    """A source of forecasts that has none."""

    def areas(self) -> list[str]:
        """Return no area."""
        return []

    def current(self, _: str) -> None:
        """Return nothing."""

    def many(self, _: Sequence[str]) -> dict[str, CurrentForecast]:
        """Return nothing."""
        return {}

    def find(self, _: str) -> None:
        """Return nothing."""


class Nobody:
    """A desk at which nobody may ask for anything."""

    def carry_out(self, *_: object) -> NoReturn:
        """Refuse."""
        raise Refused("nothing is carried out in a benchmark")

    tell = carry_out


def route(*, share: float = 0.0, shadow: str | None = None) -> Route:
    """Return a route with the second model as canary of a share of the areas, another as shadow, or neither."""
    canary = "rel-canary" if share else None
    return Route(1, "rel-champion", canary, share, shadow=shadow, fallback=NAIVE)


def gateway(predictors: Mapping[str, Predictor], chosen: Route, trip_after: int = 3) -> Gateway:
    """Return a gateway over the world's areas."""
    return Gateway(predictors, chosen, dict.fromkeys(AREAS, LIMITS), replace(POLICY, trip_after=trip_after))


def _rows(n: int, seed: int) -> pl.DataFrame:
    first = seed % len(AREAS)
    return frame(max(n, 1), seed, AREAS[first:] + AREAS[:first])[:n]


def binary_body(n: int, seed: int = 2) -> tuple[bytes, int]:
    """Return the same as binary tensors, and the length of its JSON part."""
    rows = _rows(n, seed)
    areas = b"".join(len(name).to_bytes(4, "little") + name.encode() for name in rows["area"].to_list())
    at = np.array([round(t.timestamp()) * 10**6 for t in rows["at"].to_list()], dtype="<i8").tobytes()
    table = rows.select(COLUMNS.numbers).to_numpy().ravel().round(4).astype("<f8").tobytes()
    inputs = [
        {"name": name, "shape": shape, "datatype": kind, "parameters": {"binary_data_size": len(data)}}
        for name, shape, kind, data in (
            ("area", [n], "BYTES", areas),
            ("at", [n], "INT64", at),
            ("x", [n, len(COLUMNS.numbers)], "FP64", table),
        )
    ]
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    return head + areas + at + table, len(head)


def body(n: int, seed: int = 2) -> bytes:
    """Return a v2 inference request of n rows with one wide tensor; other seeds begin with other areas."""
    rows = _rows(n, seed)
    table = rows.select(COLUMNS.numbers).to_numpy().ravel().round(4).tolist()
    inputs = [
        {"name": "area", "shape": [n], "datatype": "BYTES", "data": rows["area"].to_list()},
        {"name": "at", "shape": [n], "datatype": "BYTES", "data": [t.isoformat() for t in rows["at"].to_list()]},
        {"name": "x", "shape": [n, len(COLUMNS.numbers)], "datatype": "FP64", "data": table},
    ]
    return json.dumps({"inputs": inputs}).encode()
