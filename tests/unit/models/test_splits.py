"""Rows on the splits of a model: which there are, and that they lie where converters go wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from recloser.core import LOAD
from recloser.models import LightGBMQuantile, SeasonalNaive, TrainingPlan, split_rows, train_lightgbm
from recloser.models.splits import split_points

NAMES = ("hour", "warmth")


def rows(n_days: int = 120) -> pl.DataFrame:
    rng = np.random.default_rng(4)
    hours = np.arange(24 * n_days)
    at = [datetime(2023, 1, 1, tzinfo=UTC) + timedelta(hours=int(hour)) for hour in hours]
    hour, warmth = (hours % 24).astype(np.float32), rng.normal(15, 5, hours.size).astype(np.float32)
    warmth[::7] = np.nan
    load = 40 + 10 * np.sin(2 * np.pi * hour / 24) + 0.3 * np.nan_to_num(warmth)
    frame = pl.DataFrame({"area": "A", "at": at, "hour": hour, "warmth": warmth, LOAD: load, "scale_mw": 45.0})
    issued = pl.col("at").dt.truncate("1d") - pl.duration(hours=15)
    return frame.with_columns(issued.alias("issued_at"), pl.col("warmth").fill_nan(None))


def model() -> LightGBMQuantile:
    trained = train_lightgbm(rows(), NAMES, TrainingPlan(trees=10, leaves=7, calibration_days=14))
    assert isinstance(trained, LightGBMQuantile)
    return trained


def test_split_points_are_those_of_the_dumped_trees() -> None:
    trained = model()
    found: set[tuple[int, float]] = set()
    for booster in trained.boosters:
        stack = [tree["tree_structure"] for tree in booster.dump_model()["tree_info"]]
        while stack:
            node = stack.pop()
            if "threshold" in node:
                stack += [node["left_child"], node["right_child"]]
                found.add((node["split_feature"], float(node["threshold"])))
    plain = sorted(point for point in found if abs(point[1]) < 1e38)
    assert split_points(trained) == plain
    assert len(plain) > 10


def test_split_rows_stand_on_below_and_above_a_split_and_change_nothing_else() -> None:
    trained, row = model(), rows().head(1)
    found = split_rows(trained, row, count=5)
    assert found.height == 15
    assert found.schema == row.schema
    points = {(trained.feature_names[k], float(np.float32(x))) for k, x in split_points(trained)}
    for index in range(0, 15, 3):
        below, on, above = (found[index + k] for k in range(3))
        moved = [name for name in NAMES if below[name][0] != above[name][0]]
        assert len(moved) == 1
        assert (moved[0], on[moved[0]][0]) in points
        assert below[moved[0]][0] < on[moved[0]][0] < above[moved[0]][0]
        assert on.drop(moved).equals(row.drop(moved))
    assert np.isfinite(trained.predict(found)).all()


def test_models_without_trees_have_no_split_rows() -> None:
    assert split_rows(SeasonalNaive.of(("load_lag_7d",)), rows().head(1)).is_empty()
