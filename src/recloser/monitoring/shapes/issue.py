"""Owns the shape of one area's issue beside the other model's: level, amplitude, lag. Knows no fleet and no staging."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from recloser.core import FloatArray

FLAT = 0.01  # of the recent level: a forecast that moves less than this moves as little as one that does not
FAR = 1e3  # from any other forecast
STILL = 0.001  # one number all day
MOST_LAG_H = 6
NEAR = 0.2  # of the champion's amplitude: so near as it is, no other lag is looked for; an hour off is further
LIKE = 0.5  # of the champion's amplitude: so near must the shifted forecast come to be called a shifted forecast


@dataclass(frozen=True, slots=True)
class IssueShape:
    """How one forecast of an area lies beside the other model's of the same target times.

    Attributes:
        level: mean of (candidate - champion), per unit of the area's recent level.
        amplitude: log ratio of the standard deviations over the issue, each at least FLAT;
            -FAR for one number all day where the champion moves.
        lag_h: hours by which the candidate must be moved to fit the champion best; 0 where no move helps.
        gain: log ratio of the distance as it is to the distance when moved by `lag_h`; 0 with a lag of 0.
    """

    level: float
    amplitude: float
    lag_h: float
    gain: float


def issue_shape(candidate: FloatArray, champion: FloatArray, per_hour: int) -> IssueShape:
    """Return the shape of one issue. Not-a-number in the candidate makes it FAR away.

    Args:
        candidate: median forecasts in order, per unit of the area's recent level, shape (n_points,).
        champion: the other model's, finite.
        per_hour: points an hour; 0 for points more than an hour apart, where lags are not looked for.
    """
    if not np.isfinite(candidate).all():
        return IssueShape(FAR, FAR, 0.0, 0.0)
    level = float((candidate - champion).mean())
    moves, usual = float(candidate.std()), max(float(champion.std()), FLAT)
    amplitude = -FAR if moves < STILL <= usual - FLAT else math.log(max(moves, FLAT) / usual)
    lag_h, gain = _lag(candidate, champion, per_hour)
    return IssueShape(level, amplitude, lag_h, gain)


def points_an_hour(targets: Sequence[datetime]) -> int:
    """Return how many of these target times, in order and evenly spaced, lie in an hour; 0 where they lie further."""
    if len(targets) < 2:
        return 0
    return int(timedelta(hours=1) / (targets[1] - targets[0]))


def _lag(candidate: FloatArray, champion: FloatArray, per_hour: int) -> tuple[float, float]:
    most, swing = MOST_LAG_H * per_hour, float(champion.std())
    if most < 1 or candidate.size <= 2 * most or swing < FLAT or _distance(candidate, champion, 0) < NEAR * swing:
        return 0.0, 0.0
    far = {move: _distance(candidate, champion, move) for move in range(-most, most + 1)}
    best = min(far, key=lambda move: (far[move], abs(move)))
    if abs(best) < per_hour or far[best] > LIKE * swing:
        return 0.0, 0.0
    return best / per_hour, math.log(far[0] / max(far[best], 1e-9))


def _distance(candidate: FloatArray, champion: FloatArray, move: int) -> float:
    """Return the sd of the difference between candidate moved back by `move` points and champion, where both exist."""
    count = candidate.size
    moved = candidate[max(0, move) : count + min(0, move)]
    still = champion[max(0, -move) : count + min(0, -move)]
    return float((moved - still).std())
