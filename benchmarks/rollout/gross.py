"""Owns gross faults against the label-free guard (T1): what it catches on the first forecast, and how often it errs."""

from __future__ import annotations

import numpy as np
from pairs import Pair

from recloser.app.loop.control_loop import T1_FACTOR, T1_LEVEL_FACTOR, T1_LEVEL_LEAST, longest_exceedance
from recloser.core import FloatArray

STAGING_DAYS = 56
FAULTS = {
    "x 1000": lambda level: level * 1000.0,
    "sign flipped": lambda level: -level,
    "zero": lambda level: level * 0.0,
    "one number all day": lambda level: np.full_like(level, level[0]),
    "shifted by 6 points": lambda level: np.roll(level, 6),
    "20 % too high": lambda level: level * 1.2,
    "10 % too high": lambda level: level * 1.1,
    "5 % too high": lambda level: level * 1.05,
}


def gross(pairs: list[Pair]) -> tuple[list[tuple[str, float]], float]:
    """Return the share of forecasts on which each fault is caught at once, and false trips per 56-day canary.

    Each pair's limits come from its first 56 days, as staging sets them; the forecasts are those of all later days.
    """
    caught: dict[str, list[bool]] = {name: [] for name in FAULTS}
    false: list[bool] = []
    for pair in pairs:
        gap = pair.candidate_level - pair.champion_level
        step = T1_FACTOR * float(np.quantile(np.abs(gap[:STAGING_DAYS]), 0.999))
        usual = float(np.quantile(np.abs(gap[:STAGING_DAYS].mean(axis=1)), 0.9))
        level = max(T1_LEVEL_LEAST, T1_LEVEL_FACTOR * usual)
        steps = max(2, 3 * gap.shape[1] // 24)
        for day in range(STAGING_DAYS, len(gap)):
            false.append(_trips(gap[day], step, steps, level))
            for name, broken in FAULTS.items():
                odd = broken(pair.candidate_level[day]) - pair.champion_level[day]
                caught[name].append(_trips(odd, step, steps, level))
    per_canary = 1.0 - (1.0 - float(np.mean(false))) ** 56
    return [(name, float(np.mean(found))) for name, found in caught.items()], per_canary


def _trips(gap: FloatArray, step: float, steps: int, level: float) -> bool:
    return longest_exceedance(np.abs(gap).tolist(), step) >= steps or not abs(float(gap.mean())) <= level
