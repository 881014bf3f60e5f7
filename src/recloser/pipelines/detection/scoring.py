"""Owns what a detector's answers cost where events are rare: misses, mix-ups and false alarms apart, a vote each. Pure.

A mean over all windows would be one over quiet time: a model that never says anything would win.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from recloser.core import FloatArray

LEAST_LOSS = {"event": 0.02, "other": 0.02, "quiet": 0.001}
"""What counts as one in a comparison is the champion's loss, but never less than this: it may have made no error."""
LEAST_SD = 0.05
"""Of a paired day, in that unit: a smaller one would let a single day decide."""


def event_part(kind: str) -> str:
    """Return the name of the comparison of windows that show a kind."""
    return kind


def other_part(kind: str) -> str:
    """Return the name of the comparison of windows that show another kind, and may be taken for this one."""
    return f"other as {kind}"


def quiet_part(kind: str) -> str:
    """Return the name of the comparison of windows in which nothing happens."""
    return f"no {kind}"


def split_parts(truth: FloatArray, kinds: Sequence[str]) -> dict[str, tuple[int, npt.NDArray[np.bool_]]]:
    """Return each comparison's column and which windows it is about; those that nobody labelled are in none.

    Args:
        truth: 0, 1 or NaN, shape (n_windows, n_kinds).
        kinds: events.
    """
    found: dict[str, tuple[int, npt.NDArray[np.bool_]]] = {}
    happens = (truth == 1.0).any(axis=1)
    for column, kind in enumerate(kinds):
        absent = truth[:, column] == 0.0
        found[event_part(kind)] = column, np.asarray(truth[:, column] == 1.0)
        found[other_part(kind)] = column, np.asarray(absent & happens)
        found[quiet_part(kind)] = column, np.asarray(absent & ~happens)
    return found


def mean_losses(truth: FloatArray, answers: FloatArray, kinds: Sequence[str]) -> dict[str, float]:
    """Return the mean Brier loss of each comparison that has windows."""
    losses = np.square(answers - truth)
    return {
        name: float(losses[rows, column].mean())
        for name, (column, rows) in split_parts(truth, kinds).items()
        if rows.any()
    }


def unit_losses(losses: Mapping[str, float], kinds: Sequence[str]) -> dict[str, float]:
    """Return what counts as one in each comparison: the reference's loss, and never less than LEAST_LOSS."""
    sides = {"event": event_part, "other": other_part, "quiet": quiet_part}
    return {
        name_of(kind): max(losses.get(name_of(kind), 0.0), LEAST_LOSS[side])
        for side, name_of in sides.items()
        for kind in kinds
    }


def day_differences(
    truth: FloatArray, pair: tuple[FloatArray, FloatArray], day: npt.NDArray[Any], kinds: Sequence[str]
) -> FloatArray:
    """Return by day the mean over comparisons of (candidate's loss - reference's) in units of `unit_losses`.

    Args:
        truth: 0, 1 or NaN, shape (n_windows, n_kinds).
        pair: answers of candidate and reference, each of that shape.
        day: of each window.
        kinds: events.
    """
    units = unit_losses(mean_losses(truth, pair[1], kinds), kinds)
    found = []
    for one in np.unique(day):
        rows = day == one
        mine, theirs = (mean_losses(truth[rows], side[rows], kinds) for side in pair)
        found.append(float(np.mean([(mine[name] - theirs[name]) / units[name] for name in mine])))
    return np.array(found)
