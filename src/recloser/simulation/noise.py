"""Owns coloured noise: nothing in a simulated grid is white. Draws only from the generator it is given."""

from __future__ import annotations

import numpy as np

from recloser.core import FloatArray


def decay(hours: float, step_h: float) -> float:
    """Return the factor per step of `step_h` hours of something that falls to 1/e in `hours`."""
    return float(np.exp(-step_h / hours))


def remember(inputs: FloatArray, keep: float) -> FloatArray:
    """Return y[t] = inputs[t] + keep * y[t-1] along axis 0.

    Doubling instead of a loop: exact to 1e-12 of the input, elementwise, so equal on every machine.
    """
    result = inputs.copy()
    span = 1
    weight = keep
    while span < len(result) and weight > 1e-12:
        result[span:] += weight * result[:-span].copy()
        span *= 2
        weight *= weight
    return result


def smooth(inputs: FloatArray, keep: float) -> FloatArray:
    """Return the exponential average along axis 0, started at the first row."""
    driven = inputs * (1.0 - keep)
    driven[0] = inputs[0]
    return remember(driven, keep)


def coloured(rng: np.random.Generator, shape: tuple[int, ...], keep: float) -> FloatArray:
    """Return stationary AR(1) noise along axis 0 with unit variance and factor `keep` per step."""
    shocks = rng.standard_normal(shape)
    shocks[1:] *= np.sqrt(1.0 - keep * keep)
    return remember(shocks, keep)
