"""Owns what one model lost day by day, and forecasters that are truly worse. Trains nothing, tests no rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recloser.core import QUANTILES, FloatArray
from recloser.core.scores import crps, ramp_error

EFFECTS = (0.10, 0.20)
HARMS = ("bias", "disturbed", "decayed")
MEMORY = 0.97  # of the disturbance, from one hour to the next
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Side:
    """One model on the days of a pair, per unit of the area's recent level or of a mean loss (`over`).

    Attributes:
        loss: quantile CRPS per point, shape (n_days, n_points).
        error: |median - truth| per point, the same shape.
        ramp: `ramp_error` of each day, shape (n_days,).
    """

    loss: FloatArray
    error: FloatArray
    ramp: FloatArray

    def times(self, factor: float) -> Side:
        """Return the side of the forecaster whose every error is so many times as large; losses scale alike."""
        return Side(factor * self.loss, factor * self.error, factor * self.ramp)

    def over(self, other: Side) -> Side:
        """Return losses and ramp errors over the other's mean loss, errors over its mean error: both of it are one."""
        loss, error = float(other.loss.mean()), float(other.error.mean())
        return Side(self.loss / loss, self.error / error, self.ramp / loss)

    def part(self, days: IntArray) -> Side:
        """Return these days."""
        return Side(self.loss[days], self.error[days], self.ramp[days])


def per_unit(days: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return forecasts of shape (3, n_days, n_points) and truth of shape (n_days, n_points) over the recent level."""
    return days[:3] / days[4], days[3] / days[4]


def side(forecast: FloatArray, truth: FloatArray) -> Side:
    """Return what these forecasts lost."""
    loss = crps(truth.ravel(), forecast.reshape(3, -1).T, QUANTILES).reshape(truth.shape)
    middle = forecast[1]
    ramps = [ramp_error(own, answer) for own, answer in zip(truth, middle, strict=True)]
    return Side(loss, np.abs(middle - truth), np.array(ramps))


def harmed(own: tuple[FloatArray, FloatArray], poor: tuple[FloatArray, FloatArray]) -> dict[tuple[str, float], Side]:
    """Return by kind of harm and effect the same forecaster, harmed until its mean loss is (1 + effect) times as large.

    "bias": a constant is added; "disturbed": a slow random error (AR(1), hourly memory MEMORY) is added; "decayed": the
    forecast moves towards that of a model with too little history and too few trees, beyond it where need be.

    Args:
        own: forecasts and truth, as `per_unit` gives them.
        poor: the poor model's.
    """
    forecast, truth = own
    noise = _slow(truth.shape)
    ways: dict[str, Callable[[float], FloatArray]] = {
        "bias": lambda k: forecast + k,
        "disturbed": lambda k: forecast + k * noise,
        "decayed": lambda k: forecast + 20.0 * k * (poor[0] - forecast),
    }
    healthy = float(side(forecast, truth).loss.mean())
    result: dict[tuple[str, float], Side] = {}
    for name, way in ways.items():
        for effect in EFFECTS:
            low, high = 0.0, 0.3
            for _ in range(20):
                middle = (low + high) / 2.0
                less = _loss(way(middle), truth) < (1.0 + effect) * healthy
                low, high = (middle, high) if less else (low, middle)
            result[name, effect] = side(way(high), truth)
    return result


def _loss(forecast: FloatArray, truth: FloatArray) -> float:
    return float(crps(truth.ravel(), forecast.reshape(3, -1).T, QUANTILES).mean())


def _slow(shape: tuple[int, ...]) -> FloatArray:
    """Return a stationary AR(1) with sd 1 over all points in order."""
    memory = MEMORY ** (24.0 / shape[1])
    fresh = np.random.default_rng(5).standard_normal(shape[0] * shape[1])
    result = np.empty_like(fresh)
    last = 0.0
    for number, step in enumerate(fresh.tolist()):
        last = memory * last + (1.0 - memory**2) ** 0.5 * step
        result[number] = last
    return result.reshape(shape)
