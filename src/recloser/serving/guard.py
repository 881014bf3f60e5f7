"""Owns the judgement of inputs and of models' answers. Pure; does not call models or choose who answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from math import isfinite
from typing import Any

import numpy as np
import numpy.typing as npt

from recloser.core import FloatArray, InvalidInput
from recloser.serving.batch import KEYS, SCALE, Batch, IntArray
from recloser.serving.limits import AssetLimits
from recloser.serving.seen import Ranges

BoolArray = npt.NDArray[np.bool_]

OUTSIDE, RAMP = "outside the physical limits", "a ramp the asset cannot follow"

FEW = 4
"""Up to so many rows plain Python is faster than arrays; it only ever says that all is well."""


@dataclass(frozen=True, slots=True)
class GuardPolicy:
    """How strict the gateway is.

    Attributes:
        trip_after: so many failed answers (one per area) of a challenger within `trip_window` trip it.
        trip_window: how long a failure counts.
        divergence: release -> largest allowed max |challenger - champion| in units of the area's recent level, from
            its staging.
        divergence_default: the same for a release without a staging figure; None switches the check off.
        max_missing_share: an area with a row that lacks a larger share of its features is not given to a model.
        required: columns that no row may lack.
        unit_factor: recent level above so many times the asset's peak, or below its inverse, smells of a wrong unit.
        level_column: column with the level of the last day over the recent level; looked at when the frame has it, for
            a wrong unit (same factor). Name it in `required` too if a silent meter must be found within the day.
        age_column: column with the age of the newest reading in hours; looked at when the frame has it.
        stale_after_h: largest allowed age in hours; None switches the check off.
        late_after_ms: a model that works longer on one batch (and PER_ROW_MS for each row) is late: others answer, and
            it is not asked again before it has come back. Acts where requests run in the data plane
            (`recloser.serving.plane`).
        seen: release -> what it was trained on. A challenger is neither asked nor blamed for inputs beyond that.

    Raises:
        InvalidInput: a threshold that cannot be meant.
    """

    trip_after: int = 3
    trip_window: timedelta = timedelta(hours=24)
    divergence: Mapping[str, float] = field(default_factory=dict)
    divergence_default: float | None = 0.5
    max_missing_share: float = 0.5
    required: tuple[str, ...] = ()
    unit_factor: float = 30.0
    level_column: str = "load_level_24h"
    age_column: str = "data_age_h"
    stale_after_h: float | None = 48.0
    late_after_ms: float = 500.0
    seen: Mapping[str, Ranges] = field(default_factory=dict)

    def __post_init__(self) -> None:
        limits = [
            *self.divergence.values(),
            self.divergence_default or 1.0,
            self.stale_after_h or 1.0,
            self.late_after_ms,
        ]
        positive = all(np.isfinite(limit) and limit > 0 for limit in limits) and self.trip_window > timedelta(0)
        if self.trip_after < 1 or self.unit_factor <= 1 or not 0 <= self.max_missing_share <= 1 or not positive:
            raise InvalidInput("a guard threshold that cannot be meant", got=str(self), where="GuardPolicy")

    def divergence_limit(self, release: str) -> float | None:
        """Return the largest allowed distance of a release to the champion, in units of the recent level."""
        return self.divergence.get(release, self.divergence_default)


def input_faults(batch: Batch, limits: Mapping[str, AssetLimits], policy: GuardPolicy) -> dict[int, str]:
    """Return group index -> why its inputs may not be given to a model; sound groups are left out.

    LightGBM answers a row of nothing but NaN with a plausible number: an output bound does not find a dead sensor.
    """
    if batch.n_rows <= FEW and inputs_sound(batch, limits, policy):
        return {}
    plan, table, faults = _plan(batch.names, policy), batch.table, dict[int, str]()
    checks: list[tuple[str, BoolArray]] = []
    if plan.features.size:
        features = table[:, plan.features]
        sparse: BoolArray = np.isnan(features).sum(axis=1) > policy.max_missing_share * plan.features.size
        checks.append(("an infinite feature", np.asarray(np.isinf(features).any(axis=1))))
        checks.append(("too many missing features", sparse))
    for name, place in zip(policy.required, plan.required, strict=True):
        missing = np.ones(batch.n_rows, dtype=np.bool_) if place is None else ~np.isfinite(table[:, place])
        checks.append((f"{name} is missing", missing))
    if plan.age is not None and policy.stale_after_h is not None:
        checks.append(("stale data", ~(table[:, plan.age] <= policy.stale_after_h)))
    if plan.level is not None:
        checks.append(("unit suspect: the last day's level", np.abs(table[:, plan.level]) > policy.unit_factor))
    scale = batch.scale_mw().tolist()
    for index, area in enumerate(batch.areas):
        reason = _scale_fault(scale[index], limits.get(area), policy.unit_factor)
        if reason:
            faults[index] = reason
    _add(faults, checks, batch)
    return faults


def inputs_sound(batch: Batch, limits: Mapping[str, AssetLimits], policy: GuardPolicy) -> bool:
    """Tell quickly, for a few rows, that nothing is wrong with any input; False means that it must be looked at."""
    plan = _plan(batch.names, policy)
    if plan.scale is None or None in plan.required:
        return False
    rows = batch.table.tolist()
    most_missing, factor = policy.max_missing_share * plan.features.size, policy.unit_factor
    for row in rows:
        total = sum(row)
        if total - total != 0.0 and not _gaps_allowed(row, plan, most_missing):
            return False
        if plan.age is not None and policy.stale_after_h is not None and not row[plan.age] <= policy.stale_after_h:
            return False
        if plan.level is not None and abs(row[plan.level]) > factor:
            return False
    for index, area in enumerate(batch.areas):
        scale = min(row[plan.scale] for row in rows[batch.rows_of(index)])
        if _scale_fault(scale, limits.get(area), factor):
            return False
    return True


def _gaps_allowed(row: list[float], plan: _Plan, most_missing: float) -> bool:
    """Tell whether a row that holds something not finite has no more of it than a model may be given."""
    features = [row[place] for place in plan.places]
    gaps = sum(number != number for number in features)  # noqa: PLR0124 - NaN
    infinite = any(not isfinite(number) for number in features if number == number)  # noqa: PLR0124 - NaN
    needed = all(isfinite(row[place]) for place in (plan.scale, *plan.required) if place is not None)
    return gaps <= most_missing and not infinite and needed


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """Where the columns stand that the guard looks at; None where there is none."""

    features: IntArray
    places: tuple[int, ...]
    required: tuple[int | None, ...]
    age: int | None
    level: int | None
    scale: int | None


def _plan(names: tuple[str, ...], policy: GuardPolicy) -> _Plan:
    return _planned(names, policy.required, policy.age_column, policy.level_column)


@lru_cache(maxsize=64)
def _planned(names: tuple[str, ...], required: tuple[str, ...], age: str, level: str) -> _Plan:
    at = {name: place for place, name in enumerate(names)}
    places = tuple(place for name, place in at.items() if name not in KEYS and name != age)
    needed = tuple(at.get(name) for name in required)
    return _Plan(np.array(places, dtype=np.int64), places, needed, at.get(age), at.get(level), at.get(SCALE))


def _add(faults: dict[int, str], checks: Iterable[tuple[str, Any]], batch: Batch) -> None:
    """Add the first reason of each group that has a row for which a check is true."""
    for reason, rows in checks:
        if rows.any():
            for index in np.flatnonzero(np.logical_or.reduceat(rows, batch.bounds[:-1])).tolist():
                faults.setdefault(index, reason)


def _scale_fault(scale_mw: float, limits: AssetLimits | None, factor: float) -> str:
    if limits is None:
        return "unknown area"
    if not isfinite(scale_mw) or scale_mw <= 0:
        return "no recent level"
    peak = limits.peak_mw()
    if scale_mw > factor * peak or scale_mw * factor < peak:
        return f"unit suspect: recent level {scale_mw:.6g} MW against a peak of {peak:.6g} MW"
    return ""


def answer_faults(mw: FloatArray, batch: Batch, limits: Mapping[str, AssetLimits]) -> dict[int, str]:
    """Return group index -> why the model's answer may not be handed out; safe groups are left out.

    Args:
        mw: the answer, MW, shape (n_rows, n_quantiles).
        batch: the rows it is about; every area must have limits.
        limits: physical limits by area.
    """
    if batch.n_rows <= FEW and answer_sound(mw, batch, limits):
        return {}
    each = [limits[area] for area in batch.areas]
    lengths = batch.lengths()
    lowest = np.repeat([limit.minimum_mw for limit in each], lengths)[:, None]
    highest = np.repeat([limit.maximum_mw for limit in each], lengths)[:, None]
    with np.errstate(all="ignore"):
        checks: list[tuple[str, Any]] = [
            ("not finite", ~np.isfinite(mw).all(axis=1)),
            ("quantiles cross", (np.diff(mw, axis=1) < 0).any(axis=1)),
            (OUTSIDE, ~((mw >= lowest) & (mw <= highest)).all(axis=1)),
            (RAMP, _ramp_faults(mw[:, mw.shape[1] // 2], batch, each)),
        ]
    faults: dict[int, str] = {}
    _add(faults, checks, batch)
    return faults


def answer_sound(mw: FloatArray, batch: Batch, limits: Mapping[str, AssetLimits]) -> bool:
    """Tell quickly, for a few rows, that every group's answer is safe; False means that it must be looked at."""
    rows = mw.tolist()
    for index, area in enumerate(batch.areas):
        limit = limits[area]
        for row in rows[batch.rows_of(index)]:
            last = limit.minimum_mw
            for number in row:
                if not last <= number:
                    return False
                last = number
            if not last <= limit.maximum_mw:
                return False
    if batch.at_us is None or batch.n_rows == len(batch.areas):
        return True
    times, middle = batch.at_us.tolist(), mw.shape[1] // 2
    for index, area in enumerate(batch.areas):
        limit = limits[area]
        per_us = limit.ramp_mw / (limit.step / timedelta(microseconds=1))
        for row in range(batch.bounds[index] + 1, batch.bounds[index + 1]):
            elapsed = times[row] - times[row - 1]
            allowed = max(per_us * elapsed, limit.ramp_mw) * (1 + 1e-9)
            if elapsed > 0 and not abs(rows[row][middle] - rows[row - 1][middle]) <= allowed:
                return False
    return True


def _ramp_faults(median: FloatArray, batch: Batch, each: list[AssetLimits]) -> BoolArray:
    """Return which rows lie farther from the row before than the asset can move in the time between."""
    result = np.zeros(len(median), dtype=bool)
    if batch.at_us is None or len(median) < 2:
        return result
    per_us = [limit.ramp_mw / (limit.step / timedelta(microseconds=1)) for limit in each]
    ramp = np.repeat([limit.ramp_mw for limit in each], batch.lengths())[1:]
    elapsed = np.diff(batch.at_us)
    allowed = np.maximum(np.repeat(per_us, batch.lengths())[1:] * elapsed, ramp) * (1 + 1e-9)
    result[1:] = ~(np.abs(np.diff(median)) <= allowed) & (elapsed > 0)
    result[list(batch.bounds[1:-1])] = False
    return result


def distances(challenger: FloatArray, champion: FloatArray, batch: Batch) -> list[float]:
    """Return max |challenger - champion| over rows and quantiles in units of the recent level, one per group.

    NaN where either answer is not finite, so that a comparison that cannot be made is never taken for agreement.
    """
    if batch.n_rows == 1:
        found = _distance(challenger.tolist()[0], champion.tolist()[0], batch.scale_mw().tolist()[0])
        if found is not None:
            return [found]
    with np.errstate(all="ignore"):
        apart = np.abs(challenger - champion).max(axis=1)
        farthest = np.maximum.reduceat(apart, batch.bounds[:-1]) / batch.scale_mw()
    result: list[float] = farthest.tolist()
    return result


def _distance(one: list[float], other: list[float], scale_mw: float) -> float | None:
    """Return the distance of two rows, None where plain arithmetic would not do as arrays do."""
    apart = [abs(a - b) for a, b in zip(one, other, strict=True)]
    total = sum(apart)
    return max(apart) / scale_mw if total - total == 0.0 and scale_mw > 0.0 else None
