"""Owns the rules that are compared: ours as the package has them, and those of others. Draws no samples.

A rule gets one canary and returns the day (from 1) on which it acts, infinity for never.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from recloser.core import FloatArray
from recloser.core.scores import joint_scale, long_run_sd, ratio_scale
from recloser.rollout import RolloutPlan
from recloser.rollout.paired.betting import wealth_good, wealth_worse
from recloser.rollout.paired.fast import levels
from recloser.rollout.paired.sequence import sequence_bounds

PLAN = RolloutPlan()
NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class Canary:
    """One canary: what it and the champion lost, and what staging had measured of the same pair on other days.

    Attributes:
        candidate, champion: CRPS per point, shape (n_days, n_points).
        candidate_error, champion_error: absolute error per point, the same shape.
        candidate_ramp, champion_ramp: ramp error per day, shape (n_days,).
        staging: both models' daily losses in staging, candidate first, shape (2, n_staging_days).
        staging_ramp: their ramp errors, the same shape.
        staging_error: the champion's mean absolute error in staging.
        draw: for rules that split the traffic at random.
    """

    candidate: FloatArray
    champion: FloatArray
    candidate_error: FloatArray
    champion_error: FloatArray
    candidate_ramp: FloatArray
    champion_ramp: FloatArray
    staging: FloatArray
    staging_ramp: FloatArray
    staging_error: float
    draw: np.random.Generator

    @property
    def days(self) -> FloatArray:
        """Paired daily differences, shape (n_days,)."""
        result: FloatArray = (self.candidate - self.champion).mean(axis=1)
        return result

    @property
    def scale(self) -> float:
        """Long-run sd of the daily difference in staging."""
        return long_run_sd(self.staging[0] - self.staging[1])


Rule = Callable[[Canary], float]


def pulled(canary: Canary) -> float:
    """Ours: the fast tests pull the traffic, on losses mixed with ramp errors or on losses alone."""
    joint, losses_alone = levels(PLAN.pull_alpha)
    return min(_by_joint(canary, joint), pulled_by_losses(canary, losses_alone))


def _by_joint(canary: Canary, alpha: float) -> float:
    scale = joint_scale((canary.staging[0], canary.staging[1]), (canary.staging_ramp[0], canary.staging_ramp[1]))
    if scale is None:
        return NEVER
    ratio = np.log(canary.candidate.mean(axis=1) / canary.champion.mean(axis=1))
    ramp = np.log(canary.candidate_ramp / canary.champion_ramp)
    x = (1.0 - scale.weight) * (ratio - scale.loss_offset) + scale.weight * (ramp - scale.ramp_offset)
    low = sequence_bounds(x, scale.sd, alpha, scale.offset_sd)[0]
    return _first((low > 0) & (np.cumsum(canary.days) > 0))


def pulled_by_losses(canary: Canary, alpha: float = PLAN.pull_alpha) -> float:
    """Ours, where staging gave no ramp errors: the fast sequence on log ratios of losses."""
    scale = ratio_scale(*canary.staging)
    if scale is None:
        return pulled_by_differences(canary)
    x = np.log(canary.candidate.mean(axis=1) / canary.champion.mean(axis=1)) - scale.offset
    low = sequence_bounds(x, scale.sd, alpha, scale.offset_sd)[0]
    return _first((low > 0) & (np.cumsum(canary.days) > 0))


def pulled_by_differences(canary: Canary) -> float:
    """Ours, where staging gave no ratio: the fast sequence on plain differences."""
    return _first(sequence_bounds(canary.days, canary.scale, PLAN.pull_alpha)[0] > 0)


def tripped(canary: Canary) -> float:
    """Ours: strict betting ends the rollout."""
    return _first(wealth_worse(canary.days, canary.scale) >= 1.0 / PLAN.trip_alpha)


def either(canary: Canary) -> float:
    """Ours: whichever of both comes first."""
    return min(pulled(canary), tripped(canary))


def promoted(canary: Canary) -> float:
    """Ours: strict betting promotes, unless the traffic was pulled or the rollout ended before."""
    good = _first(wealth_good(canary.days, canary.scale, PLAN.margin) >= 1.0 / PLAN.alpha)
    return good if good < tripped(canary) else NEVER


def static_threshold(canary: Canary) -> float:
    """As templates for progressive delivery have it: the canary's MAE of a day above 1.2 times the historical MAE."""
    return _first(canary.candidate_error.mean(axis=1) > 1.2 * canary.staging_error)


def mann_whitney(canary: Canary) -> float:
    """Unpaired Mann-Whitney on a 50 % split, one-sided 5 %, looked at every day."""
    mine, theirs, day = _split(canary)
    for last in range(1, len(canary.candidate) + 1):
        if _rank_z(mine[day[0] < last], theirs[day[1] < last]) > 1.645:
            return float(last)
    return NEVER


def kayenta(canary: Canary) -> float:
    """Kayenta's Mann-Whitney classifier: lower end of the 98 % interval of the shift above 0.25 of its estimate.

    Looked at weekly; interval and estimate by Hodges and Lehmann. Source: the classifier's published defaults.
    """
    mine, theirs, day = _split(canary)
    for last in range(7, len(canary.candidate) + 1, 7):
        x, y = mine[day[0] < last], theirs[day[1] < last]
        spread = np.sqrt(x.size * y.size * (x.size + y.size + 1) / 12.0)
        low, middle = max(0, int(x.size * y.size / 2 - 2.326 * spread)), x.size * y.size // 2
        shifts = np.partition(np.subtract.outer(x, y), (low, middle), axis=None)
        if shifts[low] > 0.25 * abs(shifts[middle]):
            return float(last)
    return NEVER


def hourly_t(canary: Canary) -> float:
    """Paired t-test on single points, one-sided 5 %, looked at after every point from the second day on."""
    gap = (canary.candidate - canary.champion).ravel()
    count, mean, spread = _running(gap)
    per_day = canary.candidate.shape[1]
    return _first_point((mean > 1.645 * spread / np.sqrt(count)) & (count > per_day), per_day)


def hourly_sequence(canary: Canary) -> float:
    """Always-valid confidence sequence, level 5 %, on single points as if they were independent."""
    gap = (canary.candidate - canary.champion).ravel()
    count, mean, spread = _running(gap)
    rho2 = (-2.0 * np.log(0.05) + np.log(1.0 - 2.0 * np.log(0.05))) / (7.0 * canary.candidate.shape[1])
    inner = count * rho2 + 1.0
    width = spread * np.sqrt(2.0 * inner / (count**2 * rho2) * np.log(1.0 + np.sqrt(inner) / 0.1))
    per_day = canary.candidate.shape[1]
    return _first_point((mean > width) & (count > per_day), per_day)


RULES: dict[str, Rule] = {
    "ours: fast tests pull traffic": pulled,
    "ours: the same on losses alone": pulled_by_losses,
    "ours: strict betting ends it": tripped,
    "ours: either": either,
    "static threshold, MAE of a day > 1.2 x historical": static_threshold,
    "unpaired Mann-Whitney, daily peeks": mann_whitney,
    "Kayenta's rule, weekly": kayenta,
    "paired t, hourly peeks": hourly_t,
    "always-valid, hourly as if independent": hourly_sequence,
}

OURS = {name: rule for name, rule in RULES.items() if name.startswith("ours")}


def _first(hits: np.ndarray) -> float:
    return float(hits.argmax()) + 1.0 if hits.any() else NEVER


def _first_point(hits: np.ndarray, per_day: int) -> float:
    return float(hits.argmax() // per_day) + 1.0 if hits.any() else NEVER


def _running(gap: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    count = np.arange(1, gap.size + 1, dtype=np.float64)
    mean = np.cumsum(gap) / count
    spread = np.sqrt(np.maximum(np.cumsum(gap**2) / count - mean**2, 1e-12))
    return count, mean, spread


def _split(canary: Canary) -> tuple[FloatArray, FloatArray, tuple[np.ndarray, np.ndarray]]:
    """Give every point to one of both at random; return their errors and the days of them."""
    to_canary = canary.draw.random(canary.candidate_error.shape) < 0.5
    day = np.broadcast_to(np.arange(len(to_canary))[:, None], to_canary.shape)
    parts = day[to_canary], day[~to_canary]
    return canary.candidate_error[to_canary], canary.champion_error[~to_canary], parts


def _rank_z(x: FloatArray, y: FloatArray) -> float:
    ranks = np.empty(x.size + y.size)
    ranks[np.argsort(np.concatenate([x, y]))] = np.arange(1, x.size + y.size + 1)
    u = float(ranks[: x.size].sum()) - x.size * (x.size + 1) / 2.0
    return (u - x.size * y.size / 2.0) / float(np.sqrt(x.size * y.size * (x.size + y.size + 1) / 12.0))
