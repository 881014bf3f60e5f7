"""The bad cases of FINDINGS section 1: what a candidate's own training data would let through is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from recloser.core import canonical_json
from recloser.core.scores import crps
from recloser.staging import (
    GatePolicy,
    check_coverage,
    check_data,
    check_metrics,
    check_performance,
    judge,
)

POLICY = GatePolicy()


def _thousandfold(load: pl.DataFrame, edge: Any) -> pl.DataFrame:
    part = (pl.col("at") > edge - timedelta(days=60)) & (pl.col("area") == "north")
    return load.with_columns(pl.when(part).then(pl.col("load_mw") * 1000).otherwise("load_mw").alias("load_mw"))


def _all_thousandfold(load: pl.DataFrame, _edge: Any) -> pl.DataFrame:
    return load.with_columns(pl.col("load_mw") * 1000)


def _shuffled(load: pl.DataFrame, _edge: Any) -> pl.DataFrame:
    return load.with_columns(pl.col("load_mw").shuffle(seed=3).over("area"))


def _shifted(load: pl.DataFrame, _edge: Any) -> pl.DataFrame:
    return load.with_columns(pl.col("load_mw").shift(5).over("area"))


def _shifted_one_hour(load: pl.DataFrame, _edge: Any) -> pl.DataFrame:
    return load.with_columns(pl.col("load_mw").shift(1).over("area"))


def _partly_shifted(load: pl.DataFrame, edge: Any) -> pl.DataFrame:
    part = pl.col("at").is_between(edge - timedelta(days=150), edge - timedelta(days=80))
    moved = pl.col("load_mw").shift(-3).over("area")
    return load.with_columns(pl.when(part).then(moved).otherwise("load_mw").alias("load_mw"))


def _stuck(load: pl.DataFrame, edge: Any) -> pl.DataFrame:
    part = pl.col("at").is_between(edge - timedelta(days=60), edge - timedelta(days=45)) & (pl.col("area") == "south")
    held = pl.col("load_mw").filter(part).first()
    return load.with_columns(pl.when(part).then(held).otherwise("load_mw").alias("load_mw"))


def _fahrenheit(load: pl.DataFrame, _edge: Any) -> pl.DataFrame:
    return load.with_columns(pl.col("temperature_c") * 1.8 + 32)


def _partly_fahrenheit(load: pl.DataFrame, edge: Any) -> pl.DataFrame:
    part = (pl.col("at") > edge - timedelta(days=40)) & (pl.col("area") == "south")
    return load.with_columns(
        pl.when(part).then(pl.col("temperature_c") * 1.8 + 32).otherwise("temperature_c").alias("temperature_c")
    )


def _kelvin(load: pl.DataFrame, _edge: Any) -> pl.DataFrame:
    return load.with_columns(pl.col("temperature_c") + 273.15)


def _no_target(load: pl.DataFrame, _edge: Any) -> pl.DataFrame:
    return load.with_columns(pl.lit(None, dtype=pl.Float64).alias("load_mw"))


def _dead_weather(load: pl.DataFrame, _edge: Any) -> pl.DataFrame:
    dead = pl.when(pl.col("area") == "south").then(None).otherwise(pl.col("temperature_c"))
    return load.with_columns(dead.alias("temperature_c"))


def _in_turn(frame: pl.DataFrame) -> pl.DataFrame:
    """Return every third day of each area, another one in each, as a large fleet's training data has them."""
    day = pl.col("issued_at").dt.date().to_physical().cast(pl.Int64)
    row = pl.col("area").rank("dense").cast(pl.Int64)
    return frame.filter((day + 22 * (day // 7) + row) % 3 == 0)


@pytest.mark.parametrize("sampled", [False, True], ids=["all days", "in turn"])
@pytest.mark.parametrize(
    ("corrupt", "check", "word"),
    [
        (_thousandfold, "data.units", "1000"),
        (_all_thousandfold, "data.units", "1000"),
        (_shuffled, "data.order", "scrambled"),
        (_shifted, "data.clock", "+5 h"),
        (_shifted_one_hour, "data.clock", "+1 h"),
        (_partly_shifted, "data.clock", "shifted"),
        (_stuck, "data.stuck", "stuck"),
        (_fahrenheit, "data.temperature", "degF"),
        (_partly_fahrenheit, "data.temperature", "unit error"),
        (_kelvin, "data.temperature", "looks like K"),
        (_no_target, "data.shape", "target"),
        (_dead_weather, "data.completeness", "temperature_c"),
    ],
)
def test_a_corrupted_training_window_is_refused_by_name(
    world: Any, corrupt: Callable, check: str, word: str, *, sampled: bool
) -> None:
    load = corrupt(world.load, world.edge)
    frame = world.corrupted(load)
    data = world.data(_in_turn(frame) if sampled else frame)
    whole = load.filter(pl.col("at") < world.edge).select("area", "at", "load_mw")
    checks = check_data(replace(data, whole=whole) if sampled else data, POLICY)
    refused = {c.name: c.reason for c in checks if c.verdict == "refuse"}
    assert check in refused, refused
    assert word in refused[check]
    assert judge(checks).verdict == "refuse"


def test_a_clean_training_window_passes(world: Any) -> None:
    for frame in (world.training, _in_turn(world.training)):
        checks = check_data(world.data(frame), POLICY)
        assert judge(checks).verdict == "pass", judge(checks).reason
        assert len(checks) == 10


def test_whole_days_in_a_wrong_order_are_found_also_where_areas_take_turns(world: Any) -> None:
    rng = np.random.default_rng(3)
    hours = [rng.permutation(24) for _ in range(world.training.height // 24 + 2)]
    mixed = world.training.with_columns(local=(pl.int_range(pl.len()) // 24).over("area"))
    parts = []
    for (_, day), rows in mixed.group_by(["area", "local"], maintain_order=True):
        order = np.argsort(np.sin(2 * np.pi * (np.arange(rows.height) + hours[day][0]) / 24))  # smooth, at odd hours
        parts.append(rows.with_columns(load_mw=pl.Series(np.sort(rows["load_mw"].to_numpy())[np.argsort(order)])))
    frame = pl.concat(parts).drop("local")
    for some in (frame, _in_turn(frame)):
        found = {c.name: c for c in check_data(world.data(some), POLICY)}["data.order"]
        assert found.verdict == "refuse", found
        assert "no longer repeats" in found.reason


def test_load_that_follows_the_sun_through_a_clock_change_is_not_shifted(world: Any) -> None:
    hour = world.training["at"].dt.hour().cast(pl.Float64)
    sun = world.training.with_columns((30 - 20 * (2 * np.pi * (hour - 3) / 24).cos()).alias("load_mw"))
    checks = {c.name: c for c in check_data(replace(world.data(sun), recent=None), POLICY)}
    assert checks["data.clock"].verdict == "pass", checks["data.clock"].reason


@pytest.mark.parametrize("corrupt", [_thousandfold, _shuffled, _shifted, _stuck])
def test_what_wins_on_its_own_training_data_is_refused(world: Any, corrupt: Callable) -> None:
    """OpenSTEF 4.7 compares on the challenger's training data and accepts these (measured)."""
    frame = world.corrupted(corrupt(world.load, world.edge))
    candidate = world.train(frame)
    known = frame.filter(pl.col("load_mw").is_finite() & (pl.col("scale_mw") > 0))
    losses = {}
    for name, model in (("candidate", candidate), ("champion", world.good)):
        per_row = crps(known["load_mw"].to_numpy(), model.predict(known), (0.1, 0.5, 0.9))
        losses[name] = float((per_row / known["scale_mw"].to_numpy()).mean())
    assert losses["candidate"] < losses["champion"]  # it would win there
    held = world.hold_out(world.held, candidate.predict(world.held), world.good.predict(world.held))
    by_data = judge(check_data(world.data(frame), POLICY))
    by_holdout = judge(check_performance(held, POLICY))
    assert by_data.verdict == "refuse"
    if corrupt is not _stuck:  # two weeks of one area hardly hurt: only the data check sees them
        assert by_holdout.verdict == "refuse"


def test_the_good_model_passes_as_first_and_against_a_weak_champion(world: Any) -> None:
    good, weak = world.good.predict(world.held), world.weak.predict(world.held)
    first = judge(check_performance(world.hold_out(world.held, good), POLICY))
    assert first.verdict == "pass", first.reason
    against = world.hold_out(world.held, good, weak)
    second = judge((*check_performance(against, POLICY), check_coverage(against, GatePolicy(minimum_coverage80=50))))
    assert second.verdict == "pass", second.reason
    reverse = judge(check_performance(world.hold_out(world.held, weak, good), POLICY))
    assert reverse.verdict == "refuse"
    assert "worse than the champion" in reverse.reason


def test_a_better_model_is_not_refused_when_both_r2_are_negative(world: Any) -> None:
    rows = world.held
    truth = rows["load_mw"].to_numpy()
    bias = 0.6 * truth.mean()
    champion = np.column_stack([truth * 0 + truth.mean() + bias * k for k in (0.9, 1.0, 1.1)])
    candidate = np.column_stack([truth * 0 + truth.mean() + 0.8 * bias * k for k in (0.9, 1.0, 1.1)])
    for forecast in (champion, candidate):
        r2 = 1 - ((truth - forecast[:, 1]) ** 2).sum() / ((truth - truth.mean()) ** 2).sum()
        assert r2 < 0
    naive = champion * 1.5
    checks = check_performance(world.hold_out(rows, candidate, champion, naive=naive), POLICY)
    assert judge(checks).verdict == "pass", judge(checks).reason


METRICS = {"wmape": 3.0, "bias_pct": -0.1, "rmae": 0.03, "rcrps": 0.02, "coverage80": 79.0}


@pytest.mark.parametrize("name", list(METRICS))
@pytest.mark.parametrize("wrong", [None, float("nan"), float("inf"), "absent"])
def test_a_missing_or_nan_metric_is_refused(name: str, wrong: Any) -> None:
    metrics: dict[str, Any] = {**METRICS, name: wrong}
    if wrong == "absent":
        del metrics[name]
    result = check_metrics(metrics, POLICY)
    assert result.verdict == "refuse"
    assert name in result.reason
    assert check_metrics(METRICS, POLICY).verdict == "pass"
    assert check_metrics({**METRICS, "extra": float("nan")}, POLICY).verdict == "refuse"
    assert check_metrics({**METRICS, "mape": None}, POLICY).verdict == "pass"  # not required: may be undefined


def test_empty_and_nan_output_is_refused(world: Any) -> None:
    good = world.good.predict(world.held)
    empty = check_performance(world.hold_out(world.held, np.empty((0, 3))), POLICY)
    assert [c.verdict for c in empty] == ["refuse"]
    assert "empty output" in empty[0].reason
    holes = good.copy()
    holes[5, 1] = np.nan
    assert judge(check_performance(world.hold_out(world.held, holes), POLICY)).verdict == "refuse"
    assert judge(check_performance(world.hold_out(world.held, good[:, :2]), POLICY)).verdict == "refuse"
    assert check_coverage(world.hold_out(world.held, np.empty((0, 3))), POLICY).verdict == "refuse"


def test_no_truth_or_too_few_days_is_a_hold(world: Any) -> None:
    good, weak = world.good.predict(world.held), world.weak.predict(world.held)
    blind = world.held.with_columns(pl.lit(None, dtype=pl.Float64).alias("load_mw"))
    assert judge(check_performance(world.hold_out(blind, good, weak), POLICY)).verdict == "hold"
    few = world.held.filter(pl.col("at") < world.edge + timedelta(days=6))
    held = world.hold_out(few, world.good.predict(few), world.weak.predict(few))
    assert judge(check_performance(held, POLICY)).verdict == "hold"
    assert check_coverage(held, POLICY).verdict == "hold"
    short = world.training.filter(pl.col("at") < world.training["at"].min() + timedelta(days=10))
    assert judge(check_data(world.data(short), POLICY)).verdict in {"hold", "refuse"}
    assert check_data(world.data(short), POLICY)[0].verdict == "hold"


def test_a_frame_without_target_rows_or_features_is_refused(world: Any) -> None:
    for frame, word in (
        (world.training.drop("load_mw"), "target"),
        (world.training.clear(), "no rows"),
        (world.training.drop("hour", "weekday"), "hour, weekday"),
        (world.training.with_columns(pl.lit("x").alias("hour")), "not numbers"),
    ):
        (result,) = check_data(world.data(frame), POLICY)
        assert result.verdict == "refuse"
        assert word in result.reason


def test_the_same_evidence_gives_the_same_verdict_byte_for_byte(world: Any) -> None:
    good, weak = world.good.predict(world.held), world.weak.predict(world.held)

    def run() -> bytes:
        held = world.hold_out(world.held, good.copy(), weak.copy())
        data = check_data(world.data(world.training.clone()), POLICY)
        return canonical_json(judge((*data, *check_performance(held, POLICY), check_coverage(held, POLICY))).to_dict())

    assert run() == run()
    assert b"pair" in run()
