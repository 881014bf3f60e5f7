"""Owns the numbers that describe a window of phasors to an event detector: few, physical, for any number of PMUs.

Sources: rate of change of frequency and its reading over a window, IEEE C37.118.1-2011; the common movement of many
PMUs against that of one, Xie, Chen & Kumar (2014), IEEE Trans. Power Syst. 29(6), Dimensionality Reduction and Early
Event Detection Using Online Synchrophasor Data; bands of electromechanical modes and ring-down against ambient,
Identification of Electromechanical Modes in Power Systems, IEEE PES TR-15 (2012).
"""

from __future__ import annotations

import numpy as np

from recloser.core import FloatArray
from recloser.features.phasors.block import PhasorBlock
from recloser.features.phasors.cleaning import Window, clean
from recloser.features.phasors.modes import MODE_NAMES, mode_numbers

_FREQUENCY = (
    "fleet_hz",
    "fleet_change_hz",
    "fleet_low_hz",
    "fleet_high_hz",
    "fleet_slope_hz_s",
    "fleet_steepest_hz_s",
    "apart_hz",
    "apart_end_hz",
    "apart_split",
    "single_hz",
)
_ANGLE = ("angle_step_rad", "angle_step_second", "angle_end_rad", "angle_growth_rad_s", "angle_split", "angle_alone")
_VOLTAGE = (
    "voltage_dip",
    "voltage_dip_median",
    "voltage_step",
    "voltage_step_median",
    "voltage_alone",
    "voltage_low",
    "voltage_high",
    "voltage_noise",
)
_QUALITY = (
    "unusable_worst",
    "unusable_mean",
    "frozen_worst",
    "frozen_mean",
    "jump_alone_hz",
    "clock_drift_rad_s",
    "kept_share",
)
PHASOR_FEATURES: tuple[str, ...] = (*_FREQUENCY, *_ANGLE, *_VOLTAGE, *MODE_NAMES, *_QUALITY)
"""Names of the columns of `phasor_features`, in order."""


def phasor_features(block: PhasorBlock) -> FloatArray:
    """Return the features of one window, shape (len(PHASOR_FEATURES),), in the units of their names.

    Where no PMU has enough usable frames all numbers but those on quality are NaN.
    """
    window = clean(block)
    if window is None:
        bad = block.unusable.mean(axis=0)
        quality = [float(bad.max()), float(bad.mean()), np.nan, np.nan, np.nan, np.nan, 0.0]
        return np.array([np.nan] * (len(PHASOR_FEATURES) - len(_QUALITY)) + quality)
    return np.concatenate(
        [_frequency(window), _angle(window), _voltage(window), mode_numbers(window), _quality(window)]
    )


def _short(window: Window, seconds: float) -> int:
    return max(2, min(len(window.seconds) // 2, round(seconds * window.rate_hz)))


def smoothed(numbers: FloatArray, width: int) -> FloatArray:
    """Return running means over `width` frames along axis 0; shorter by width - 1."""
    total = np.cumsum(np.concatenate([np.zeros((1, *numbers.shape[1:])), numbers]), axis=0)
    result: FloatArray = (total[width:] - total[:-width]) / width
    return result


def _frequency(window: Window) -> FloatArray:
    half = _short(window, 0.5)
    fleet = smoothed(window.fleet, half)
    start, end = float(fleet[0]), float(fleet[-1])
    slopes = (fleet[half:] - fleet[:-half]) * window.rate_hz / half if len(fleet) > half else np.zeros(1)
    apart = smoothed(window.frequency, half) - fleet[:, None]
    sizes = np.abs(apart)
    last = np.sort(apart[-1])
    worst = np.sort(sizes.max(axis=0))
    return np.array(
        [
            end,
            end - start,
            float(fleet.min()) - start,
            float(fleet.max()) - start,
            (end - start) / max(float(window.seconds[-1]), 1e-9),
            float(slopes[np.argmax(np.abs(slopes))]),
            float(sizes.max()),
            float(np.abs(last).max()),
            _split(last),
            float(worst[-1] - (worst[-2] if len(worst) > 1 else 0.0)),
        ]
    )


def _angle(window: Window) -> FloatArray:
    """Steps of angles against the bulk: a line that trips moves groups for good, an island grows away."""
    width = _short(window, 0.5)
    smooth = smoothed(window.angle, width)
    moved = smooth - smooth[0]
    steps = np.sort(np.abs(smooth[width:] - smooth[:-width]).max(axis=0)) if len(smooth) > width else np.zeros(2)
    end = moved[-1]
    late = min(len(smooth) - 1, _short(window, 2.0))
    growth = (smooth[-1] - smooth[-1 - late]) * window.rate_hz / max(late, 1)
    second = float(steps[-2]) if len(steps) > 1 else 0.0
    sizes = np.sort(np.abs(end))
    alone = float(sizes[-1] - (sizes[-2] if len(sizes) > 1 else 0.0))
    biggest = float(np.abs(growth).max())
    return np.array([float(steps[-1]), second, float(sizes[-1]), biggest, _split(end), alone])


def _voltage(window: Window) -> FloatArray:
    width = _short(window, 0.3)
    smooth = smoothed(window.voltage, width)
    base = np.median(window.voltage, axis=0)
    dips = (window.voltage / np.where(base > 0.0, base, 1.0)).min(axis=0)
    steps = np.sort(np.abs(smooth[-1] - smooth[0]))
    noise = np.diff(window.voltage, axis=0)
    return np.array(
        [
            float(1.0 - dips.min()),
            float(1.0 - np.median(dips)),
            float(steps[-1]),
            float(np.median(steps)),
            float(steps[-1] - (steps[-2] if len(steps) > 1 else 0.0)),
            float(window.voltage.min()),
            float(window.voltage.max()),
            float(noise.std(axis=0).max()),
        ]
    )


def _quality(window: Window) -> FloatArray:
    jumps = np.sort(np.abs(np.diff(window.frequency, axis=0)).max(axis=0))
    mismatch = _clock(window)
    return np.array(
        [
            float(window.unusable_share.max()),
            float(window.unusable_share.mean()),
            float(window.frozen_share.max()),
            float(window.frozen_share.mean()),
            float(jumps[-1] - (jumps[-2] if len(jumps) > 1 else 0.0)),
            mismatch,
            window.angle.shape[1] / len(window.unusable_share),
        ]
    )


def _clock(window: Window) -> float:
    """Return the largest rate (rad/s) at which an angle moves although the frequency of the same PMU says otherwise.

    An angle is the integral of frequency; where they part, the clock (or a number) is wrong, not the grid.
    """
    seconds = max(float(window.seconds[-1]), 1e-9)
    apart = window.frequency - window.fleet[:, None]
    implied = 2.0 * np.pi * apart.mean(axis=0)
    seen = (window.angle[-1] - window.angle[0]) / seconds
    gap = seen - implied
    return float(np.abs(gap - np.median(gap)).max())


def _split(numbers: FloatArray) -> float:
    """Return how much of the spread is between two groups (0 to 1): an island parts the PMUs in two."""
    ordered = np.sort(numbers)
    total = float(((ordered - ordered.mean()) ** 2).sum())
    if total <= 0.0 or len(ordered) < 2:
        return 0.0
    count = np.arange(1, len(ordered))
    left = np.cumsum(ordered)[:-1]
    right = ordered.sum() - left
    between = left**2 / count + right**2 / (len(ordered) - count) - ordered.sum() ** 2 / len(ordered)
    return float(between.max() / total)
