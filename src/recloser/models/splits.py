"""Owns rows that lie exactly on the splits of a tree model, where converters differ. Judges nothing."""

from __future__ import annotations

import numpy as np
import polars as pl

from recloser.models.lightgbm_quantile import LightGBMQuantile
from recloser.models.model import Model

FLOAT32_MAX = float(np.finfo(np.float32).max)


def split_points(model: LightGBMQuantile) -> list[tuple[int, float]]:
    """Return (index of the feature, threshold) of all splits of both boosters, sorted and once each."""
    points: set[tuple[int, float]] = set()
    for booster in model.boosters:
        features: list[int] = []
        for line in booster.model_to_string(num_iteration=-1).splitlines():
            name, _, texts = line.partition("=")
            if name == "split_feature":
                features = [int(text) for text in texts.split()]
            elif name == "threshold":
                points |= set(zip(features, (float(text) for text in texts.split()), strict=True))
    # A split of missing from present has the largest double as its threshold: no value lies near it.
    return sorted(point for point in points if abs(point[1]) < FLOAT32_MAX)


def split_rows(model: Model, row: pl.DataFrame, count: int = 24) -> pl.DataFrame:
    """Return rows like `row` with one feature at a split, just below and just above it; at most `count` splits.

    Args:
        model: whose splits.
        row: one row of a feature frame.
        count: splits chosen evenly out of all.
    """
    if not isinstance(model, LightGBMQuantile):
        return row.clear()
    points = split_points(model)
    if not points:
        return row.clear()
    picks = np.unique(np.linspace(0, len(points) - 1, min(count, len(points))).round().astype(int))
    parts = []
    for feature, threshold in (points[index] for index in picks.tolist()):
        name, at = model.feature_names[feature], np.float32(threshold)
        numbers = (np.nextafter(at, np.float32(-np.inf)), at, np.nextafter(at, np.float32(np.inf)))
        parts += [row.with_columns(pl.lit(float(number)).cast(row.schema[name]).alias(name)) for number in numbers]
    return pl.concat(parts)
