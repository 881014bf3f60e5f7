"""Owns the level and spread that a series' channels have had of late, a week behind. Judges nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from recloser.core import FloatArray, InvalidInput
from recloser.monitoring.detectors.normal import RAW

LAG_DAYS = 7
LEARN_DAYS = 14
_LEVEL_KEEP = 0.5 ** (1 / 30)  # half-lives in days, chosen on 2016 and 2012 alone (docs/benchmarks.md)
_SPREAD_KEEP = 0.5 ** (1 / 60)
_CLIP = 3.0


def _zeros() -> FloatArray:
    return np.zeros(RAW)


@dataclass(frozen=True, slots=True, eq=False)
class Recent:
    """Forecast errors wander slowly with weather and season: what counts as sudden is judged from where they are.

    Attributes:
        level, variance: of the standardised channels, exponentially weighted, shape (10,).
        waiting: the last week's standardised days, which do not count yet, so that a change does not hide itself.
        base: level that the last Change left behind, shape (10,).
        learning: days still to be seen after a Change before the new level is known; nothing is judged until then.
    """

    level: FloatArray = field(default_factory=_zeros)
    variance: FloatArray = field(default_factory=lambda: np.ones(RAW))
    waiting: tuple[FloatArray, ...] = ()
    base: FloatArray = field(default_factory=_zeros)
    learning: int = 0

    def counted(self, raw: FloatArray) -> tuple[Recent, FloatArray]:
        """Return the state after a day and the day's channels from the recent level in recent spreads, shape (10,).

        The spread is never taken as less than the history's.
        """
        followed: FloatArray = (raw - self.level) / np.sqrt(np.maximum(self.variance, 1.0))
        waiting = (*self.waiting, raw)
        if self.learning > 1:
            return replace(self, waiting=waiting, learning=self.learning - 1), followed
        if self.learning == 1:
            level = _mean(waiting, self.level)
            return Recent(level, self.variance, waiting[-LAG_DAYS:], level), followed
        if len(waiting) <= LAG_DAYS:
            return replace(self, waiting=waiting), followed
        gone = np.where(np.isfinite(waiting[0]), waiting[0] - self.level, 0.0)
        gone = np.minimum(np.maximum(gone, -_CLIP), _CLIP)
        variance = self.variance + (1 - _SPREAD_KEEP) * (gone * gone - self.variance)
        return Recent(self.level + (1 - _LEVEL_KEEP) * gone, variance, waiting[1:], self.base), followed

    def normal(self) -> FloatArray:
        """Return the level that slow change is measured from: of the history's and the last Change's the nearer one.

        A change that goes away again unsaid leaves no false normal behind.
        """
        nearer: FloatArray = np.where(np.abs(self.level - self.base) <= np.abs(self.level), self.base, 0.0)
        return nearer

    def moved(self) -> Recent:
        """Return the state after a Change: it learns the new level from the coming fortnight."""
        return replace(self, waiting=(), learning=LEARN_DAYS)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready data; an unknown channel is null."""
        rows = [[None if np.isnan(z) else float(z) for z in day] for day in self.waiting]
        fixed = {name: getattr(self, name).tolist() for name in ("level", "variance", "base")}
        return {**fixed, "waiting": rows, "learning": self.learning}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Recent:
        """Return what `to_dict` wrote.

        Raises:
            InvalidInput: keys are missing or of another shape.
        """
        try:
            level, variance, base = (np.asarray(data[name], dtype=float) for name in ("level", "variance", "base"))
            waiting = tuple(np.array([np.nan if z is None else z for z in day], dtype=float) for day in data["waiting"])
            learning = int(data["learning"])
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInput("unreadable recent level of a detector", got=repr(error), where="Recent") from error
        if any(part.shape != (RAW,) for part in (level, variance, base, *waiting)):
            raise InvalidInput("unreadable recent level of a detector", expected=str(RAW), where="Recent")
        return cls(level, variance, waiting, base, learning)


def _mean(days: tuple[FloatArray, ...], otherwise: FloatArray) -> FloatArray:
    table = np.stack(days)
    count = np.isfinite(table).sum(axis=0)
    result: FloatArray = np.where(count > 0, np.nan_to_num(table).sum(axis=0) / np.maximum(count, 1), otherwise)
    return result
