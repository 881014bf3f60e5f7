"""Owns the judgement of inputs and of models' answers. Pure; does not call models or choose who answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np
import numpy.typing as npt

from recloser.core import FloatArray, InvalidInput
from recloser.serving.batch import KEYS, Batch
from recloser.serving.limits import AssetLimits

BoolArray = npt.NDArray[np.bool_]


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

    def __post_init__(self) -> None:
        limits = [*self.divergence.values(), self.divergence_default or 1.0, self.stale_after_h or 1.0]
        positive = all(np.isfinite(limit) and limit > 0 for limit in limits) and self.trip_window > timedelta(0)
        if self.trip_after < 1 or self.unit_factor <= 1 or not 0 <= self.max_missing_share <= 1 or not positive:
            raise InvalidInput("a guard threshold that cannot be meant", got=str(self), where="GuardPolicy")

    def divergence_limit(self, release: str) -> float | None:
        """Return the largest allowed distance of a release to the champion, in units of the recent level."""
        return self.divergence.get(release, self.divergence_default)


def input_faults(batch: Batch, limits: Mapping[str, AssetLimits], policy: GuardPolicy) -> dict[int, str]:
    """Return area index -> why its inputs may not be given to a model; sound areas are left out.

    LightGBM answers a row of nothing but NaN with a plausible number: an output bound does not find a dead sensor.
    """
    starts, faults = batch.bounds[:-1], dict[int, str]()
    checks: list[tuple[str, BoolArray]] = []
    features = [column for name, column in batch.numbers.items() if name not in KEYS and name != policy.age_column]
    if features:
        table = np.stack(features)
        sparse: BoolArray = np.isnan(table).sum(axis=0) > policy.max_missing_share * len(features)
        checks.append(("an infinite feature", np.asarray(np.isinf(table).any(axis=0))))
        checks.append(("too many missing features", sparse))
    for name in policy.required:
        column = batch.numbers.get(name)
        missing = np.ones(len(batch.frame), dtype=np.bool_) if column is None else ~np.isfinite(column)
        checks.append((f"{name} is missing", missing))
    age = batch.numbers.get(policy.age_column)
    if age is not None and policy.stale_after_h is not None:
        checks.append(("stale data", ~(age <= policy.stale_after_h)))
    level = batch.numbers.get(policy.level_column)
    if level is not None:
        checks.append(("unit suspect: the last day's level", np.abs(level) > policy.unit_factor))
    scale = batch.scale_mw()
    for index, area in enumerate(batch.areas):
        reason = _scale_fault(float(scale[index]), limits.get(area), policy.unit_factor)
        if reason:
            faults[index] = reason
    for reason, rows in checks:
        if rows.any():
            for index in np.flatnonzero(np.logical_or.reduceat(rows, starts)).tolist():
                faults.setdefault(index, reason)
    return faults


def _scale_fault(scale_mw: float, limits: AssetLimits | None, factor: float) -> str:
    if limits is None:
        return "unknown area"
    if not np.isfinite(scale_mw) or scale_mw <= 0:
        return "no recent level"
    peak = limits.peak_mw()
    if scale_mw > factor * peak or scale_mw * factor < peak:
        return f"unit suspect: recent level {scale_mw:.6g} MW against a peak of {peak:.6g} MW"
    return ""


def answer_faults(mw: FloatArray, batch: Batch, limits: Mapping[str, AssetLimits]) -> dict[int, str]:
    """Return area index -> why the model's answer may not be handed out; safe areas are left out.

    Args:
        mw: the answer, MW, shape (n_rows, n_quantiles).
        batch: the rows it is about; every area must have limits.
        limits: physical limits by area.
    """
    each = [limits[area] for area in batch.areas]
    lengths = batch.lengths()
    lowest = np.repeat([limit.minimum_mw for limit in each], lengths)[:, None]
    highest = np.repeat([limit.maximum_mw for limit in each], lengths)[:, None]
    with np.errstate(all="ignore"):
        checks = (
            ("not finite", ~np.isfinite(mw).all(axis=1)),
            ("quantiles cross", (np.diff(mw, axis=1) < 0).any(axis=1)),
            ("outside the physical limits", ~((mw >= lowest) & (mw <= highest)).all(axis=1)),
            ("a ramp the asset cannot follow", _ramp_faults(mw[:, mw.shape[1] // 2], batch, each)),
        )
    faults: dict[int, str] = {}
    for reason, rows in checks:
        if rows.any():
            for index in np.flatnonzero(np.logical_or.reduceat(rows, batch.bounds[:-1])).tolist():
                faults.setdefault(index, reason)
    return faults


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
    result[batch.bounds[1:-1]] = False
    return result


def distances(challenger: FloatArray, champion: FloatArray, batch: Batch) -> FloatArray:
    """Return max |challenger - champion| over rows and quantiles in units of the recent level, shape (n_areas,).

    NaN where either answer is not finite, so that a comparison that cannot be made is never taken for agreement.
    """
    with np.errstate(all="ignore"):
        apart = np.abs(challenger - champion).max(axis=1)
        farthest: FloatArray = np.maximum.reduceat(apart, batch.bounds[:-1]) / batch.scale_mw()
    return farthest
