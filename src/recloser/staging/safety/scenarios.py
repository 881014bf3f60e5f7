"""Owns what a model answers in extreme weather and on special days: days of 23 and 25 hours, leap day."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from recloser.core import FloatArray, RecloserError
from recloser.staging.policy import GatePolicy
from recloser.staging.safety.answers import BREAKS, Predict, SafetyProbe, check_ramp, fault_of, level_of
from recloser.staging.verdict import PASS, REFUSE, CheckResult

_SHIFTS_C = {"heat wave": 12.0, "cold spell": -12.0}
_EXTREMES_C = {"-40 degC": -40.0, "50 degC": 50.0}


def check_weather(predict: Predict, answers: FloatArray, probe: SafetyProbe, policy: GatePolicy) -> CheckResult:
    """Check heat waves, cold spells and extremes far outside what was learned from.

    Answers must stay finite, in order, within limits and ramps, and the median may not move from the ordinary answer
    by more than `max_weather_change` of the recent level: trees do not extrapolate, other models may run away.

    Args:
        predict: the model.
        answers: its answers to the ordinary rows.
        probe: rows and which columns are temperatures.
        policy: thresholds.
    """
    name, thresholds = "safety.weather", {"max_weather_change": policy.max_weather_change}
    heat = [column for column in probe.temperature_columns if column in probe.rows.columns]
    if not heat:
        return CheckResult(name, PASS, "no temperature feature", {}, thresholds)
    middle = probe.quantiles.index(0.5)
    moved: dict[str, float] = {}
    faults: dict[str, str] = {}
    for label in (*_SHIFTS_C, *_EXTREMES_C):
        rows = _weather(probe.rows, heat, label)
        try:
            got = np.asarray(predict(rows), dtype=np.float64)
        except (RecloserError, *BREAKS) as error:
            faults[label] = f"ends in {type(error).__name__}"
            continue
        fault = fault_of(got, rows, probe, policy)
        if fault:
            faults[label] = fault
            continue
        change = np.abs(got[:, middle] - answers[:, middle]) / level_of(rows)
        moved[label] = float(change.max())
        if moved[label] > policy.max_weather_change:
            faults[label] = f"the median moves by {moved[label]:.3g} of the recent level"
    numbers: dict[str, Any] = {"change": moved, "faults": faults}
    if faults:
        first = next(iter(faults))
        return CheckResult(name, REFUSE, f"extreme weather: {first}: {faults[first]}", numbers, thresholds)
    worst = max(moved, key=lambda label: moved[label])
    reason = f"{len(moved)} extremes of weather; the median moves at most {moved[worst]:.2g} of the level ({worst})"
    return CheckResult(name, PASS, reason, numbers, thresholds)


def _weather(rows: pl.DataFrame, heat: list[str], label: str) -> pl.DataFrame:
    if label in _SHIFTS_C:
        return rows.with_columns(pl.col(column) + _SHIFTS_C[label] for column in heat)
    return rows.with_columns(pl.lit(_EXTREMES_C[label], dtype=rows.schema[column]).alias(column) for column in heat)


def check_days(predict: Predict, probe: SafetyProbe, policy: GatePolicy) -> CheckResult:
    """Check the days of 23 and 25 hours and leap day: every interval answered, in order, within limits and ramps."""
    faults: dict[str, str] = {}
    numbers: dict[str, Any] = {"intervals": {label: rows.height for label, rows in probe.days.items()}}
    for label, rows in probe.days.items():
        try:
            got = np.asarray(predict(rows), dtype=np.float64)
        except (RecloserError, *BREAKS) as error:
            faults[label] = f"ends in {type(error).__name__}"
            continue
        fault = fault_of(got, rows, probe, policy)
        if not fault:
            ramp = check_ramp(got, rows, probe, policy)
            fault = "" if ramp.verdict == PASS else ramp.reason
        if fault:
            faults[label] = fault
    numbers["faults"] = faults
    if faults:
        first = next(iter(faults))
        return CheckResult("safety.days", REFUSE, f"special day: {first}: {faults[first]}", numbers)
    told = ", ".join(probe.days) or "no special day could be made from the history"
    return CheckResult("safety.days", PASS, f"every interval answered: {told}" if probe.days else told, numbers)
