"""Owns the drifts put into real load by local day and hour. Everything about them is fixed here, before any result."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from recloser.core import FloatArray

DEPTHS = (0.08, 0.10, 0.12)
BEFORE, AFTER = 90, 42  # days of a window around an onset
SPACING, FIRST = 53, 20  # onsets of a year; 53 lets them fall on every weekday

Change = Callable[[FloatArray, FloatArray, float], FloatArray]  # load, days since onset (n, 1), depth -> load


def onsets(first: int, last: int) -> list[tuple[int, float]]:
    """Return (day, depth) of a year's onsets."""
    days = range(first + FIRST, last - AFTER, SPACING)
    return [(day, DEPTHS[k % len(DEPTHS)]) for k, day in enumerate(days)]


def lockdown(ramp: float) -> Change:
    """Less load, most of it missing from the morning, within `ramp` days."""
    hour = np.arange(24) + 0.5
    profile = 0.93 + 0.9 * np.exp(-0.5 * ((hour - 7.5) / 1.4) ** 2) - 0.25 * np.exp(-0.5 * ((hour - 12.5) / 2.5) ** 2)
    profile = profile / profile.mean()

    def change(load: FloatArray, since: FloatArray, depth: float) -> FloatArray:
        effect = np.clip((since + hour / 24) / ramp, 0.0, 1.0) * (since >= 0)
        result: FloatArray = load * (1.0 - effect * depth * profile)
        return result

    return change


def level(share: float) -> Change:
    """A step of the level by `share` of itself, whatever the depth."""

    def change(load: FloatArray, since: FloatArray, depth: float) -> FloatArray:
        del depth
        result: FloatArray = np.where(since >= 0, load * (1.0 + share), load)
        return result

    return change


def moved(load: FloatArray, since: FloatArray, depth: float) -> FloatArray:
    """Habits move an hour later."""
    del depth
    flat = load.ravel()
    later = np.concatenate([flat[:1], flat[:-1]]).reshape(load.shape)
    return np.where(since >= 0, later, load)


def erosion(load: FloatArray, since: FloatArray, depth: float) -> FloatArray:
    """Midday loses half a per cent of the mean a month: solar panels behind the meter."""
    del depth
    sun = np.exp(-0.5 * ((np.arange(24) + 0.5 - 13.0) / 2.3) ** 2)
    result: FloatArray = load - np.nanmean(load) * 0.005 * np.maximum(since, 0.0) / 30.0 * sun
    return result


CHANGES: dict[str, Change] = {
    "lockdown over 14 days": lockdown(14.0),
    "lockdown over 3 days": lockdown(3.0),
    "level +5 %": level(0.05),
    "habits an hour later": moved,
}
