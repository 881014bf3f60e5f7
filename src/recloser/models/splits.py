"""Owns rows that lie exactly on the splits of a tree model, where converters differ. Judges nothing."""

from __future__ import annotations

import numpy as np
import polars as pl

from recloser.models.lightgbm_quantile import LightGBMQuantile
from recloser.models.model import Model


def split_points(model: Model) -> list[tuple[str, float]]:
    """Return (feature, threshold) of all splits of a LightGBM model, sorted and once each; none of other models."""
    if not isinstance(model, LightGBMQuantile):
        return []
    points: set[tuple[str, float]] = set()
    for booster in model.boosters:
        features: list[int] = []
        for line in booster.model_to_string(num_iteration=-1).splitlines():
            name, _, texts = line.partition("=")
            if name == "split_feature":
                features = [int(text) for text in texts.split()]
            elif name == "threshold":
                pairs = zip(features, texts.split(), strict=True)
                points |= {(model.feature_names[index], float(text)) for index, text in pairs}
    return sorted(points)


def split_rows(model: Model, row: pl.DataFrame, count: int = 24) -> pl.DataFrame:
    """Return rows like `row` with one feature at a split, just below and just above it; at most `count` splits.

    Args:
        model: whose splits.
        row: one row of a feature frame.
        count: splits chosen evenly out of all.
    """
    points = split_points(model)
    if not points:
        return row.clear()
    picks = np.unique(np.linspace(0, len(points) - 1, min(count, len(points))).round().astype(int))
    parts = []
    for name, threshold in (points[index] for index in picks.tolist()):
        at = np.float32(threshold)
        numbers = (np.nextafter(at, np.float32(-np.inf)), at, np.nextafter(at, np.float32(np.inf)))
        parts += [row.with_columns(pl.lit(float(number)).cast(row.schema[name]).alias(name)) for number in numbers]
    return pl.concat(parts)
