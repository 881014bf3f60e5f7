from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from recloser.core import InvalidInput, Refused, Unavailable
from recloser.models import Persistence, PythonModel, SeasonalNaive, load_model
from recloser.models.model import write_facts

FEATURES = ("hour", "weekday", "temperature_c", "load_lag_7d", "load_lag_14d", "load_newest_4d", "load_level_24h")
Q = (0.1, 0.5, 0.9)


class Flat:
    """A user's model: a constant band."""

    def __init__(self, level: float = 1.0, columns: int = 3) -> None:
        self.level, self.columns = level, columns

    def predict(self, rows: pl.DataFrame) -> np.ndarray:
        return np.tile(self.level + np.arange(self.columns)[::-1], (rows.height, 1))


class PerUnit:
    """Stands for an MLflow pyfunc that was logged elsewhere."""

    def __init__(self, path) -> None:
        self.path = path

    def predict(self, table):
        lag = table["load_lag_7d"].astype(np.float64)
        return np.stack([lag * 0.9, lag, lag * 1.1], axis=1)


def test_own_python_models_load_only_when_allowed(tmp_path):
    entry = f"{__name__}:Flat"
    write_facts(tmp_path, {"kind": "python", "entry": entry, "quantiles": list(Q), "parameters": {"level": 5.0}})
    with pytest.raises(Refused, match="code of its own"):
        load_model(tmp_path)


def test_an_own_model_is_ordered_and_silent_without_a_scale(rows):
    model = PythonModel("own:Flat", Q, {}, Flat(5.0))
    some = rows.head(4).with_columns(
        pl.when(pl.int_range(4) == 2).then(None).otherwise(pl.col("scale_mw")).alias("scale_mw")
    )
    answer = model.predict(some)
    assert answer[0].tolist() == [5.0, 6.0, 7.0]
    assert np.isnan(answer[2]).all()
    with pytest.raises(Unavailable, match="another shape"):
        PythonModel("own:Flat", Q, {}, Flat(columns=2)).predict(some)


@pytest.mark.parametrize("entry", ["nowhere_at_all:Thing", "json:Thing", "json", "json:dumps", ""])
def test_bad_entries_are_named(entry, tmp_path):
    write_facts(tmp_path, {"kind": "python", "entry": entry, "quantiles": list(Q), "parameters": {}})
    with pytest.raises(InvalidInput):
        load_model(tmp_path, allow_code=True)


def test_a_pyfunc_comes_through_the_loader_handed_in(rows, tmp_path):
    facts = {
        "kind": "pyfunc",
        "feature_names": list(FEATURES),
        "quantiles": list(Q),
        "path": "logged",
        "per_unit": True,
    }
    write_facts(tmp_path, facts)
    with pytest.raises(Refused):
        load_model(tmp_path, {"pyfunc": PerUnit})
    with pytest.raises(InvalidInput, match="no loader"):
        load_model(tmp_path, allow_code=True)
    model = load_model(tmp_path, {"pyfunc": PerUnit}, allow_code=True)
    some = rows.tail(3)
    expected = some["load_lag_7d"].cast(pl.Float64) * some["scale_mw"]
    assert model.predict(some)[:, 1].tolist() == expected.to_list()
    with pytest.raises(Refused, match="copied"):
        model.save(tmp_path)
    write_facts(tmp_path, {**facts, "path": "../elsewhere"})
    with pytest.raises(Refused, match="outside"):
        load_model(tmp_path, {"pyfunc": PerUnit}, allow_code=True)


def test_unknown_kinds_and_formats_are_refused(tmp_path):
    write_facts(tmp_path, {"kind": "seasonal_naif"})
    with pytest.raises(InvalidInput, match="model kind"):
        load_model(tmp_path)
    (tmp_path / "model.json").write_text('{"format": 99, "kind": "persistence"}')
    with pytest.raises(Refused, match="another format"):
        load_model(tmp_path)
    (tmp_path / "model.json").write_text('{"format": 1, "kind": "persistence"}')
    with pytest.raises(Refused, match="damaged"):
        load_model(tmp_path)


def test_naive_models_read_the_next_column_where_one_is_missing(rows):
    one = rows.tail(1)
    scale, lag7, lag14 = (one[n][0] for n in ("scale_mw", "load_lag_7d", "load_lag_14d"))
    naive = SeasonalNaive.of(FEATURES)
    assert naive.columns == ("load_lag_7d", "load_lag_14d")
    assert naive.predict(one)[0].tolist() == [pytest.approx(lag7 * scale)] * 3
    gap = one.with_columns(pl.lit(None, pl.Float32).alias("load_lag_7d"))
    assert naive.predict(gap)[0, 1] == pytest.approx(lag14 * scale)
    nothing = gap.with_columns(pl.lit(None, pl.Float32).alias("load_lag_14d"))
    assert np.isnan(naive.predict(nothing)).all()
    assert Persistence.of(FEATURES).columns == ("load_newest_4d", "load_level_24h")
    for kind in (SeasonalNaive, Persistence):
        with pytest.raises(InvalidInput, match="no column"):
            kind.of(("hour",))


def test_an_allowed_own_model_is_built_with_its_parameters_and_answers_again(rows, tmp_path, monkeypatch):
    (tmp_path / "own_forecaster.py").write_text(
        "import numpy as np\n"
        "class Scaled:\n"
        "    def __init__(self, factor):\n"
        "        self.factor = factor\n"
        "    def predict(self, rows):\n"
        "        return np.outer(rows['scale_mw'].to_numpy() * self.factor, [0.9, 1.0, 1.1])\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    model = PythonModel.of("own_forecaster:Scaled", Q, {"factor": 2.0})
    model.save(tmp_path / "model")
    again = load_model(tmp_path / "model", allow_code=True)
    assert again.kind == "python"
    assert again.predict(rows).tobytes() == model.predict(rows).tobytes()
    assert again.predict(rows.head(1))[0, 1] == 2.0 * rows["scale_mw"][0]
    with pytest.raises(InvalidInput, match="parameters"):
        PythonModel.of("own_forecaster:Scaled", Q, {"faktor": 2.0})
