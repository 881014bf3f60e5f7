"""Owns what another model would have answered at past issues, each as known then. Judges nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import polars as pl

from recloser.app.loop.days import ClosedDay
from recloser.app.loop.history import History
from recloser.app.platform import Platform
from recloser.core import FloatArray
from recloser.features import FeatureSet
from recloser.serving import Predictor


class PastAnswers:
    """Answers closed days with models that did not serve then; feature frames are computed once for all of them.

    Args:
        platform: the project.
        history: the store as of an instant.
        days: the closed days that are to be answered.
    """

    def __init__(self, platform: Platform, history: History, days: Sequence[ClosedDay]) -> None:
        self._platform = platform
        self._history = history
        self._issues = sorted({day.rows["issued_at"][0] for day in days})
        self._frames: dict[str, pl.DataFrame] = {}

    def answer(self, predictor: Predictor, features: FeatureSet, day: ClosedDay) -> FloatArray:
        """Return MW on the rows of the day, shape (n_rows, n_quantiles); NaN where it could not answer.

        Args:
            predictor: a release or a rung.
            features: what it reads.
            day: one of the days.
        """
        keys = ["area", "at", "issued_at"]
        rows = day.rows.select(keys).join(self._frame(features), on=keys, how="left", maintain_order="left")
        return np.asarray(predictor.predict(rows), dtype=np.float64)

    def _frame(self, features: FeatureSet) -> pl.DataFrame:
        if features.digest not in self._frames:
            now = self._platform.clock.now()
            panel = self._history.panel(now, self._issues[0] - features.memory - timedelta(days=2))
            self._frames[features.digest] = features.compute(panel, self._issues, self._platform.areas)
        return self._frames[features.digest]
