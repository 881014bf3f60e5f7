"""Owns which inputs lie beyond what a model was trained on. Pure; says nothing about what follows from it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from recloser.core import FloatArray
from recloser.serving.batch import Batch, IntArray
from recloser.serving.limits import AssetLimits

MARGIN = 0.5
"""Inputs may lie so much of the trained range outside it."""

Ranges = tuple[tuple[str, float, float], ...]
"""Feature, smallest and largest number that a model saw; hashable, so that it is prepared once."""


def ranges_of(facts: Mapping[str, Any] | None) -> Ranges:
    """Return the ranges that a package tells, {feature: [smallest, largest]}, widened by MARGIN.

    What is not a pair of finite numbers is left out, as is a feature that never changed: its range has no width to
    judge by.
    """
    found = []
    for name, pair in (facts or {}).items():
        try:
            low, high = (float(number) for number in pair)
        except (TypeError, ValueError):
            continue
        if math.isfinite(high - low) and high > low:
            room = MARGIN * (high - low)
            found.append((name, low - room, high + room))
    return tuple(found)


def unseen(batch: Batch, ranges: Ranges, limits: Mapping[str, AssetLimits]) -> frozenset[int]:
    """Return the groups with a number beyond the ranges, or with a recent level that the asset never carried.

    A missing number lies in every range.
    """
    if not ranges:
        return frozenset()
    columns, low, high = _prepared(batch.names, ranges)
    table = batch.table[:, columns]
    rows = ((table < low) | (table > high)).any(axis=1)
    found: list[int] = np.flatnonzero(np.logical_or.reduceat(rows, batch.bounds[:-1])).tolist() if rows.any() else []
    scale = batch.scale_mw().tolist()
    known = [(index, limits[area]) for index, area in enumerate(batch.areas) if area in limits]
    return frozenset(found) | {index for index, limit in known if scale[index] > limit.peak_mw()}


@lru_cache(maxsize=64)
def _prepared(names: tuple[str, ...], ranges: Ranges) -> tuple[IntArray, FloatArray, FloatArray]:
    at = {name: place for place, name in enumerate(names)}
    there = [(at[name], low, high) for name, low, high in ranges if name in at]
    columns = np.array([place for place, _, _ in there], dtype=np.int64)
    return columns, np.array([low for _, low, _ in there]), np.array([high for _, _, high in there])
