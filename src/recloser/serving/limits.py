"""Owns the physical limits of an asset, learned from its history. Does not apply them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl

from recloser.core import LOAD, FloatArray, InvalidInput, Panel

FENCE = 8.0
"""Values farther from the median than so many interquartile ranges are taken for faults, not for load."""


@dataclass(frozen=True, slots=True)
class AssetLimits:
    """What the asset can physically do; net load may be negative.

    Attributes:
        minimum_mw: no answer may lie below.
        maximum_mw: no answer may lie above.
        ramp_mw: largest change of the median from one interval to the next.
        step: length of that interval.

    Raises:
        InvalidInput: not finite, an empty range or a ramp that is not positive.
    """

    minimum_mw: float
    maximum_mw: float
    ramp_mw: float
    step: timedelta

    def __post_init__(self) -> None:
        finite = all(math.isfinite(number) for number in (self.minimum_mw, self.maximum_mw, self.ramp_mw))
        if not finite or self.minimum_mw >= self.maximum_mw or self.ramp_mw <= 0 or self.step <= timedelta(0):
            raise InvalidInput(
                "limits that allow nothing",
                got=(self.minimum_mw, self.maximum_mw, self.ramp_mw, self.step),
                expected="minimum < maximum, ramp > 0, step > 0, all finite",
                where="AssetLimits",
            )

    def peak_mw(self) -> float:
        """Return the largest power the asset may carry in either direction."""
        return max(abs(self.minimum_mw), abs(self.maximum_mw))


def limits_from(
    history: Panel, *, margin: float = 0.25, ramp_margin: float = 0.5, least_values: int = 48
) -> dict[str, AssetLimits]:
    """Learn the limits of every area from its usable load; pure.

    Minimum and maximum lie `margin` of the observed range outside it, the ramp `ramp_margin` above the largest one
    between neighbouring intervals (and at least 5 % of the range). Values beyond FENCE interquartile ranges from the
    median are left out, so that an unflagged unit fault does not widen the limits. An area with fewer than
    `least_values` values gets no limits: the gateway treats it as unknown.
    """
    wide = history.wide()
    if LOAD not in wide.columns:
        return {}
    result = {}
    usable = wide.select("area", "at", LOAD).filter(pl.col(LOAD).is_finite())
    for (area,), rows in usable.group_by(["area"], maintain_order=True):
        if len(rows) >= least_values:
            at = rows["at"].to_physical().to_numpy()
            result[str(area)] = _limits_of(rows[LOAD].to_numpy(), at, history.resolution, (margin, ramp_margin))
    return result


def _limits_of(
    load_mw: FloatArray,
    at_us: np.ndarray[tuple[int], np.dtype[np.int64]],
    step: timedelta,
    margins: tuple[float, float],
) -> AssetLimits:
    low, middle, high = np.percentile(load_mw, [25.0, 50.0, 75.0])
    spread = high - low if high > low else max(abs(float(middle)), 1e-3)
    kept = np.abs(load_mw - middle) <= FENCE * spread
    load, times = load_mw[kept], at_us[kept]
    bottom, top = float(load.min()), float(load.max())
    width = max(top - bottom, 0.2 * max(abs(top), abs(bottom)), 1e-6)
    neighbours = np.diff(times) == step // timedelta(microseconds=1)
    jumps = np.abs(np.diff(load))[neighbours]
    ramp = max(float(jumps.max()) if jumps.size else width, 0.05 * width)
    return AssetLimits(bottom - margins[0] * width, top + margins[0] * width, (1.0 + margins[1]) * ramp, step)
