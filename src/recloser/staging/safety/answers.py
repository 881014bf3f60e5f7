"""Owns the safety of answers to ordinary rows: limits, order of quantiles, ramps, independence of company."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from recloser.core import FloatArray, RecloserError
from recloser.staging.policy import GatePolicy
from recloser.staging.verdict import HOLD, PASS, REFUSE, CheckResult

Predict = Callable[[pl.DataFrame], FloatArray]

# What a predictor may break with when it meets bad rows without having thought of them.
BREAKS = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    AssertionError,
    pl.exceptions.PolarsError,
)
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
        days: rows of special days by name, e.g. 'clocks forward 2021-03-28', as production would send them.
        seed: of the fuzzed inputs.
    """

    rows: pl.DataFrame
    feature_names: tuple[str, ...]
    quantiles: tuple[float, ...]
    limits_mw: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    temperature_columns: tuple[str, ...] = ()
    days: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    seed: int = 20260101


def fault_of(answers: FloatArray, rows: pl.DataFrame, probe: SafetyProbe, policy: GatePolicy) -> str:
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
    reach = policy.max_scale_ratio * level_of(rows)
    pairs = [probe.limits_mw.get(area) for area in rows["area"].to_list()]
    low = np.array([-bound if pair is None else pair[0] for pair, bound in zip(pairs, reach, strict=True)])
    high = np.array([bound if pair is None else pair[1] for pair, bound in zip(pairs, reach, strict=True)])
    return low, high


def level_of(rows: pl.DataFrame) -> FloatArray:
    """Return the recent level by row, MW; infinite where none is known."""
    scale = rows["scale_mw"].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    # Without a known level nothing can be said to be beyond it.
    level: FloatArray = np.where(np.isfinite(scale) & (scale > 0), scale, np.inf)
    return level


def check_ramp(answers: FloatArray, rows: pl.DataFrame, probe: SafetyProbe, policy: GatePolicy) -> CheckResult:
    """Check steps of the median between neighbouring targets of one issue."""
    table = rows.select("area", "issued_at", "at").with_columns(
        pl.Series("ratio", answers[:, probe.quantiles.index(0.5)] / level_of(rows))
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


def check_repeat(predict: Predict, answers: FloatArray, probe: SafetyProbe) -> CheckResult:
    """Check that an answer depends on its own row alone: asked backwards and one by one (to 1e-9 of the level)."""
    name = "safety.repeat"
    level = level_of(probe.rows)
    unit = np.where(np.isfinite(level), level, 1.0)[:, None]
    some = np.unique(np.linspace(0, probe.rows.height - 1, 5).astype(int))
    backwards = np.asarray(predict(probe.rows.reverse()), dtype=np.float64)[::-1]
    single = np.vstack([np.asarray(predict(probe.rows[int(row) : int(row) + 1]), dtype=np.float64) for row in some])
    gaps = [(np.abs(backwards - answers) / unit).max(), (np.abs(single - answers[some]) / unit[some]).max()]
    largest = float(max(gaps))
    if largest <= _REPEAT:  # a NaN refuses
        return CheckResult(name, PASS, "the same rows give the same numbers in any order", {"largest_gap": largest})
    return CheckResult(name, REFUSE, "answers change with the order or company of rows", {"largest_gap": largest})


def check_answers(predict: Predict, probe: SafetyProbe, policy: GatePolicy) -> tuple[CheckResult, FloatArray | None]:
    """Check ordinary rows; return the result, and the answers if they are sound."""
    thresholds = {"max_scale_ratio": policy.max_scale_ratio}
    name = "safety.answers"
    if probe.rows.is_empty():
        return CheckResult(name, HOLD, "no rows to try", {}, thresholds), None
    try:
        answers = np.asarray(predict(probe.rows), dtype=np.float64)
    except (RecloserError, *BREAKS) as error:
        reason = f"ordinary rows end in {type(error).__name__}: {str(error)[:120]}"
        return CheckResult(name, REFUSE, reason, {}, thresholds), None
    fault = fault_of(answers, probe.rows, probe, policy)
    if fault:
        return CheckResult(name, REFUSE, fault, {}, thresholds), None
    top = float(np.abs(answers / level_of(probe.rows)[:, None]).max())
    return CheckResult(name, PASS, "finite, in order, within limits", {"largest_ratio": top}, thresholds), answers
