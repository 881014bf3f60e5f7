"""Owns gross faults against the label-free guard (T1): what it catches on the first forecast, and how often it errs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from pairs import Pair

from recloser.app.loop.control_loop import T1_FACTOR, longest_exceedance
from recloser.core import FloatArray
from recloser.monitoring.shapes.fleet import Usual, odd_issue, usual_of
from recloser.monitoring.shapes.issue import issue_shape

STAGING_DAYS, FITS, EVERY = 56, 4, 5
AREA = "area"
FAULTS: dict[str, Callable[[FloatArray, int], FloatArray]] = {
    "x 1000": lambda level, _hour: level * 1000.0,
    "/ 1000": lambda level, _hour: level / 1000.0,
    "sign flipped": lambda level, _hour: -level,
    "zero": lambda level, _hour: level * 0.0,
    "one number all day": lambda level, _hour: np.full_like(level, level[0]),
    "an hour late": np.roll,
    "an hour early": lambda level, hour: np.roll(level, -hour),
    "two hours late": lambda level, hour: np.roll(level, 2 * hour),
    "six hours late": lambda level, hour: np.roll(level, 6 * hour),
    "20 % too high": lambda level, _hour: level * 1.2,
    "20 % too low": lambda level, _hour: level * 0.8,
    "10 % too high": lambda level, _hour: level * 1.1,
    "5 % too high": lambda level, _hour: level * 1.05,
}


def gross(pairs: list[Pair]) -> tuple[list[tuple[str, float]], float, int]:
    """Return the share of forecasts on which each fault is caught at once, false trips per model-month, and days.

    Each fit of a pair has its own limits, from the first 56 of its days, as staging sets them; the forecasts are those
    of its later days, for the faults every fifth of them.
    """
    caught: dict[str, list[bool]] = {name: [] for name in FAULTS}
    false: list[bool] = []
    for pair in pairs:
        fit = len(pair.candidate_level) // FITS
        hour = pair.candidate_level.shape[1] // 24
        for begin in range(0, FITS * fit, fit):
            mine, theirs = (side[begin : begin + fit] for side in (pair.candidate_level, pair.champion_level))
            guard = Guard(mine[:STAGING_DAYS], theirs[:STAGING_DAYS])
            for day in range(STAGING_DAYS, fit):
                false.append(guard.trips(mine[day], theirs[day]))
                if day % EVERY == 0:
                    for name, broken in FAULTS.items():
                        caught[name].append(guard.trips(broken(mine[day], hour), theirs[day]))
    return [(name, float(np.mean(found))) for name, found in caught.items()], 30.0 * float(np.mean(false)), len(false)


class Guard:
    """T1 of one area with the limits that these staging days give; medians per unit of level, (n_days, n_points)."""

    def __init__(self, candidate: FloatArray, champion: FloatArray) -> None:
        self.hour = candidate.shape[1] // 24
        self.step = T1_FACTOR * float(np.quantile(np.abs(candidate - champion), 0.999))
        self.steps = max(2, 3 * self.hour)
        usual = usual_of([{AREA: issue_shape(a, b, self.hour)} for a, b in zip(candidate, champion, strict=True)])
        assert usual is not None
        self.usual: Usual = usual

    def trips(self, candidate: FloatArray, champion: FloatArray) -> bool:
        """Return whether one issue trips, by single steps or by its shape."""
        far = longest_exceedance(np.abs(candidate - champion).tolist(), self.step) >= self.steps
        return far or bool(odd_issue({AREA: issue_shape(candidate, champion, self.hour)}, self.usual))
