from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from recloser.core import Refused
from recloser.models import TrainingPlan, train_lightgbm

pytest.importorskip("onnxruntime", reason="the optional extra onnx is not installed")
pytest.importorskip("onnxmltools", reason="the optional extra onnx is not installed")

from recloser.models.onnx import export_onnx

PLAN = TrainingPlan(trees=20, leaves=15, calibration_days=42)


def test_ordinary_features_pass_on_every_kind_of_row(rows, trained, tmp_path):
    parity = export_onnx(trained, tmp_path, rows.tail(300))
    assert parity.held
    assert max(parity.worst.values()) < 1e-5
    assert parity.rows["rows on a split"] > 100
    assert sorted(path.name for path in tmp_path.iterdir()) == ["centre.onnx", "spread.onnx"]


def test_unix_time_is_refused_with_the_measured_difference_and_nothing_is_written(rows, tmp_path):
    shift = int(datetime(2027, 1, 1, tzinfo=UTC).timestamp() - datetime(2020, 1, 1, tzinfo=UTC).timestamp())
    timed = rows.with_columns((pl.col("at").dt.epoch("s") + shift).cast(pl.Float64).alias("unix_time"))
    timed = timed.with_columns(pl.col("load_mw") * (1 + 0.3 * np.sin(np.arange(rows.height) / 40)))
    assert timed["unix_time"].min() > 1.79e9
    model = train_lightgbm(timed, ("hour", "unix_time"), PLAN)
    with pytest.raises(Refused, match="split") as refused:
        export_onnx(model, tmp_path / "out", timed.tail(300))
    assert refused.value.got > 1e-3
    assert not (tmp_path / "out").exists()
