"""Owns predictors with known answers for tests of routes and guards."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from recloser.core import FloatArray


@dataclass(frozen=True, slots=True)
class ConstantPredictor:
    """Answers every row with factor * scale_mw * (0.9, 1.0, 1.1)."""

    release: str
    factor: float = 1.0

    def predict(self, rows: pl.DataFrame) -> FloatArray:
        """Return MW, shape (n_rows, 3)."""
        scale = rows["scale_mw"].to_numpy().astype(np.float64)
        result: FloatArray = self.factor * scale[:, None] * np.array([[0.9, 1.0, 1.1]])
        return result
