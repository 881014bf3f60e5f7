"""Owns the false-alarm budget: what a series' own history exceeds at the budget's rate. Detects nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recloser.core import FloatArray

DAYS_OF_YEAR = 365


@dataclass(frozen=True, slots=True)
class Resampling:
    """How years are drawn from a history.

    Attributes:
        years: how many.
        block_days: length of the blocks; long enough to keep the errors' autocorrelation.
        seed: of the draw.
    """

    years: int = 300
    block_days: int = 28
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Tail:
    """How high the largest sum of a quiet year gets: the decile of the highest years, and how fast it thins out above.

    Attributes:
        tops: largest sums of the drawn years at the levels of `LEVELS`, ascending.
    """

    tops: tuple[float, ...]

    def limit(self, alarms_per_year: float) -> float:
        """Return what the budget's share of years exceeds: a rate r leaves exp(-r) of them quiet; undoes `chance`."""
        quiet = float(np.exp(-alarms_per_year))
        if quiet <= LEVELS[-1]:
            return float(np.interp(quiet, LEVELS, self.tops))
        return self.tops[-1] + self._pace() * float(np.log((1.0 - LEVELS[-1]) / -np.expm1(-alarms_per_year)))

    def chance(self, reached: float) -> float:
        """Return the share of quiet years that get as high as `reached`; beyond the drawn ones it falls as before."""
        tops = self.tops
        if reached <= tops[-1]:
            return max(1.0 - float(np.interp(reached, tops, LEVELS, left=0.0)), 1.0 - LEVELS[-1])
        return float((1.0 - LEVELS[-1]) * np.exp(-(reached - tops[-1]) / self._pace()))

    def _pace(self) -> float:
        """Return by how much more the highest years get each time their share falls by a factor of e."""
        fall = float(np.log((1 - LEVELS[_TENTH]) / (1 - LEVELS[-1])))
        return max((self.tops[-1] - self.tops[_TENTH]) / fall, 1e-6)


LEVELS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.925, 0.95, 0.965, 0.98, 0.99)
_TENTH = LEVELS.index(0.9)


def tail_of(tops: FloatArray) -> Tail:
    """Return the tail of the largest sums of many quiet years, shape (n_years,)."""
    return Tail(tuple(np.maximum.accumulate(np.quantile(tops, LEVELS) + 1e-9).tolist()))


def drawn_years(scores: FloatArray, how: Resampling, *, follows: bool = False) -> tuple[FloatArray, FloatArray]:
    """Return years of standardised scores, shape (n_years, 365, n_channels): by block bootstrap, and by AR(1).

    One history holds few long excursions, and blocks cannot make longer ones: the AR(1) of each channel can. Every
    year's mean is shifted, and the AR(1)'s coefficient and spread raised, by the standard error that a history of
    that length has. Source: Kunsch (1989), block bootstrap.

    Args:
        scores: the history, shape (n_days, n_channels); NaN counts as zero.
        how: number of years, blocks, seed.
        follows: the scores follow their own recent level, so that no year's mean is unsure.
    """
    rng = np.random.default_rng(how.seed)
    known = np.nan_to_num(scores)
    count, channels = known.shape
    centred = known - known.mean(axis=0)
    total = np.maximum((centred**2).sum(axis=0), 1e-12)
    phi = np.clip((centred[1:] * centred[:-1]).sum(axis=0) / total, 0.0, 0.9)
    spread = centred.std(axis=0)
    unsure = spread * np.sqrt((1 + phi) / (1 - phi) / count)
    shift = rng.standard_normal((how.years, 1, channels)) * (0.0 if follows else unsure)
    starts = rng.integers(0, count, size=(how.years, -(-DAYS_OF_YEAR // how.block_days)))
    index = (starts[:, :, None] + np.arange(how.block_days)) % count
    drawn = known[index.reshape(how.years, -1)[:, :DAYS_OF_YEAR]] + shift
    strong = np.minimum(phi + np.sqrt((1 - phi * phi) / count), 0.95)
    wide = spread * (1 + np.sqrt((1 + phi * phi) / (1 - phi * phi) / (2 * count)))
    error = rng.standard_normal((DAYS_OF_YEAR, how.years, channels))
    for day in range(1, DAYS_OF_YEAR):
        error[day] = strong * error[day - 1] + np.sqrt(1 - strong * strong) * error[day]
    made = np.swapaxes(error, 0, 1) * wide + shift
    top = np.abs(known).max(axis=0)
    return drawn, np.clip(made, -top, top)


def yearly_tops(years: FloatArray, slack: float, clip: float, *, rising: bool = False) -> FloatArray:
    """Return the highest CUSUM of each year over all its channels, shape (n_years,).

    Source: Page (1954), Continuous Inspection Schemes.

    Args:
        years: standardised scores, shape (n_years, n_days, n_channels).
        slack: daily allowance.
        clip: largest daily value.
        rising: only growth counts.
    """
    high = np.zeros((years.shape[0], years.shape[2]))
    low, top = high.copy(), high.copy()
    for day in np.swapaxes(np.clip(years, -clip, clip), 0, 1):
        high = np.maximum(0.0, high + day - slack)
        if not rising:
            low = np.maximum(0.0, low - day - slack)
        top = np.maximum(top, np.maximum(high, low))
    result: FloatArray = top.max(axis=1)
    return result
