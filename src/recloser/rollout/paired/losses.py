"""Owns what a forecast or an alarm costs on one point, for the pairing of two models. Knows no day and no area."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from recloser.core import FloatArray, InvalidInput
from recloser.core.scores import crps

Loss = Callable[[FloatArray, FloatArray], FloatArray]
"""(truth of shape (n_rows,), answers of shape (n_rows, n_columns)) -> loss per row, shape (n_rows,); smaller is better.

Only finite rows are asked about. A detector answers one column, the probability of the event; its truth is 0 or 1.
"""


def quantile_loss(quantiles: tuple[float, ...]) -> Loss:
    """Return the quantile form of the CRPS (core.scores.crps) at these levels, in the unit of the truth."""

    def loss(truth: FloatArray, answer: FloatArray) -> FloatArray:
        return crps(truth, answer, quantiles)

    return loss


def brier_loss(truth: FloatArray, answer: FloatArray) -> FloatArray:
    """Return (probability - event)^2 per row, in [0, 1]; proper, and bounded, which rare events need.

    Source: Brier (1950), Monthly Weather Review 78.

    Raises:
        InvalidInput: not one probability in [0, 1] a row, or a truth other than 0 and 1.
    """
    _require_detector(truth, answer)
    result: FloatArray = (answer[:, 0] - truth) ** 2
    return result


def log_loss(floor: float) -> Loss:
    """Return the loss -log(probability given to what happened), probabilities kept within [floor, 1 - floor].

    The floor bounds one missed event at -log(floor): without it a single event decides about a model.

    Raises:
        InvalidInput: the floor is not in (0, 0.5); the loss itself: as `brier_loss`.
    """
    if not 0.0 < floor < 0.5:
        raise InvalidInput("the floor of a log loss", got=floor, expected="in (0, 0.5)", where="losses")

    def loss(truth: FloatArray, answer: FloatArray) -> FloatArray:
        _require_detector(truth, answer)
        given = np.clip(answer[:, 0], floor, 1.0 - floor)
        result: FloatArray = -np.log(np.where(truth > 0.5, given, 1.0 - given))
        return result

    return loss


def alarm_cost(threshold: float, miss: float, false_alarm: float) -> Loss:
    """Return the cost of alarms raised at probability >= threshold: per missed event and per false alarm.

    Right alarms and right silence cost nothing. Any unit of cost, the same for both.

    Raises:
        InvalidInput: a cost that is negative or not finite, or both 0; the loss itself: as `brier_loss`.
    """
    if not (min(miss, false_alarm) >= 0.0 and 0.0 < max(miss, false_alarm) < np.inf):
        raise InvalidInput("costs of alarms", got=[miss, false_alarm], expected=">= 0, one > 0", where="losses")

    def loss(truth: FloatArray, answer: FloatArray) -> FloatArray:
        _require_detector(truth, answer)
        alarm, event = answer[:, 0] >= threshold, truth > 0.5
        result: FloatArray = miss * (event & ~alarm) + false_alarm * (alarm & ~event)
        return result

    return loss


def _require_detector(truth: FloatArray, answer: FloatArray) -> None:
    inside = answer.ndim == 2 and answer.shape[1] == 1 and bool(((answer >= 0.0) & (answer <= 1.0)).all())
    if not inside or not np.isin(truth, (0.0, 1.0)).all():
        raise InvalidInput(
            "answers of a detector",
            got=list(answer.shape),
            expected="one probability a row, truth 0 or 1",
            where="losses",
        )
