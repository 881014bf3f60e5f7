"""Owns an estimate of the error while truth is missing, from the width of the intervals. It is not a measurement."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recloser.core import FloatArray, InvalidInput

LEAST_DAYS = 28


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the mean absolute error probably is, in shares of the scale. Blind to a relation that has changed.

    Attributes:
        absolute: the estimate.
        low, high: 80 % range, from how far such estimates were off on past days.
        rows: forecasts it rests on.
        measured: always False; a number made without truth is never shown as one made with it.
    """

    absolute: float
    low: float
    high: float
    rows: int
    measured: bool = False


@dataclass(frozen=True, slots=True)
class LossEstimator:
    """Absolute error per width of the interval, as learnt on days with truth.

    Attributes:
        ratio: mean absolute error over mean width.
        low, high: 10 % and 90 % quantiles over past days of (day's error / day's estimate).
        days: how many.
    """

    ratio: float
    low: float
    high: float
    days: int

    def estimate(self, widths: FloatArray) -> Estimate | None:
        """Return the estimate for forecasts without truth, None if there are none.

        Args:
            widths: upper minus lower quantile in shares of the scale, shape (n_rows,); NaN where unanswered.
        """
        known = widths[np.isfinite(widths)]
        if not len(known):
            return None
        middle = self.ratio * float(known.mean())
        return Estimate(middle, middle * self.low, middle * self.high, len(known))


def fit_estimator(days: FloatArray, widths: FloatArray, errors: FloatArray) -> LossEstimator:
    """Learn how wide intervals go with large errors, on rows with truth.

    A model that states its own spread says how hard a day is, so the expected loss follows the width (direct loss
    estimation in the manner of NannyML's DLE, with the model's own interval in place of a second model). What it
    cannot see is a relation that has changed: the intervals do not know. The drift detectors look for that.

    Args:
        days: number of each row's day, shape (n_rows,).
        widths: upper minus lower quantile in shares of the scale, shape (n_rows,).
        errors: absolute errors of the median in shares of the scale, shape (n_rows,); NaN where truth is missing.

    Raises:
        InvalidInput: the shapes differ, or fewer than 28 days with truth.
    """
    if not days.shape == widths.shape == errors.shape:
        raise InvalidInput("days, widths and errors differ in shape", got=(days.shape, widths.shape, errors.shape))
    known = np.isfinite(widths) & np.isfinite(errors)
    names, place = np.unique(days[known], return_inverse=True)
    if len(names) < LEAST_DAYS:
        raise InvalidInput("too few days with truth", got=len(names), expected=f">= {LEAST_DAYS}")
    count = np.bincount(place)
    width, error = (np.bincount(place, part[known]) / count for part in (widths, errors))
    ratio = float(error.mean() / max(float(width.mean()), 1e-12))
    off = error / np.maximum(ratio * width, 1e-12)
    return LossEstimator(ratio, float(np.quantile(off, 0.1)), float(np.quantile(off, 0.9)), len(names))
