"""Owns which days of a history a detector learns from. Learns nothing itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recloser.monitoring.detectors.day import DayErrors

BEYOND = 8.0
"""Robust deviations of the daily level from the history's median; no error of a sound forecast was as far off."""
MOST = 0.1
"""Of the days; more of them are not single faults but what the series is like."""


def believed(history: Sequence[DayErrors]) -> list[DayErrors]:
    """Return the days without those whose level no forecast error explains: a feed that was garbage for some days.

    A dozen such days widen the spread that everything later is measured by, and a real change goes unseen for a year
    (docs/benchmarks.md). Deviations are counted in 1.4826 median absolute deviations (Hampel 1974).

    Args:
        history: days, oldest first.
    """
    level = np.array([_level(day) for day in history])
    away = np.abs(level - np.nanmedian(level)) if np.isfinite(level).any() else level
    spread = 1.4826 * float(np.nanmedian(away)) if len(away) else 0.0
    wild = away > BEYOND * spread
    if spread <= 0.0 or wild.mean() > MOST:
        return list(history)
    return [day for day, out in zip(history, wild, strict=True) if not out]


def _level(day: DayErrors) -> float:
    known = [block for block in day.blocks if np.isfinite(block)]
    return sum(known) / len(known) / day.size if known else np.nan
