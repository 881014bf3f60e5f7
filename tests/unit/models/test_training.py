from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recloser.core import InvalidInput, Refused
from recloser.core.scores import score_table
from recloser.models import LightGBMQuantile, SeasonalNaive, TrainingPlan, load_model, train_lightgbm

FEATURES = ("hour", "weekday", "temperature_c", "load_lag_7d", "load_lag_14d", "load_newest_4d", "load_level_24h")
PLAN = TrainingPlan(trees=30, leaves=15, learning_rate=0.15, calibration_days=42)
Q = (0.1, 0.5, 0.9)


def split(rows: pl.DataFrame, day: int = 200) -> tuple[pl.DataFrame, pl.DataFrame]:
    cut = rows["issued_at"].min() + pl.duration(days=day)
    return rows.filter(pl.col("issued_at") < cut), rows.filter(pl.col("issued_at") >= cut)


def test_it_beats_the_weekly_naive_and_covers_on_rows_it_never_saw(rows):
    older, newer = split(rows)
    model = train_lightgbm(older, FEATURES, PLAN)
    naive = SeasonalNaive.of(FEATURES).fitted(older)
    truth = newer["load_mw"].to_numpy()
    ours = score_table(truth, model.predict(newer), Q)
    weekly = score_table(truth, naive.predict(newer), Q)
    assert ours["mape"] < 0.8 * weekly["mape"]
    assert ours["rcrps"] < weekly["rcrps"]
    assert 74 <= ours["coverage80"] <= 86
    assert 70 <= weekly["coverage80"] <= 90


def test_the_band_is_wider_where_the_load_is_noisier(rows, trained):
    answer = trained.predict(rows)
    width = (answer[:, 2] - answer[:, 0]) / rows["scale_mw"].to_numpy()
    noisy = (rows["hour"] >= 12).to_numpy()
    assert width[noisy].mean() > 1.5 * width[~noisy].mean()


def test_equal_rows_and_plan_give_equal_bytes_and_another_seed_does_not(rows, tmp_path):
    for name, seed in (("one", 1), ("two", 1), ("other", 2)):
        train_lightgbm(rows, FEATURES, replace(PLAN, seed=seed, max_rows=4000)).save(tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == ["centre.txt", "model.json", "spread.txt"]
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert (tmp_path / "one" / "centre.txt").read_bytes() != (tmp_path / "other" / "centre.txt").read_bytes()


def test_rows_are_drawn_down_to_the_plan(rows):
    assert train_lightgbm(rows, FEATURES, replace(PLAN, max_rows=1500)).facts["rows"] == 1500
    assert train_lightgbm(rows, FEATURES, replace(PLAN, max_rows=None)).facts["rows"] == rows.height


def test_rows_without_truth_or_scale_are_left_out(rows):
    holes = rows.with_columns(
        pl.when(pl.col("hour") == 3).then(None).otherwise(pl.col("load_mw")).alias("load_mw"),
        pl.when(pl.col("hour") == 4)
        .then(0.0)
        .when(pl.col("hour") == 5)
        .then(None)
        .otherwise("scale_mw")
        .alias("scale_mw"),
    )
    model = train_lightgbm(holes, FEATURES, replace(PLAN, max_rows=None))
    assert model.facts["rows"] == rows.height * 21 // 24


def test_one_dead_channel_does_not_bend_the_model_of_the_others(rows):
    """Measured on real substations: 0.001 MW with blips is 900 times its own scale."""
    rng = np.random.default_rng(9)
    per_unit = np.where(rng.random(rows.height // 2) < 0.02, 900.0, 0.5)
    lags = {name: np.roll(per_unit, 24 * k).astype(np.float32) for k, name in enumerate(FEATURES[3:6], start=2)}
    dead = rows.filter(pl.col("area") == "small").with_columns(
        pl.lit("dead").alias("area"),
        pl.lit(0.001).alias("scale_mw"),
        pl.Series("load_mw", per_unit * 0.001),
        *(pl.Series(name, values) for name, values in lags.items()),
    )
    older, newer = split(rows)
    alone = train_lightgbm(older, FEATURES, PLAN).predict(newer)
    mixed = train_lightgbm(pl.concat([older, dead]), FEATURES, PLAN).predict(newer)
    truth = newer["load_mw"].to_numpy()
    error = [score_table(truth, answer, Q)["mape"] for answer in (alone, mixed)]
    assert error[1] < 1.5 * error[0]


def test_too_few_rows_are_refused_by_name(rows):
    with pytest.raises(InvalidInput, match="too few rows"):
        train_lightgbm(rows.head(50), FEATURES, PLAN)
    with pytest.raises(InvalidInput, match="lack columns"):
        train_lightgbm(rows, (*FEATURES, "wind_m_s"), PLAN)
    with pytest.raises(InvalidInput, match="quantile levels"):
        train_lightgbm(rows, FEATURES, PLAN, quantiles=(0.1, 0.9))


@pytest.mark.parametrize("days", [10, 25, 60])
def test_short_histories_train_too(rows, days):
    short, rest = split(rows, days)
    model = train_lightgbm(short, FEATURES, PLAN)
    assert np.isfinite(model.predict(rest)).all()


def test_newer_rows_weigh_more_with_a_half_life(rows):
    cut = rows["issued_at"].min() + pl.duration(days=180)
    late = rows.with_columns(
        pl.when(pl.col("issued_at") >= cut).then(pl.col("load_mw") * 1.3).otherwise("load_mw").alias("load_mw"),
        pl.lit(None, pl.Float32).alias("load_newest_4d"),
    )
    names = ("hour", "weekday", "temperature_c")
    plain = train_lightgbm(late, names, PLAN).predict(late)[:, 1].mean()
    weighted = train_lightgbm(late, names, replace(PLAN, half_life_days=15.0)).predict(late)[:, 1].mean()
    assert weighted > 1.05 * plain


def test_more_quantiles_are_ordered_and_cover(rows):
    levels = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)
    older, newer = split(rows)
    answer = train_lightgbm(older, FEATURES, PLAN, levels).predict(newer)
    truth = newer["load_mw"].to_numpy()
    shares = (truth[:, None] <= answer).mean(axis=0)
    assert np.abs(shares - np.array(levels)).max() < 0.06
    assert (np.diff(answer, axis=1) >= 0).all()


def test_missing_features_move_the_answer_less_than_zeros_would(rows, trained):
    some = rows.tail(500)
    whole = trained.predict(some)[:, 1]
    scale = some["scale_mw"].to_numpy()
    blind = trained.predict(some.with_columns(pl.lit(None, pl.Float32).alias("temperature_c")))[:, 1]
    assert np.abs((blind - whole) / scale).mean() < 0.1


@settings(max_examples=25, deadline=None, derandomize=True)
@given(data=st.data())
def test_answers_never_cross_whatever_the_row(rows, trained, data):
    number = st.one_of(st.none(), st.floats(-1e6, 1e6, width=32), st.sampled_from([0.0, 1e30, -1e30]))
    row = {name: data.draw(number) for name in FEATURES}
    frame = rows.head(1).with_columns(pl.lit(value, pl.Float32).alias(name) for name, value in row.items())
    answer = trained.predict(frame)
    if all(value is None for value in row.values()):
        assert np.isnan(answer).all()
    else:
        assert np.isfinite(answer).all()
        assert (np.diff(answer, axis=1) >= 0).all()


@pytest.mark.parametrize("name", ["centre.txt", "spread.txt", "model.json"])
@pytest.mark.parametrize("damage", ["delete", "cut", "rubbish"])
def test_damaged_files_are_refused(trained, tmp_path, name, damage):
    trained.save(tmp_path)
    path = tmp_path / name
    if damage == "delete":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    else:
        path.write_bytes(b"\xff\xfe rubbish")
    with pytest.raises(Refused):
        load_model(tmp_path)


def test_a_model_for_other_columns_is_refused(trained, tmp_path):
    smaller = LightGBMQuantile(
        FEATURES[:-1], trained.quantiles, trained.boosters, trained.widths, trained.calibration, {}
    )
    smaller.save(tmp_path)
    with pytest.raises(Refused, match="number of features"):
        load_model(tmp_path)
