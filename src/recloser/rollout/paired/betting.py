"""Owns the strict tests on paired days: betting from the start, and for a change at an unknown day. Decides nothing."""

from __future__ import annotations

import math

import numpy as np

from recloser.core import FloatArray, InvalidInput

CLIPS = (2.0, 4.0, 8.0)
LAMBDAS = (0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.95)


def wealth(differences: FloatArray, scale: float) -> FloatArray:
    """Return the bettor's wealth after each day against "the mean difference is <= 0", shape (n_days,).

    x = clip(d / (c s), -1, 1); wealth = mean over (c, lambda) of prod(1 + lambda x). It starts at 1 and, while no day
    has a positive expected x, exceeds 1 / alpha at any time with probability <= alpha (Ville), whatever the number
    of looks. Exact for the clipped differences; a heavily skewed difference beyond c s is counted at its clip.
    Source: Choe & Ramdas, Comparing Sequential Forecasters (arXiv 2110.00115), with a mixture over bets.

    Args:
        differences: daily differences in order, shape (n_days,), finite.
        scale: s, long-run sd of the daily difference in the staging backtest, same unit, fixed beforehand.

    Raises:
        InvalidInput: the scale is not positive and finite, or a difference is not finite.
    """
    return np.exp(np.minimum(_mixed(_log_bets(differences, scale)), 700.0))


def wealth_since(differences: FloatArray, scale: float, days: int) -> FloatArray:
    """Return the wealth against "the mean difference is <= 0" when harm may begin on any day, shape (n_days,).

    Half of the money bets from the first day, the rest in equal parts from the 2nd, 3rd, ... up to the day number
    `days`; a part waits as cash until its day. An average of wealth processes, so Ville's bound holds as it stands:
    >= 1 / alpha ever has probability <= alpha while nothing is worse, however long the watch lasts. Good days before
    the change cost a late part nothing.
    Source: the mixture over change times of Shin, Ramdas & Rinaldo, E-detectors (arXiv 2203.03532), normalised.

    Args:
        differences: daily differences in order, shape (n_days,), finite.
        scale: as in `wealth`.
        days: last day, counted from 1, on which a part may start; at least 1.

    Raises:
        InvalidInput: as `wealth`, or `days` is below 1.
    """
    if days < 1:
        raise InvalidInput("the length of a watch", got=days, expected=">= 1 day", where="betting")
    logs = _log_bets(differences, scale)
    first = _mixed(logs)
    if days == 1 or first.size == 0:
        return np.exp(np.minimum(first, 700.0))
    count = first.size
    parts = np.zeros((days - 1, count))
    for start in range(1, min(days, count)):
        parts[start - 1, start:] = _mixed(logs[start:] - logs[start - 1])
    late = np.logaddexp.reduce(parts, axis=0) - math.log(days - 1)
    both: FloatArray = np.exp(np.minimum(np.logaddexp(first, late) - math.log(2.0), 700.0))
    return both


def wealth_worse(differences: FloatArray, scale: float) -> FloatArray:
    """Return the wealth against "the candidate is not worse", shape (n_days,); >= 1 / alpha ever: it is worse."""
    return wealth(differences, scale)


def wealth_good(differences: FloatArray, scale: float, margin: float) -> FloatArray:
    """Return the wealth against "the candidate is `margin` worse or more", shape (n_days,); >= 1 / alpha: it is not."""
    return wealth(margin - differences, scale)


def ever_over(path: FloatArray, alpha: float) -> bool:
    """Return whether the wealth has ever reached 1 / alpha: a rejection, once made, stands."""
    return bool(path.size) and float(path.max()) >= 1.0 / alpha


def _log_bets(differences: FloatArray, scale: float) -> FloatArray:
    """Return the log wealth of every single bet after each day, shape (n_days, n_bets)."""
    if not (math.isfinite(scale) and scale > 0):
        raise InvalidInput("the scale of a betting test", got=scale, expected="a positive number", where="betting")
    if not np.isfinite(differences).all():
        raise InvalidInput("a paired day without a number", expected="finite differences", where="betting")
    clipped = np.clip(differences[:, None] / (np.asarray(CLIPS)[None, :] * scale), -1.0, 1.0)
    logs = np.cumsum(np.log1p(clipped[:, :, None] * np.asarray(LAMBDAS)[None, None, :]), axis=0)
    result: FloatArray = logs.reshape(differences.shape[0], len(CLIPS) * len(LAMBDAS))
    return result


def _mixed(logs: FloatArray) -> FloatArray:
    """Return the log of the mean wealth over bets, shape (n_days,)."""
    if logs.shape[0] == 0:
        return np.empty(0)
    top = logs.max(axis=1)
    result: FloatArray = top + np.log(np.mean(np.exp(logs - top[:, None]), axis=1))
    return result
