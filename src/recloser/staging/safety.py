"""Owns the safety checks: limits, ramps, order of quantiles, and answers to missing or extreme inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from recloser.core import FloatArray, RecloserError
from recloser.staging.policy import GatePolicy
from recloser.staging.verdict import HOLD, PASS, REFUSE, CheckResult

Predict = Callable[[pl.DataFrame], FloatArray]

# What a predictor may break with when it meets bad rows without having thought of them.
_BREAKS = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    AssertionError,
    pl.exceptions.PolarsError,
)
_COLD, _HOT, _HUGE = -40.0, 50.0, 1e9
_ODD_ROWS = 8
_REPEAT = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class SafetyProbe:
    """Inputs of the safety checks.

    Attributes:
        rows: feature frame as production sends it (area, issued_at, at, scale_mw, features), some days of it.
        feature_names: columns the model reads.
        quantiles: levels of the answers.
        limits_mw: physical (lowest, highest) MW by area; others are bound by their recent level.
        temperature_columns: features that are plain temperatures in degC.
    """

    rows: pl.DataFrame
    feature_names: tuple[str, ...]
    quantiles: tuple[float, ...]
    limits_mw: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    temperature_columns: tuple[str, ...] = ()


def check_safety(predict: Predict, probe: SafetyProbe, policy: GatePolicy) -> tuple[CheckResult, ...]:
    """Check answers to ordinary rows, then to missing and extreme ones.

    Ordinary rows: finite, ascending quantiles, within limits, ramps within bounds, equal when asked again and when
    asked in parts. Odd rows: a finite answer within limits, all levels NaN ("no answer"), or an explicit error
    (RecloserError); anything else refuses.
    """
    thresholds = {"max_scale_ratio": policy.max_scale_ratio, "max_ramp_ratio": policy.max_ramp_ratio}
    if probe.rows.is_empty():
        return (CheckResult("safety.answers", HOLD, "no rows to try", {}, thresholds),)
    try:
        answers = np.asarray(predict(probe.rows), dtype=np.float64)
    except (RecloserError, *_BREAKS) as error:
        reason = f"ordinary rows end in {type(error).__name__}: {str(error)[:120]}"
        return (CheckResult("safety.answers", REFUSE, reason, {}, thresholds),)
    fault = _fault(answers, probe.rows, probe, policy)
    if fault:
        return (CheckResult("safety.answers", REFUSE, fault, {}, thresholds),)
    top = float(np.abs(answers / _level(probe.rows)[:, None]).max())
    sound = CheckResult("safety.answers", PASS, "finite, in order, within limits", {"largest_ratio": top}, thresholds)
    return (
        sound,
        _check_ramp(answers, probe, policy),
        _check_repeat(predict, answers, probe),
        _check_odd(predict, probe, policy),
    )


def _fault(answers: FloatArray, rows: pl.DataFrame, probe: SafetyProbe, policy: GatePolicy) -> str:
    """Return what is wrong with answers to `rows`, empty when nothing is."""
    want = (rows.height, len(probe.quantiles))
    if answers.shape != want:
        return f"output of shape {answers.shape} instead of {want}"
    if not np.isfinite(answers).all():
        return f"{int((~np.isfinite(answers)).any(axis=1).sum())} of {want[0]} answers are not finite"
    if (np.diff(answers, axis=1) < 0).any():
        return f"{int((np.diff(answers, axis=1) < 0).any(axis=1).sum())} answers have crossing quantiles"
    low, high = _limits(rows, probe, policy)
    outside = (answers < low[:, None]) | (answers > high[:, None])
    if outside.any():
        row = int(outside.any(axis=1).argmax())
        area = rows["area"][row]
        return f"{int(outside.any(axis=1).sum())} answers beyond limits, e.g. {area}: {answers[row].max():.6g} MW"
    return ""


def _limits(rows: pl.DataFrame, probe: SafetyProbe, policy: GatePolicy) -> tuple[FloatArray, FloatArray]:
    reach = policy.max_scale_ratio * _level(rows)
    pairs = [probe.limits_mw.get(area) for area in rows["area"].to_list()]
    low = np.array([-bound if pair is None else pair[0] for pair, bound in zip(pairs, reach, strict=True)])
    high = np.array([bound if pair is None else pair[1] for pair, bound in zip(pairs, reach, strict=True)])
    return low, high


def _level(rows: pl.DataFrame) -> FloatArray:
    scale = rows["scale_mw"].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    # Without a known level nothing can be said to be beyond it.
    level: FloatArray = np.where(np.isfinite(scale) & (scale > 0), scale, np.inf)
    return level


def _check_ramp(answers: FloatArray, probe: SafetyProbe, policy: GatePolicy) -> CheckResult:
    """Check steps of the median between neighbouring targets of one issue."""
    table = probe.rows.select("area", "issued_at", "at").with_columns(
        pl.Series("ratio", answers[:, probe.quantiles.index(0.5)] / _level(probe.rows))
    )
    ramps = table.sort("area", "issued_at", "at").select(
        "area", pl.col("ratio").diff().abs().over("area", "issued_at").alias("ramp")
    )
    top = ramps["ramp"].max()
    largest = float(top) if isinstance(top, float) else 0.0
    thresholds = {"max_ramp_ratio": policy.max_ramp_ratio}
    reason = f"the steepest step is {largest:.3g} of the recent level"
    verdict = PASS if largest <= policy.max_ramp_ratio else REFUSE
    return CheckResult("safety.ramp", verdict, reason, {"largest_ramp": largest}, thresholds)


def _check_repeat(predict: Predict, answers: FloatArray, probe: SafetyProbe) -> CheckResult:
    """Check that an answer depends on its own row alone: asked backwards and one by one (to 1e-9 of the level)."""
    name = "safety.repeat"
    level = _level(probe.rows)
    unit = np.where(np.isfinite(level), level, 1.0)[:, None]
    some = np.unique(np.linspace(0, probe.rows.height - 1, 5).astype(int))
    backwards = np.asarray(predict(probe.rows.reverse()), dtype=np.float64)[::-1]
    single = np.vstack([np.asarray(predict(probe.rows[int(row) : int(row) + 1]), dtype=np.float64) for row in some])
    gaps = [(np.abs(backwards - answers) / unit).max(), (np.abs(single - answers[some]) / unit[some]).max()]
    largest = float(max(gaps))
    if largest <= _REPEAT:  # a NaN refuses
        return CheckResult(name, PASS, "the same rows give the same numbers in any order", {"largest_gap": largest})
    return CheckResult(name, REFUSE, "answers change with the order or company of rows", {"largest_gap": largest})


def _check_odd(predict: Predict, probe: SafetyProbe, policy: GatePolicy) -> CheckResult:
    counts = {"answered": 0, "no answer": 0, "explicit error": 0}
    faults: dict[str, str] = {}
    for label, rows in _odd_inputs(probe):
        try:
            answers = np.asarray(predict(rows), dtype=np.float64)
        except RecloserError:
            counts["explicit error"] += 1
            continue
        except _BREAKS as error:
            faults[label] = f"broke with {type(error).__name__}"
            continue
        if answers.ndim == 0 or len(answers) != rows.height:
            faults[label] = f"output of shape {answers.shape} for {rows.height} rows"
            continue
        spoken = _spoken(answers)
        fault = _fault(answers[spoken], rows.filter(pl.Series(spoken)), probe, policy) if spoken.any() else ""
        if fault:
            faults[label] = fault
        else:
            counts["answered" if spoken.all() else "no answer"] += 1
    total = sum(counts.values()) + len(faults)
    numbers: dict[str, Any] = {"inputs": total, **counts, "faults": faults}
    if faults:
        first = next(iter(faults))
        reason = f"{len(faults)} of {total} odd inputs are not handled; {first}: {faults[first]}"
        return CheckResult("safety.inputs", REFUSE, reason, numbers)
    reason = f"{total} odd inputs are answered within limits, or openly not answered"
    return CheckResult("safety.inputs", PASS, reason, numbers)


def _spoken(answers: FloatArray) -> npt.NDArray[np.bool_]:
    """Return which rows were answered; NaN in every level says that there is no answer, and the gateway falls back."""
    silent = np.isnan(answers.reshape(len(answers), -1)).all(axis=1)
    return np.logical_not(silent, dtype=np.bool_)


def _odd_inputs(probe: SafetyProbe) -> Iterator[tuple[str, pl.DataFrame]]:
    picks = np.unique(np.linspace(0, probe.rows.height - 1, _ODD_ROWS).astype(int))
    rows, names = probe.rows[picks.tolist()], list(probe.feature_names)
    floats = [name for name in names if rows.schema[name].is_float()]
    heat = [name for name in probe.temperature_columns if name in floats]
    if heat:
        yield f"{_COLD:.0f} degC", _with(rows, heat, _COLD)
        yield f"{_HOT:.0f} degC", _with(rows, heat, _HOT)
    yield "all features missing", _with(rows, names, None)
    for name in names:
        yield f"{name} missing", _with(rows, [name], None)
        yield f"no column {name}", rows.drop(name)
    if floats:
        yield "all features NaN", _with(rows, floats, float("nan"))
        yield "huge features", _with(rows, floats, _HUGE)
        yield "huge negative features", _with(rows, floats, -_HUGE)


def _with(rows: pl.DataFrame, names: list[str], item: float | None) -> pl.DataFrame:
    return rows.with_columns(pl.lit(item, dtype=rows.schema[name]).alias(name) for name in names)
