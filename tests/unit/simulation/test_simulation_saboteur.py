"""Bad candidates: corrupted rows are wrong where they should be; the creeping model is honest until its day."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recloser.core import LOAD, FloatArray, InvalidInput, Refused
from recloser.models import SeasonalNaive, load_model
from recloser.simulation import CreepingModel, corrupt

START = datetime(2020, 1, 1, tzinfo=UTC)


def rows(days: int = 20) -> pl.DataFrame:
    at = [START + timedelta(minutes=30 * k) for k in range(48 * days)]
    shape = 10 + 3 * np.sin(np.arange(len(at)) * 2 * np.pi / 48)
    frames = [pl.DataFrame({"area": area, "at": at, LOAD: shape * k}) for k, area in enumerate(("a", "b"), start=1)]
    return pl.concat(frames).with_columns(issued_at=pl.col("at") - timedelta(days=1))


@pytest.mark.parametrize("how", ["scrambled", "shifted", "scaled"])
def test_only_the_newest_share_is_spoilt_and_inputs_stay(how: str) -> None:
    before = rows()
    after = corrupt(before, how, share=0.25)  # type: ignore[arg-type]
    wrong = (after[LOAD] != before[LOAD]).to_numpy()
    edge = START + timedelta(days=15)
    assert not wrong[(before["at"] < edge - timedelta(hours=1)).to_numpy()].any()
    assert wrong[(before["at"] > edge).to_numpy()].mean() > 0.9
    assert after.drop(LOAD).equals(before.drop(LOAD))


def test_scrambling_keeps_each_areas_loads_and_repeats_for_a_seed() -> None:
    before = rows()
    after = corrupt(before, "scrambled", share=1.0, seed=4)
    for area in ("a", "b"):
        mine = pl.col("area") == area
        assert after.filter(mine)[LOAD].sort().equals(before.filter(mine)[LOAD].sort())
    assert after.equals(corrupt(before, "scrambled", share=1.0, seed=4))


def test_scaling_is_kilowatt_for_megawatt() -> None:
    assert corrupt(rows(), "scaled", share=1.0)[LOAD][0] == pytest.approx(1000 * rows()[LOAD][0])


def test_a_misspelt_corruption_is_named() -> None:
    with pytest.raises(InvalidInput, match="scrambled"):
        corrupt(rows(), "scrambeld")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput):
        corrupt(rows(), "scaled", share=0.0)


class Constant:
    """An honest model that says ten."""

    kind = "constant"
    quantiles = (0.1, 0.5, 0.9)

    def predict(self, rows: pl.DataFrame) -> FloatArray:
        return np.tile([9.0, 10.0, 11.0], (rows.height, 1))

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True)


def test_the_creeping_model_is_honest_until_its_day_and_then_grows() -> None:
    model = CreepingModel(Constant(), since=START + timedelta(days=5), percent_per_day=10.0)
    issued = [START, START + timedelta(days=5), START + timedelta(days=6), START + timedelta(days=7)]
    answer = model.predict(pl.DataFrame({"issued_at": issued}))
    assert answer[:, 1].tolist() == pytest.approx([10.0, 10.0, 11.0, 12.0])
    assert (np.diff(answer, axis=1) > 0).all()


def test_it_comes_back_from_disk_only_when_code_is_allowed(tmp_path: Path) -> None:
    model = CreepingModel(SeasonalNaive.of(("load_lag_7d",)), START, 3.0)
    model.save(tmp_path / "model")
    with pytest.raises(Refused):
        load_model(tmp_path / "model")
    again = load_model(tmp_path / "model", allow_code=True)
    assert again.kind == "python"
    assert again.quantiles == model.quantiles
    asked = pl.DataFrame(
        {"issued_at": [START + timedelta(days=10)], "load_lag_7d": [1.1], "scale_mw": [10.0], "area": ["a"]}
    ).with_columns(at=pl.col("issued_at") + timedelta(days=1))
    assert again.predict(asked)[0, 1] == pytest.approx(1.1 * 10.0 * 1.3)
