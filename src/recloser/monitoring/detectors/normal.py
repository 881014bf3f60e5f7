"""Owns what a series' errors look like while nothing drifts: mean and spread by season, kind of day and channel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recloser.core import FloatArray, InvalidInput
from recloser.monitoring.detectors.day import BLOCKS, DayErrors
from recloser.monitoring.detectors.detector import LEAST_DAYS

LEVEL, SCALE, SHAPE = 0, 1, 2
RAW = 2 + BLOCKS
_KINDS = 3
_RIDGE = 60.0
_ANGLE = 2 * np.pi / 365.25


@dataclass(frozen=True, slots=True)
class Normal:
    """Learnt centre and spread of the ten raw channels: level, log of the absolute error, eight block contrasts.

    Attributes:
        centre: coefficients of kind of day and season, shape (7, 10).
        spread: standard deviation by kind of day, shape (3, 10).
        swell: log spread over the year, first harmonic, shape (2, 10).
        clip: largest standardised value.
    """

    centre: FloatArray
    spread: FloatArray
    swell: FloatArray
    clip: float

    def standardised(self, day: DayErrors) -> FloatArray:
        """Return the ten channels of a day in standard deviations of its kind and season, clipped; NaN if unknown."""
        angle = _ANGLE * day.day.timetuple().tm_yday
        cos, sin = np.cos(angle), np.sin(angle)
        kind = _kind(day)
        season = np.array([cos, sin, 2 * cos * cos - 1, 2 * sin * cos])
        middle = self.centre[kind] + season @ self.centre[_KINDS:]
        wide = self.spread[kind] * np.exp(cos * self.swell[0] + sin * self.swell[1])
        away = (_raw(day) - middle) / wide
        away[LEVEL] /= day.size
        away[SHAPE:] /= day.size
        result: FloatArray = np.minimum(np.maximum(away, -self.clip), self.clip)
        return result

    def level_spread(self, day: DayErrors) -> float:
        """Return one standard deviation of the level on such a day, in shares of the scale."""
        return float(self.spread[_kind(day), LEVEL] * day.size)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready data."""
        return {
            "centre": self.centre.tolist(),
            "spread": self.spread.tolist(),
            "swell": self.swell.tolist(),
            "clip": self.clip,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Normal:
        """Return what `to_dict` wrote.

        Raises:
            InvalidInput: keys are missing or of another shape.
        """
        try:
            centre, spread, swell = (np.asarray(data[key], dtype=float) for key in ("centre", "spread", "swell"))
            clip = float(data["clip"])
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInput("unreadable normal of a detector", got=repr(error), where="Normal") from error
        shapes = (centre.shape, spread.shape, swell.shape)
        if shapes != ((_KINDS + 4, RAW), (_KINDS, RAW), (2, RAW)):
            raise InvalidInput("unreadable normal of a detector", got=shapes, where="Normal")
        return cls(centre, spread, swell, clip)


def fit_normal(history: Sequence[DayErrors], clip: float) -> Normal:
    """Learn centre and spread from days believed free of drift.

    Season and kinds of day are shrunk towards the whole (ridge), since a history of a year has one of each season
    and few holidays; outermost values are drawn in first.

    Raises:
        InvalidInput: fewer than 56 days.
    """
    if len(history) < LEAST_DAYS:
        raise InvalidInput("too little history for a detector", got=len(history), expected=f">= {LEAST_DAYS} days")
    kinds = np.array([_kind(day) for day in history])
    angle = _ANGLE * np.array([day.day.timetuple().tm_yday for day in history])
    season = np.stack([np.cos(angle), np.sin(angle), np.cos(2 * angle), np.sin(2 * angle)], axis=1)
    raw = np.stack([_raw(day) for day in history])
    sizes = np.array([day.size for day in history])
    raw = _drawn_in(raw)
    whole = np.nanmean(raw, axis=0)
    design = np.concatenate([np.eye(_KINDS)[kinds], season * min(1.0, len(history) / 365.0)], axis=1)
    filled = np.where(np.isfinite(raw), raw - whole, 0.0)
    penalty = np.diag([3.0] * _KINDS + [_RIDGE] * 4)
    centre = np.linalg.solve(design.T @ design + penalty, design.T @ filled)
    left = filled - design @ centre
    left[:, LEVEL] /= sizes
    left[:, SHAPE:] /= sizes[:, None]
    centre[:_KINDS] += whole
    return Normal(centre, *_spreads(left, kinds, season[:, :2], np.isfinite(raw)), clip)


def _spreads(
    left: FloatArray, kinds: FloatArray, season: FloatArray, known: FloatArray
) -> tuple[FloatArray, FloatArray]:
    left = np.where(known, left, np.nan)
    whole = np.maximum(np.nanstd(left, axis=0), 1e-6)
    logs = np.log(np.maximum(np.abs(left), 0.05 * whole) / whole)
    logs = np.where(known, logs - np.nanmean(logs, axis=0), 0.0)
    swell = np.linalg.solve(season.T @ season + _RIDGE * np.eye(2), season.T @ logs)
    swell = np.clip(swell, -0.5, 0.5)
    evened = left / np.exp(season @ swell)
    rows = []
    for kind in range(_KINDS):
        own = evened[kinds == kind]
        total = np.nansum(own**2, axis=0) + 10.0 * whole**2
        rows.append(np.sqrt(total / (len(own) + 10.0)))
    return np.stack(rows), swell


def _drawn_in(raw: FloatArray) -> FloatArray:
    low, high = np.nanquantile(raw, [0.02, 0.98], axis=0)
    result: FloatArray = np.clip(raw, low, high)
    return result


def _kind(day: DayErrors) -> int:
    return 2 if day.special else 1 if day.off else 0


def _raw(day: DayErrors) -> FloatArray:
    blocks = np.array(day.blocks)
    known = blocks[np.isfinite(blocks)] if np.isnan(blocks.sum()) else blocks
    level = known.sum() / len(known) if len(known) else np.nan
    result = np.empty(RAW)
    result[LEVEL] = level
    result[SCALE] = np.log(max(day.absolute, 1e-6))
    result[SHAPE:] = blocks - level
    return result
