"""A real MLflow pyfunc loads and answers in its own process, and through the same door in ours; needs pandas."""

from __future__ import annotations

import os
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from recloser.app.foreign import open_foreign
from recloser.core import InvalidInput, Unavailable
from recloser.models import load_model
from recloser.models.model import write_facts
from recloser.registry.model_registry import MLFLOW_QUIET
from recloser.serving.foreign import LOADERS

pytest.importorskip("pandas", reason="MLflow's pyfunc needs pandas, which is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:.*Add type hints:UserWarning")]

FEATURES = ("load_newest_4d", "load_level_24h")
QUANTILES = (0.1, 0.5, 0.9)
SCRIPT = """
import mlflow
import numpy as np
import pandas as pd

class Scaled(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        newest = np.asarray(model_input["load_newest_4d"], dtype=np.float64)
        table = np.stack([0.9 * newest, newest, 1.1 * newest], axis=1)
        return pd.DataFrame(table, columns=["q10", "q50", "q90"]) if {frame} else table

mlflow.models.set_model(Scaled())
"""


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in MLFLOW_QUIET.items():
        monkeypatch.setenv(name, text)


def logged(folder: Path, *, frame: bool, signature: bool) -> Path:
    """Save a pyfunc of the code above as MLflow does, with the facts that a package holds beside it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow.pyfunc
        import pandas as pd
        from mlflow.models import infer_signature

        script = folder / "scaled.py"
        script.write_text(SCRIPT.format(frame=frame))
        example: Any = pd.DataFrame({name: [1.0, 2.0] for name in FEATURES})
        known = infer_signature(example, np.ones((2, 3))) if signature else None
        mlflow.pyfunc.save_model(
            str(folder / "model" / "pyfunc"), python_model=str(script), signature=known, pip_requirements=[]
        )
    facts = {"kind": "pyfunc", "feature_names": list(FEATURES), "quantiles": list(QUANTILES), "per_unit": True}
    write_facts(folder / "model", facts)
    return folder / "model"


def rows() -> pl.DataFrame:
    start = datetime(2024, 5, 1, 9, tzinfo=UTC)
    newest = [1.0, 1.25, None, 1.5]
    return pl.DataFrame(
        {
            "area": ["a"] * 4,
            "issued_at": [start] * 4,
            "at": [start + timedelta(hours=k) for k in range(4)],
            "scale_mw": [700.0] * 4,
            "load_newest_4d": pl.Series(newest, dtype=pl.Float32),
            "load_level_24h": pl.Series([1.0] * 4, dtype=pl.Float32),
        }
    )


@pytest.mark.parametrize(("frame", "signature"), [(False, False), (True, False), (False, True), (True, True)])
def test_a_real_pyfunc_answers_in_its_own_process(tmp_path: Path, *, frame: bool, signature: bool) -> None:
    folder = logged(tmp_path, frame=frame, signature=signature)
    model = open_foreign(folder)
    assert model.process.pid not in (None, os.getpid())
    answer = model.predict(rows())
    assert answer[[0, 1, 3]] == pytest.approx(700.0 * np.outer([1.0, 1.25, 1.5], [0.9, 1.0, 1.1]))
    assert np.isnan(answer[2]).all()
    again = model.predict(rows())  # by then within the patience of a request
    assert again.tobytes() == answer.tobytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours = load_model(folder, LOADERS, allow_code=True)
        assert ours.predict(rows()).tobytes() == answer.tobytes()


def test_a_pyfunc_that_does_not_load_says_why(tmp_path: Path) -> None:
    folder = logged(tmp_path, frame=False, signature=False)
    (folder / "pyfunc" / "MLmodel").write_text("no model")
    with pytest.raises(Unavailable) as told:
        open_foreign(folder)
    assert "a pyfunc that does not load" in told.value.explain()
    with pytest.raises(InvalidInput):
        load_model(folder, LOADERS, allow_code=True)
