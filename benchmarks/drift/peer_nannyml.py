"""Runs NannyML's univariate drift methods over the benchmark's units in a Python that has nannyml and scipy.

`python peer_nannyml.py UNITS.pickle POINTS.json`. Its own classes judge weeks of hourly signed errors, with its own
thresholds: those of three deviations over the history's weeks. Strictness is the number of deviations over three.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

os.environ["NML_DISABLE_USAGE_LOGGING"] = "1"  # it reports its use to its makers unless told not to

import numpy as np
import pandas as pd
from driver import WEEK, Array, Days, Looking, Method, Runner, by_day, by_week
from nannyml.chunk import SizeBasedChunker
from nannyml.drift.univariate.methods import FeatureType, MethodFactory
from nannyml.thresholds import StandardDeviationThreshold
from peer import answer

HOURS = 24 * WEEK
KEPT: dict[tuple[str, int], tuple[Days, Any, dict[bytes, float]]] = {}


def weekly(key: str, look: Callable[[Callable[[Array], bool]], Looking] = by_week) -> Method:
    """Return one of its methods, looked at once a week, or as `look` says."""

    def method(history: Days, strictness: float) -> Callable[[Days], Runner]:
        judge, values = _fitted(key, history, strictness)

        def alarms(now: Array) -> bool:
            place = now.tobytes()
            if place not in values:
                values[place] = float(judge.calculate(pd.Series(now, name="error")))
            return bool(judge.alert(values[place]))

        return lambda _: look(alarms)

    return method


def _fitted(key: str, history: Days, strictness: float) -> tuple[Any, dict[bytes, float]]:
    """Return the method as fitted on the history, and the values that it gave before, whatever the strictness."""
    usual = pd.Series(history.hours[np.isfinite(history.hours)], name="error")
    judge = MethodFactory.create(
        key=key,
        feature_type=FeatureType.CONTINUOUS,
        chunker=SizeBasedChunker(chunk_size=HOURS),
        threshold=StandardDeviationThreshold(std_lower_multiplier=None, std_upper_multiplier=3.0 * strictness),
    )
    judge.fit(usual)
    _, _, values = KEPT.setdefault((key, id(history)), (history, judge, {}))
    return judge, values


METHODS: dict[str, tuple[Method, tuple[float, ...]]] = {
    "NannyML Jensen-Shannon": (weekly("jensen_shannon"), (1.0, 1.5, 2.0, 3.0)),
    "NannyML Jensen-Shannon of the last week, daily": (weekly("jensen_shannon", by_day), (1.0, 1.5, 2.0, 2.5)),
    "NannyML Wasserstein": (weekly("wasserstein"), (1.0, 1.5, 2.0, 3.0)),
    "NannyML Kolmogorov-Smirnov": (weekly("kolmogorov_smirnov"), (1.0, 1.5, 2.0, 3.0)),
    "NannyML Hellinger": (weekly("hellinger"), (1.0, 1.5, 2.0, 3.0)),
}


if __name__ == "__main__":
    answer(METHODS)
