from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from recloser.core import FloatArray, InvalidInput
from recloser.registry import GoldenResult
from recloser.staging import (
    GatePolicy,
    Latency,
    SafetyProbe,
    check_latency,
    check_parity,
    check_safety,
    judge,
    measure_latency,
)

POLICY = GatePolicy()
FEATURES = ("hour", "weekday", "temperature_c", "temperature_c_mean_24h", "load_lag_7d", "load_lag_2d")


@pytest.fixture
def probe(world: Any) -> SafetyProbe:
    rows = world.held.head(24 * 14)
    return SafetyProbe(rows, FEATURES, (0.1, 0.5, 0.9), temperature_columns=("temperature_c",))


def careful(world: Any) -> Callable[[pl.DataFrame], FloatArray]:
    """The model as the models room wraps it: a missing column is an explicit error."""

    def predict(rows: pl.DataFrame) -> FloatArray:
        missing = [name for name in FEATURES if name not in rows.columns]
        if missing:
            raise InvalidInput("columns are missing", got=missing)
        return world.good.predict(rows)

    return predict


def test_a_real_model_is_safe(world: Any, probe: SafetyProbe) -> None:
    checks = check_safety(careful(world), probe, POLICY)
    assert judge(checks).verdict == "pass", judge(checks).reason
    names = ["answers", "ramp", "repeat", "weather", "inputs", "fuzz"]
    assert [c.name for c in checks] == [f"safety.{name}" for name in names]
    odd = next(c for c in checks if c.name == "safety.inputs")
    assert odd.numbers["explicit error"] == len(FEATURES)
    assert odd.numbers["faults"] == {}


def test_a_crash_on_a_missing_column_is_not_an_explicit_error(world: Any, probe: SafetyProbe) -> None:
    odd = next(c for c in check_safety(world.good.predict, probe, POLICY) if c.name == "safety.inputs")
    assert odd.verdict == "refuse"
    assert "ColumnNotFoundError" in odd.reason


def _nan_on_missing(rows: pl.DataFrame, answers: FloatArray) -> FloatArray:
    gone = rows["temperature_c"].is_null().to_numpy()
    half = np.where(gone[:, None], np.nan, answers)
    half[:, 0] = answers[:, 0]
    return half


def _explodes_in_heat(rows: pl.DataFrame, answers: FloatArray) -> FloatArray:
    hot = rows["temperature_c"].fill_null(0.0).to_numpy() >= 45
    return np.where(hot[:, None], answers * 100, answers)


def _thousandfold(_rows: pl.DataFrame, answers: FloatArray) -> FloatArray:
    return answers * 1000


def _crossing(_rows: pl.DataFrame, answers: FloatArray) -> FloatArray:
    return answers[:, ::-1]


def _infinite(_rows: pl.DataFrame, answers: FloatArray) -> FloatArray:
    return np.where(np.arange(len(answers))[:, None] == 0, np.inf, answers)


def _empty(_rows: pl.DataFrame, answers: FloatArray) -> FloatArray:
    return answers[:0]


def _sawtooth(_rows: pl.DataFrame, answers: FloatArray) -> FloatArray:
    return answers * np.where(np.arange(len(answers))[:, None] % 2 == 0, 4.0, 0.1)


def _by_company(_rows: pl.DataFrame, answers: FloatArray) -> FloatArray:
    return answers + len(answers) * 1e-3


@pytest.mark.parametrize(
    ("spoil", "check", "word"),
    [
        (_nan_on_missing, "safety.inputs", "not finite"),
        (_explodes_in_heat, "safety.weather", "degC"),
        (_thousandfold, "safety.answers", "beyond limits"),
        (_crossing, "safety.answers", "crossing"),
        (_infinite, "safety.answers", "not finite"),
        (_empty, "safety.answers", "shape"),
        (_sawtooth, "safety.ramp", "steepest"),
        (_by_company, "safety.repeat", "order or company"),
    ],
)
def test_unsafe_models_are_refused_by_name(
    world: Any, probe: SafetyProbe, spoil: Callable, check: str, word: str
) -> None:
    model = careful(world)
    checks = check_safety(lambda rows: spoil(rows, model(rows)), probe, POLICY)
    refused = {c.name: c.reason for c in checks if c.verdict == "refuse"}
    assert check in refused, refused
    assert word in refused[check]


def test_saying_that_there_is_no_answer_is_allowed_only_for_odd_rows(world: Any, probe: SafetyProbe) -> None:
    model = careful(world)

    def silent(rows: pl.DataFrame) -> FloatArray:
        answers = model(rows)
        gone = rows["temperature_c"].fill_nan(None).is_null().to_numpy()
        return np.where(gone[:, None], np.nan, answers)

    checks = check_safety(silent, probe, POLICY)
    assert judge(checks).verdict == "pass", judge(checks).reason
    assert checks[-1].numbers["no answer"] == 3
    dead = replace(probe, rows=probe.rows.with_columns(pl.lit(None, dtype=pl.Float64).alias("temperature_c")))
    assert "not finite" in check_safety(silent, dead, POLICY)[0].reason


def test_given_limits_bind(world: Any, probe: SafetyProbe) -> None:
    tight = replace(probe, limits_mw={"north": (0.0, 1.0)})
    assert "beyond limits" in check_safety(careful(world), tight, POLICY)[0].reason


def test_no_rows_are_a_hold_and_a_crash_a_refusal(world: Any, probe: SafetyProbe) -> None:
    assert judge(check_safety(careful(world), replace(probe, rows=probe.rows.clear()), POLICY)).verdict == "hold"

    def broken(_rows: pl.DataFrame) -> FloatArray:
        raise KeyError("trees")

    assert "KeyError" in check_safety(broken, probe, POLICY)[0].reason


class FakeTimer:
    """A timer whose calls take what it is told, in seconds."""

    def __init__(self, spent: list[float]) -> None:
        self._spent = spent
        self._now = 0.0
        self._calls = 0

    def __call__(self) -> float:
        if self._calls % 2:
            self._now += self._spent[(self._calls // 2) % len(self._spent)]
        self._calls += 1
        return self._now


def test_latency_is_measured_with_the_given_timer(world: Any) -> None:
    requests = [world.held.head(24), world.held.tail(24)]
    seen: list[int] = []
    spent = [0.001] * 50
    spent[13] = 2.0

    def predict(rows: pl.DataFrame) -> FloatArray:
        seen.append(rows.height)
        return world.good.predict(rows)

    found = measure_latency(predict, requests, FakeTimer(spent), calls=50, warm_up=3)
    assert len(seen) == 53
    assert found.p50_ms == pytest.approx(1.0)
    assert found.largest_ms == pytest.approx(2000.0)
    assert check_latency(found, replace(POLICY, latency_p99_ms=5000)).verdict == "pass"
    assert check_latency(found, replace(POLICY, latency_p99_ms=500)).verdict == "refuse"
    with pytest.raises(InvalidInput):
        measure_latency(predict, [], FakeTimer([0.1]))


def test_latency_verdicts() -> None:
    assert check_latency(Latency(1, 2, 3, 50), POLICY).verdict == "pass"
    assert check_latency(Latency(1, 2, 3, 5), POLICY).verdict == "hold"
    assert check_latency(Latency(600, 700, 800, 50), POLICY).verdict == "refuse"
    assert check_latency(Latency(1, 1001, 1002, 50), POLICY).verdict == "refuse"
    assert check_latency(Latency(float("nan"), 1, 1, 50), POLICY).verdict == "refuse"


def test_parity_verdicts() -> None:
    assert check_parity(None).verdict == "hold"
    assert check_parity(GoldenResult(True, 48, 0.0, 0.0, "equal")).verdict == "pass"
    assert check_parity(GoldenResult(False, 48, 3.0, 0.0, "differ")).verdict == "refuse"
