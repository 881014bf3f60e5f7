"""Owns the bias corrector: a bounded offset of the median that bridges the days between retrainings. Fits no model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from recloser.core import FloatArray, InvalidInput
from recloser.models.calibration import BLOCKS, Calibration

DAY = timedelta(days=1)
REMEMBERED = 7  # days of delivery whose offsets wait for their truth


@dataclass(frozen=True, slots=True)
class CorrectorPlan:
    """How an area's bias is followed.

    Attributes:
        half_life: days after which an error counts half in the offset.
        prior: days without an error that the offset starts from; twice as many for the parts of the day.
        memory: days after which a lesson counts half in the share.
        doubt: days with a typical offset that must have paid before half of the offset is given.
        typical: size of such an offset, in shares of the scale.
        limit: largest offset either way, in shares of the scale.
        guard_days: newest days that the guard looks at, and for how long it switches off.
        guard_least: below so many days it says nothing.
        sigmas: standard errors by which the days must have been worse.
    """

    half_life: float = 8.0
    prior: float = 4.0
    memory: float = 120.0
    doubt: float = 20.0
    typical: float = 0.02
    limit: float = 0.1
    guard_days: int = 28
    guard_least: int = 10
    sigmas: float = 2.5


@dataclass(frozen=True, slots=True)
class BiasCorrector:
    """One area's offsets by part of the local day, and which share of them has paid so far. Immutable; JSON in between.

    The offset is the exponentially weighted mean error, by part of the day beside the day's own; the share is the
    regression of the errors on the offsets that were at hand for them, shrunk to none: a bias that does not last from
    the days that are known to the day that is forecast earns no share. The guard switches it off where the days with
    it were surely worse than without; its share then begins anew.

    Attributes:
        plan: how.
        total, weight: sums of the daily mean error and of its weights.
        parts, parts_weight: the same of the parts of the day, beside the mean.
        paid, spent: sums of the regression.
        saved: newest daily savings of mean absolute error, in shares of the scale.
        given: day of delivery -> offsets that were at hand for it, before the share; and the share.
        last_day: newest day learned from; earlier ones change nothing.
        off_until: until when the guard keeps it off; None: it is on.
    """

    plan: CorrectorPlan = field(default_factory=CorrectorPlan)
    total: float = 0.0
    weight: float = 0.0
    parts: tuple[float, ...] = (0.0,) * BLOCKS
    parts_weight: float = 0.0
    paid: float = 0.0
    spent: float = 0.0
    saved: tuple[float, ...] = ()
    given: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    last_day: date | None = None
    off_until: date | None = None

    @property
    def share(self) -> float:
        """Part of the offset that is given, in [0, 1]; 0 while it is off."""
        if self.off_until is not None:
            return 0.0
        return float(np.clip(self.paid / (self.spent + self.plan.doubt * self.plan.typical**2), 0.0, 1.0))

    def offsets(self) -> FloatArray:
        """Return the whole offset of each part of the day in shares of the scale, shape (BLOCKS,)."""
        mean = self.total / (self.weight + self.plan.prior)
        apart = np.asarray(self.parts) / (self.parts_weight + 2.0 * self.plan.prior)
        result: FloatArray = np.clip(mean + apart, -self.plan.limit, self.plan.limit)
        return result

    def applied(self) -> FloatArray:
        """Return what is really added to the median, in shares of the scale, shape (BLOCKS,)."""
        result: FloatArray = self.share * self.offsets()
        return result

    def gave(self, day: date) -> BiasCorrector:
        """Return the corrector that remembers what it gives for a day of delivery, until its truth comes."""
        kept = {name: row for name, row in self.given.items() if name >= (day - REMEMBERED * DAY).isoformat()}
        return replace(self, given={**kept, day.isoformat(): (*self.offsets().tolist(), self.share)})

    def learned(self, day: date, error: FloatArray, part: npt.NDArray[np.int64]) -> BiasCorrector:
        """Return the corrector after a day's truth.

        Args:
            day: of delivery; days come in order.
            error: (truth - median without any correction) / scale, shape (n_points,); NaN where unknown or masked.
            part: of the local day, shape (n_points,).
        """
        known = np.isfinite(error)
        if (self.last_day is not None and day <= self.last_day) or known.sum() < len(error) / 2:
            return self
        after = self._judged(day, error[known], part[known])
        keep, mean = 0.5 ** (1.0 / self.plan.half_life), float(error[known].mean())
        apart = [
            float(error[known & (part == k)].mean()) - mean if (known & (part == k)).any() else 0.0
            for k in range(BLOCKS)
        ]
        return replace(
            after,
            total=keep * self.total + mean,
            weight=keep * self.weight + 1.0,
            parts=tuple(keep * old + new for old, new in zip(self.parts, apart, strict=True)),
            parts_weight=keep * self.parts_weight + 1.0,
            last_day=day,
        )

    def _judged(self, day: date, error: FloatArray, part: npt.NDArray[np.int64]) -> BiasCorrector:
        """Return the corrector with what the day says of the offsets that were at hand for it."""
        back = None if self.off_until is not None and day >= self.off_until else self.off_until
        row = self.given.get(day.isoformat())
        if row is None:
            return replace(self, off_until=back)
        whole, share = np.asarray(row[:-1])[part], row[-1]
        keep = 0.5 ** (1.0 / self.plan.memory)
        paid = keep * self.paid + float((error * whole).mean())
        spent = keep * self.spent + float((whole**2).mean())
        saving = float((np.abs(error) - np.abs(error - share * whole)).mean())
        saved = (*self.saved, saving)[-self.plan.guard_days :] if share > 0.0 else self.saved
        if back is None and self._harms(saved):
            until = day + self.plan.guard_days * DAY
            return replace(self, paid=0.0, spent=0.0, saved=(), off_until=until)
        return replace(self, paid=paid, spent=spent, saved=saved, off_until=back)

    def _harms(self, saved: tuple[float, ...]) -> bool:
        if len(saved) < self.plan.guard_least:
            return False
        days = np.asarray(saved)
        error = float(days.std(ddof=1)) / np.sqrt(len(days))
        return bool(days.mean() < -self.plan.sigmas * max(error, 1e-12))

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready data."""
        own = {item.name: getattr(self, item.name) for item in fields(self)}  # one a day and area: asdict copies deeply
        days = {name: None if day is None else day.isoformat() for name, day in self._days().items()}
        given = {name: list(row) for name, row in self.given.items()}
        return {**own, "plan": asdict(self.plan), **days, "given": given}

    def _days(self) -> dict[str, date | None]:
        return {"last_day": self.last_day, "off_until": self.off_until}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> BiasCorrector:
        """Return what `to_dict` wrote.

        Raises:
            InvalidInput: keys are missing or unknown.
        """
        try:
            rest = dict(data)
            days = {name: rest.pop(name) for name in ("last_day", "off_until")}
            known: dict[str, Any] = {
                name: None if text is None else date.fromisoformat(text) for name, text in days.items()
            }
            tuples: dict[str, Any] = {name: tuple(rest.pop(name)) for name in ("parts", "saved")}
            given = {str(day): tuple(row) for day, row in rest.pop("given").items()}
            return cls(plan=CorrectorPlan(**rest.pop("plan")), given=given, **known, **tuples, **rest)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidInput("unreadable bias corrector", got=repr(error), where="BiasCorrector") from error


def bias_corrected(calibration: Calibration, correctors: Mapping[str, BiasCorrector]) -> Calibration:
    """Return the calibration with each area's median offset replaced by its corrector's; other levels stay.

    Args:
        calibration: offsets in shares of the scale.
        correctors: area -> its corrector; areas without one keep their offsets.
    """
    median = calibration.quantiles.index(0.5)
    areas = dict(calibration.areas)
    for area, one in correctors.items():
        table = np.array(areas.get(area, calibration.offsets))
        table[:, median] = one.applied()
        areas[area] = tuple(tuple(row) for row in table.tolist())
    return replace(calibration, areas=dict(sorted(areas.items())))
