"""Owns odd inputs: missing, dead, huge and fuzzed features, and how a model may meet them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from recloser.core import FloatArray, RecloserError
from recloser.staging.policy import GatePolicy
from recloser.staging.safety.answers import BREAKS, Predict, SafetyProbe, fault_of
from recloser.staging.verdict import PASS, REFUSE, CheckResult

Inputs = Iterable[tuple[str, pl.DataFrame]]
_HUGE = 1e9
_ODD_ROWS = 8
_FUZZ_ROUNDS = 12


def check_odd(predict: Predict, probe: SafetyProbe, policy: GatePolicy) -> CheckResult:
    """Check missing and huge inputs: answered within limits, openly not answered, or refused by an explicit error."""
    return _met("safety.inputs", "odd inputs", predict, _odd_inputs(probe), _judge(probe, policy))


def check_fuzz(predict: Predict, probe: SafetyProbe, policy: GatePolicy) -> CheckResult:
    """Check seeded random inputs: features knocked out, swapped between rows, scaled, negated, turned into NaN.

    The same seed gives the same inputs. Answers must be in order and within limits, as for odd inputs.
    """
    return _met("safety.fuzz", "fuzzed inputs", predict, _fuzzed(probe), _judge(probe, policy))


def _judge(probe: SafetyProbe, policy: GatePolicy) -> Callable[[FloatArray, pl.DataFrame], str]:
    return lambda answers, rows: fault_of(answers, rows, probe, policy)


def _met(
    name: str, what: str, predict: Predict, inputs: Inputs, fault: Callable[[FloatArray, pl.DataFrame], str]
) -> CheckResult:
    """Return how each input was met; anything but an answer without fault, silence or an explicit error refuses."""
    counts = {"answered": 0, "no answer": 0, "explicit error": 0}
    faults: dict[str, str] = {}
    for label, rows in inputs:
        outcome = _outcome(predict, rows, fault)
        if outcome in counts:
            counts[outcome] += 1
        else:
            faults[label] = outcome
    total = sum(counts.values()) + len(faults)
    numbers: dict[str, Any] = {"inputs": total, **counts, "faults": faults}
    if faults:
        first = next(iter(faults))
        reason = f"{len(faults)} of {total} {what} are not handled; {first}: {faults[first]}"
        return CheckResult(name, REFUSE, reason, numbers)
    return CheckResult(name, PASS, f"{total} {what} are answered within limits, or openly not answered", numbers)


def _outcome(predict: Predict, rows: pl.DataFrame, fault: Callable[[FloatArray, pl.DataFrame], str]) -> str:
    try:
        answers = np.asarray(predict(rows), dtype=np.float64)
    except RecloserError:
        return "explicit error"
    except BREAKS as error:
        return f"broke with {type(error).__name__}"
    if answers.ndim == 0 or len(answers) != rows.height:
        return f"output of shape {answers.shape} for {rows.height} rows"
    spoken = _spoken(answers)
    found = fault(answers[spoken], rows.filter(pl.Series(spoken))) if spoken.any() else ""
    return found or ("answered" if spoken.all() else "no answer")


def _spoken(answers: FloatArray) -> npt.NDArray[np.bool_]:
    """Return which rows were answered; NaN in every level says that there is no answer, and the gateway falls back."""
    silent = np.isnan(answers.reshape(len(answers), -1)).all(axis=1)
    return np.logical_not(silent, dtype=np.bool_)


def _some(probe: SafetyProbe) -> pl.DataFrame:
    picks = np.unique(np.linspace(0, probe.rows.height - 1, _ODD_ROWS).astype(int))
    rows: pl.DataFrame = probe.rows[picks.tolist()]
    return rows


def _odd_inputs(probe: SafetyProbe) -> Iterator[tuple[str, pl.DataFrame]]:
    rows, names = _some(probe), list(probe.feature_names)
    floats = [name for name in names if rows.schema[name].is_float()]
    yield "all features missing", _with(rows, names, None)
    for name in names:
        yield f"{name} missing", _with(rows, [name], None)
        yield f"no column {name}", rows.drop(name)
    if floats:
        yield "all features NaN", _with(rows, floats, float("nan"))
        yield "huge features", _with(rows, floats, _HUGE)
        yield "huge negative features", _with(rows, floats, -_HUGE)


def _fuzzed(probe: SafetyProbe) -> Iterator[tuple[str, pl.DataFrame]]:
    rng = np.random.default_rng(probe.seed)
    rows = _some(probe)
    floats = [name for name in probe.feature_names if rows.schema[name].is_float()]
    if not floats:
        return
    table = rows.select(floats).fill_null(float("nan")).to_numpy().astype(np.float64)
    for number in range(_FUZZ_ROUNDS):
        fuzzed = table.copy()
        hit = rng.random(table.shape) < rng.choice([0.05, 0.3, 0.8])
        kind = ("knocked out", "swapped", "scaled", "negated")[number % 4]
        if kind == "knocked out":
            fuzzed[hit] = np.nan
        elif kind == "swapped":
            fuzzed[hit] = rng.permuted(table, axis=0)[hit]
        elif kind == "scaled":
            fuzzed[hit] *= 10.0 ** rng.uniform(-6, 6, size=int(hit.sum()))
        else:
            fuzzed[hit] *= -1.0
        columns = [pl.Series(name, fuzzed[:, k]).cast(rows.schema[name]) for k, name in enumerate(floats)]
        yield f"round {number} ({kind})", rows.with_columns(columns)


def _with(rows: pl.DataFrame, names: list[str], item: float | None) -> pl.DataFrame:
    return rows.with_columns(pl.lit(item, dtype=rows.schema[name]).alias(name) for name in names)
