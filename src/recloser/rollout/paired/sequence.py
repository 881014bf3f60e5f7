"""Owns the fast test on paired days, which may pull traffic and never promote. Decides nothing."""

from __future__ import annotations

import math

import numpy as np

from recloser.core import FloatArray, InvalidInput

LEAST_DAYS = 5
TUNED_DAYS = 7
STAGING_DAYS = 28.0
MOST_CORRELATED = 0.6


def sequence_bounds(
    differences: FloatArray, scale: float, alpha: float, offset_sd: float = 0.0
) -> tuple[FloatArray, FloatArray]:
    """Return the one-sided lower and upper bound of the mean difference after each day, each shape (n_days,).

    Bounds are infinite before LEAST_DAYS days. Asymptotically time-uniform at level alpha for each side. Two mends for
    short and correlated series: the variance of the days is pooled with that of staging, which counts as STAGING_DAYS
    days (a handful of alike days must not look like certainty), and it is raised to the long-run variance by the
    lag-1 correlation seen so far, shrunk towards zero by as many days and never below zero.
    Source: Waudby-Smith et al., Time-uniform central limit theory and asymptotic confidence sequences
    (arXiv 2103.06476), one-sided form; rho is tuned for TUNED_DAYS * 2 days.

    Args:
        differences: daily differences in order, shape (n_days,).
        scale: long-run sd of the daily difference in staging, same unit.
        alpha: level of each side, in (0, 1).
        offset_sd: standard error of what was subtracted from every difference; no number of days makes it smaller.

    Raises:
        InvalidInput: the scale is not positive and finite.
    """
    if not (math.isfinite(scale) and scale > 0):
        raise InvalidInput("the scale of a sequence", got=scale, expected="a positive number", where="sequence")
    count = np.arange(1, differences.shape[0] + 1, dtype=np.float64)
    mean = np.cumsum(differences) / count
    spread = np.sqrt(_long_run_variance(differences, scale) + count * offset_sd**2)
    rho2 = (-2.0 * math.log(alpha) + math.log(1.0 - 2.0 * math.log(alpha))) / (2.0 * TUNED_DAYS)
    inner = count * rho2 + 1.0
    width = spread * np.sqrt(2.0 * inner / (count**2 * rho2) * np.log(1.0 + np.sqrt(inner) / (2.0 * alpha)))
    width = np.where(count < LEAST_DAYS, np.inf, width)
    return mean - width, mean + width


def surely_worse(differences: FloatArray, scale: float, alpha: float, offset_sd: float = 0.0) -> bool:
    """Return whether the latest lower bound lies above 0: reason to pull traffic, not to judge for good."""
    lower, _ = sequence_bounds(differences, scale, alpha, offset_sd)
    return bool(lower.size) and float(lower[-1]) > 0.0


def _long_run_variance(differences: FloatArray, scale: float) -> FloatArray:
    """Return the variance of a day times (1 + r) / (1 - r) after each day, shape (n_days,)."""
    count = np.arange(1, differences.shape[0] + 1, dtype=np.float64)
    mean = np.cumsum(differences) / count
    squares = np.maximum(np.cumsum(differences**2) - count * mean**2, 0.0)
    known = scale**2
    variance = np.maximum((STAGING_DAYS * known + squares) / (STAGING_DAYS + count - 1.0), 0.25 * known)
    products = np.cumsum(np.concatenate([np.zeros(min(1, count.size)), differences[1:] * differences[:-1]]))
    lagged = products - (count - 1.0) * mean**2 + squares / count
    r = np.clip(lagged / (STAGING_DAYS * known + squares), 0.0, MOST_CORRELATED)
    result: FloatArray = variance * (1.0 + r) / (1.0 - r)
    return result
