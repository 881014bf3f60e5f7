"""Owns the sequential tests on paired days: strict betting and the fast asymptotic sequence. Decides nothing."""

from __future__ import annotations

import math

import numpy as np

from recloser.core import FloatArray, InvalidInput

CLIPS = (2.0, 4.0, 8.0)
LAMBDAS = (0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.95)
LEAST_DAYS = 7


def wealth(differences: FloatArray, scale: float) -> FloatArray:
    """Return the bettor's wealth after each day against "the mean difference is <= 0", shape (n_days,).

    x = clip(d / (c s), -1, 1); wealth = mean over (c, lambda) of prod(1 + lambda x). It starts at 1 and, while the
    hypothesis holds, exceeds 1 / alpha at any time with probability <= alpha (Ville), whatever the number of looks.
    Exact for the clipped differences; a heavily skewed difference beyond c s is counted at its clip.
    Source: Choe & Ramdas, Comparing Sequential Forecasters (arXiv 2110.00115), with a mixture over bets.

    Args:
        differences: daily differences in order, shape (n_days,), finite.
        scale: s, sd of the daily difference in the staging backtest, same unit, fixed beforehand.

    Raises:
        InvalidInput: the scale is not positive and finite, or a difference is not finite.
    """
    if not (math.isfinite(scale) and scale > 0):
        raise InvalidInput("the scale of a betting test", got=scale, expected="a positive number", where="betting")
    if not np.isfinite(differences).all():
        raise InvalidInput("a paired day without a number", expected="finite differences", where="betting")
    clipped = np.clip(differences[:, None] / (np.asarray(CLIPS)[None, :] * scale), -1.0, 1.0)
    logs = np.cumsum(np.log1p(clipped[:, :, None] * np.asarray(LAMBDAS)[None, None, :]), axis=0)
    flat = logs.reshape(differences.shape[0], len(CLIPS) * len(LAMBDAS))
    if flat.shape[0] == 0:
        return np.empty(0)
    top = flat.max(axis=1)
    log_wealth = top + np.log(np.mean(np.exp(flat - top[:, None]), axis=1))
    result: FloatArray = np.exp(np.minimum(log_wealth, 700.0))
    return result


def wealth_worse(differences: FloatArray, scale: float) -> FloatArray:
    """Return the wealth against "the candidate is not worse", shape (n_days,); >= 1 / alpha ever: it is worse."""
    return wealth(differences, scale)


def wealth_good(differences: FloatArray, scale: float, margin: float) -> FloatArray:
    """Return the wealth against "the candidate is `margin` worse or more", shape (n_days,); >= 1 / alpha: it is not."""
    return wealth(margin - differences, scale)


def ever_over(path: FloatArray, alpha: float) -> bool:
    """Return whether the wealth has ever reached 1 / alpha: a rejection, once made, stands."""
    return bool(path.size) and float(path.max()) >= 1.0 / alpha


def sequence_bounds(differences: FloatArray, scale: float, alpha: float) -> tuple[FloatArray, FloatArray]:
    """Return the one-sided lower and upper bound of the mean difference after each day, each shape (n_days,).

    Bounds are infinite before LEAST_DAYS days. Asymptotically time-uniform at level alpha for each side; measured
    false alarms are 4-9 % per canary, so it may pull traffic and never promote. The sample sd is floored at half of
    the staging scale: a handful of alike days must not look like certainty.
    Source: Waudby-Smith et al., Time-uniform central limit theory and asymptotic confidence sequences
    (arXiv 2103.06476), one-sided form; rho is tuned for LEAST_DAYS * 2 days.

    Raises:
        InvalidInput: the scale is not positive and finite.
    """
    if not (math.isfinite(scale) and scale > 0):
        raise InvalidInput("the scale of a sequence", got=scale, expected="a positive number", where="betting")
    count = np.arange(1, differences.shape[0] + 1, dtype=np.float64)
    mean = np.cumsum(differences) / count
    spread = np.sqrt(np.maximum(np.cumsum(differences**2) / count - mean**2, 0.0))
    spread = np.maximum(spread * np.sqrt(count / np.maximum(count - 1.0, 1.0)), 0.5 * scale)
    rho2 = (-2.0 * math.log(alpha) + math.log(1.0 - 2.0 * math.log(alpha))) / (2.0 * LEAST_DAYS)
    inner = count * rho2 + 1.0
    width = spread * np.sqrt(2.0 * inner / (count**2 * rho2) * np.log(1.0 + np.sqrt(inner) / (2.0 * alpha)))
    width = np.where(count < LEAST_DAYS, np.inf, width)
    return mean - width, mean + width


def surely_worse(differences: FloatArray, scale: float, alpha: float) -> bool:
    """Return whether the latest lower bound lies above 0: reason to pull traffic, not to judge for good."""
    lower, _ = sequence_bounds(differences, scale, alpha)
    return bool(lower.size) and float(lower[-1]) > 0.0
