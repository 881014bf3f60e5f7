"""Owns the online control of an interval's coverage: offsets that answer what the truth missed. Fits no model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import date
from typing import Any

import numpy as np

from recloser.core import FloatArray, InvalidInput
from recloser.models.calibration import Calibration


@dataclass(frozen=True, slots=True)
class CoveragePlan:
    """How the control works.

    Attributes:
        below, above: share of truths that should lie under the low and over the high quantile.
        gain: move of an offset, in shares of the scale, for a day on which everything missed.
        most: largest offset either way; what needs more is no matter of calibration.
        least_points: fewest truths of a day that count.
    """

    below: float = 0.1
    above: float = 0.1
    gain: float = 0.01
    most: float = 0.15
    least_points: int = 6

    def __post_init__(self) -> None:
        shares = 0.0 < self.below < 0.5 and 0.0 < self.above < 0.5
        if not (shares and self.gain > 0.0 and self.most > 0.0 and self.least_points > 0):
            raise InvalidInput(
                "a coverage plan out of range", got=asdict(self), expected="shares in (0, 0.5), others > 0"
            )


@dataclass(frozen=True, slots=True)
class AdaptiveCoverage:
    """Two offsets, one per side, that move by gain * (missed share - promised share) for each day of truth.

    Quantile tracking of Angelopoulos, Candes & Tibshirani (2023), Conformal PID Control for Time Series Prediction
    (arXiv 2307.16895), after Gibbs & Candes (2021), Adaptive Conformal Inference (arXiv 2106.00170). While no offset
    rests on its bound, the mean missed share over n days is off by at most (2 * most + gain) / (gain * n), whatever
    the truth does; errors need not be independent. Late truth only delays it. Immutable; JSON in between.

    Attributes:
        plan: how.
        low, high: offsets in shares of the scale, subtracted below and added above; negative where intervals shrink.
        last_day: newest day counted; earlier ones are ignored, so that a repeated day changes nothing.
        bounded: days on which an offset rested on its bound.
    """

    plan: CoveragePlan = CoveragePlan()
    low: float = 0.0
    high: float = 0.0
    last_day: date | None = None
    bounded: int = 0

    def learned(self, day: date, truth: FloatArray, low: FloatArray, high: FloatArray) -> AdaptiveCoverage:
        """Return the control after a day's truth.

        Args:
            day: of delivery; days come in order.
            truth: MW, shape (n_points,); NaN where unknown or masked.
            low: the low quantile as served, that is with the offset of its time, MW, shape (n_points,).
            high: the same of the high one.

        Raises:
            InvalidInput: the shapes differ.
        """
        if not truth.shape == low.shape == high.shape:
            raise InvalidInput("truth and interval differ in shape", got=(truth.shape, low.shape, high.shape))
        if self.last_day is not None and day <= self.last_day:
            return self
        known = np.isfinite(truth) & np.isfinite(low) & np.isfinite(high)
        if known.sum() < self.plan.least_points:
            return self
        under, over = float((truth < low)[known].mean()), float((truth > high)[known].mean())
        most, gain = self.plan.most, self.plan.gain
        moved = self.low + gain * (under - self.plan.below), self.high + gain * (over - self.plan.above)
        kept = tuple(min(max(offset, -most), most) for offset in moved)
        return replace(self, low=kept[0], high=kept[1], last_day=day, bounded=self.bounded + (kept != moved))

    def applied(self, quantiles: FloatArray, scale: FloatArray) -> FloatArray:
        """Return quantiles with the outermost two moved by the offsets, inner ones by their share, never crossing.

        Args:
            quantiles: MW, ascending along the second axis, the median in the middle, shape (n_rows, n_quantiles).
            scale: MW, shape (n_rows,).
        """
        count = quantiles.shape[1]
        place = np.linspace(-1.0, 1.0, count) if count > 1 else np.zeros(1)
        offset = np.where(place < 0, place * self.low, place * self.high)
        middle = quantiles[:, count // 2 : count // 2 + 1]
        moved = quantiles + offset[None, :] * scale[:, None]
        moved = np.where(place < 0, np.minimum(moved, middle), np.where(place > 0, np.maximum(moved, middle), moved))
        result: FloatArray = np.sort(moved, axis=1)
        return result

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready data."""
        own = {item.name: getattr(self, item.name) for item in fields(self)}  # one a day and area: asdict copies deeply
        day = None if self.last_day is None else self.last_day.isoformat()
        return {**own, "plan": asdict(self.plan), "last_day": day}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> AdaptiveCoverage:
        """Return what `to_dict` wrote.

        Raises:
            InvalidInput: keys are missing or unknown.
        """
        try:
            rest = {k: v for k, v in data.items() if k not in {"plan", "last_day"}}
            last = None if data["last_day"] is None else date.fromisoformat(data["last_day"])
            return cls(CoveragePlan(**data["plan"]), last_day=last, **rest)
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInput("unreadable coverage control", got=repr(error), where="AdaptiveCoverage") from error


def covering(calibration: Calibration, controls: Mapping[str, AdaptiveCoverage]) -> Calibration:
    """Return the calibration with each area's controlled offsets added: outermost quantiles by all, inner ones by part.

    Args:
        calibration: offsets in shares of the scale.
        controls: area -> its control; areas without one keep their offsets.
    """
    place = np.linspace(-1.0, 1.0, len(calibration.quantiles))
    areas = dict(calibration.areas)
    for area, control in controls.items():
        added = np.where(place < 0, place * control.low, place * control.high)
        moved = np.asarray(areas.get(area, calibration.offsets)) + added
        areas[area] = tuple(tuple(row) for row in moved.tolist())
    return replace(calibration, areas=dict(sorted(areas.items())))
