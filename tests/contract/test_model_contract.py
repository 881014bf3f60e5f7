"""What every Model promises (recloser.models.Model): data kinds, own Python models and pyfuncs alike."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from recloser.core import InvalidInput, ModelRows
from recloser.models import (
    Persistence,
    PyfuncModel,
    PythonModel,
    SeasonalNaive,
    TrainingPlan,
    load_model,
    predict_rows,
    train_lightgbm,
)

FEATURES = ("hour", "temperature_c", "load_lag_7d", "load_lag_14d", "load_newest_4d", "load_level_24h")
LOADS = [name for name in FEATURES if name.startswith("load_")]
Q = (0.1, 0.5, 0.9)
KINDS = ["lightgbm_quantile", "seasonal_naive", "persistence", "python", "pyfunc"]


class Ratio:
    """A user's own model that answers out of order on purpose."""

    def predict(self, rows: pl.DataFrame) -> np.ndarray:
        load = rows["load_lag_7d"].cast(pl.Float64).fill_null(float("nan")).to_numpy() * rows["scale_mw"].to_numpy()
        return np.stack([load * 1.2, load, load * 0.7], axis=1)


class Logged:
    """Stands for an opened MLflow pyfunc."""

    def predict(self, table: dict[str, np.ndarray]) -> np.ndarray:
        load = table["load_lag_7d"].astype(np.float64)
        return np.stack([load - 0.1, load, load + 0.1], axis=1)


@pytest.fixture(scope="module")
def rows() -> pl.DataFrame:
    rng = np.random.default_rng(5)
    n = 24 * 120
    start = datetime(2021, 1, 1, tzinfo=UTC)
    at = [start + timedelta(hours=k) for k in range(n)]
    hour = np.arange(n) % 24
    load = 1 + 0.3 * np.sin(hour / 24 * 2 * np.pi) + rng.normal(0, 0.05, n)
    columns = {
        "area": ["x", "y"] * (n // 2),
        "issued_at": [t.replace(hour=9) - timedelta(days=1) for t in at],
        "at": at,
        "scale_mw": np.where(np.arange(n) % 2, 5.0, 700.0),
        "hour": hour.astype(np.float32),
        "temperature_c": rng.normal(15, 5, n).astype(np.float32),
        **{name: (load + rng.normal(0, 0.05, n)).astype(np.float32) for name in LOADS},
    }
    frame = pl.DataFrame(columns)
    return frame.with_columns((pl.Series(load) * pl.col("scale_mw")).alias("load_mw"))


@pytest.fixture(scope="module", params=KINDS)
def model(request, rows, tmp_path_factory):
    if request.param == "lightgbm_quantile":
        return train_lightgbm(rows, FEATURES, TrainingPlan(trees=20, leaves=15, calibration_days=30))
    if request.param == "seasonal_naive":
        return SeasonalNaive.of(FEATURES).fitted(rows)
    if request.param == "persistence":
        return Persistence.of(FEATURES).fitted(rows)
    if request.param == "python":
        return PythonModel("own:Ratio", Q, {}, Ratio())
    return PyfuncModel(FEATURES, Q, tmp_path_factory.mktemp("pyfunc"), Logged(), per_unit=True)


def test_good_rows_give_finite_ordered_answers_of_the_right_shape(model, rows):
    before = rows.clone()
    answer = model.predict(rows)
    assert answer.shape == (rows.height, len(model.quantiles))
    assert answer.dtype == np.float64
    assert np.isfinite(answer).all()
    assert (np.diff(answer, axis=1) >= 0).all()
    assert rows.equals(before)


def test_answers_are_in_mw_of_the_area(model, rows):
    answer = model.predict(rows)[:, 1]
    assert np.corrcoef(answer, rows["load_mw"].to_numpy())[0, 1] > 0.95


def test_a_row_does_not_depend_on_its_batch(model, rows):
    whole = model.predict(rows)
    order = np.random.default_rng(0).permutation(rows.height)
    assert model.predict(rows[order]).tobytes() == whole[order].tobytes()
    for index in (0, 7, 1000):
        assert model.predict(rows[index : index + 1]).tobytes() == whole[index : index + 1].tobytes()
    poisoned = pl.concat([rows[:5], rows[5:6].with_columns(pl.lit(1e30, pl.Float32).alias(n) for n in LOADS)])
    assert model.predict(poisoned)[:5].tobytes() == whole[:5].tobytes()


def test_no_rows_give_no_answers(model, rows):
    assert model.predict(rows.clear()).shape == (0, len(model.quantiles))


def test_rows_that_say_nothing_get_nan_and_never_a_plausible_number(model, rows):
    some = rows.head(6)
    blank = some.with_columns(pl.lit(None, pl.Float32).alias(name) for name in FEATURES)
    assert np.isnan(model.predict(blank)).all()
    for scale in (None, float("nan")):
        assert np.isnan(model.predict(some.with_columns(pl.lit(scale, pl.Float64).alias("scale_mw")))).all()


def test_threads_get_the_same_bytes(model, rows):
    parts = [rows[k * 100 : k * 100 + 100] for k in range(20)]
    expected = [model.predict(part).tobytes() for part in parts]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            assert [answer.tobytes() for answer in pool.map(model.predict, parts)] == expected


def test_a_saved_model_answers_the_same_bytes(model, rows, tmp_path):
    if model.kind in {"python", "pyfunc"}:
        pytest.skip("runs foreign code; loading is tested in tests/unit/models/test_loading.py")
    model.save(tmp_path / "one")
    again = load_model(tmp_path / "one")
    assert again.kind == model.kind
    assert again.quantiles == model.quantiles
    assert again.predict(rows).tobytes() == model.predict(rows).tobytes()
    again.save(tmp_path / "two")
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def arrays(rows: pl.DataFrame, names: tuple[str, ...] = ("scale_mw", *FEATURES)) -> ModelRows:
    numbers = rows.select(pl.col(name).cast(pl.Float64).fill_null(float("nan")) for name in names).to_numpy()
    at_us = rows["at"].to_physical().to_numpy()
    return ModelRows(rows["area"].to_list(), names, np.ascontiguousarray(numbers), at_us)


@pytest.mark.parametrize("n", [1, 2, 4, 5, 33])
def test_arrays_and_frames_give_the_same_bytes(model, rows, n):
    holes = np.random.default_rng(n).random((n, len(FEATURES))) < 0.2
    some = rows[100 : 100 + n].with_columns(
        pl.Series(name, np.where(holes[:, k], np.nan, rows[name][100 : 100 + n].to_numpy()), pl.Float32).fill_nan(None)
        for k, name in enumerate(FEATURES)
    )
    blank = some.with_columns(pl.lit(None, pl.Float32).alias(name) for name in FEATURES)
    no_scale = some.with_columns(pl.lit(None, pl.Float64).alias("scale_mw"))
    for part in (some, blank, no_scale, some.clear()):
        assert predict_rows(model, arrays(part)).tobytes() == model.predict(part).tobytes()


def test_arrays_without_a_local_hour_use_the_hour_of_the_target(rows):
    naive, part = Persistence.of(FEATURES).fitted(rows), rows[50:90].drop("hour")
    names = ("scale_mw", *FEATURES[1:])
    assert predict_rows(naive, arrays(part, names)).tobytes() == naive.predict(part).tobytes()
    with pytest.raises(InvalidInput):
        predict_rows(naive, replace(arrays(part, names), at_us=None))


def test_arrays_without_a_needed_column_are_refused(model, rows):
    with pytest.raises((InvalidInput, pl.exceptions.ColumnNotFoundError)):
        predict_rows(model, arrays(rows.head(2), ("hour",)))
