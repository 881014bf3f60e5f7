"""Runs river's detectors over the benchmark's units in a Python that has river, numpy and scipy: no recloser needed.

`python peer_river.py UNITS.pickle POINTS.json`. ADWIN and KSWIN see the standardised daily mean, ADWIN and Page-Hinkley
also the hourly absolute error. Strictness is what each calls its sensitivity; the first is its default.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from driver import Array, Days, Method, Runner
from peer import answer
from river import drift


def daily(make: Callable[[float], Any]) -> Method:
    """Return a detector on the standardised signed daily mean."""

    def method(history: Days, strictness: float) -> Callable[[Days], Runner]:
        means = np.nanmean(history.hours[np.isfinite(history.hours).any(axis=1)], axis=1)
        return _fed(lambda: make(strictness), means, lambda hours: hours.mean(keepdims=True))

    return method


def hourly(make: Callable[[float], Any]) -> Method:
    """Return a detector on the standardised absolute hourly error."""

    def method(history: Days, strictness: float) -> Callable[[Days], Runner]:
        values = np.abs(history.hours[np.isfinite(history.hours)])
        return _fed(lambda: make(strictness), values, np.abs)

    return method


@dataclass
class Fed:
    """A detector of river over days; it begins afresh after an alarm.

    Attributes:
        make: makes a fresh one.
        detector: its state.
        read: a day's known hours -> the values it is shown.
        centre, spread: what these are standardised by.
    """

    make: Callable[[], Any]
    detector: Any
    read: Callable[[Array], Array]
    centre: float
    spread: float

    def __call__(self, number: int, hours: Array) -> bool:
        del number
        known = hours[np.isfinite(hours)]
        alarm = False
        for value in self.read(known) if len(known) else ():
            self.detector.update((value - self.centre) / self.spread)
            alarm = alarm or self.detector.drift_detected
        if alarm:
            self.detector = self.make()
        return alarm

    def fork(self, lived: Days) -> Fed:
        del lived
        return replace(self, detector=copy.deepcopy(self.detector))


def _fed(make: Callable[[], Any], usual: Array, read: Callable[[Array], Array]) -> Callable[[Days], Runner]:
    centre, spread = float(usual.mean()), float(usual.std())
    detector = make()
    for value in usual[-200:]:
        detector.update((value - centre) / spread)
    return Fed(make, detector, read, centre, spread).fork


METHODS: dict[str, tuple[Method, tuple[float, ...]]] = {
    "river ADWIN, daily": (daily(lambda s: drift.ADWIN(delta=s)), (0.002, 0.3, 0.05, 1e-4)),
    "river ADWIN, daily, looking every day": (
        daily(lambda s: drift.ADWIN(delta=s, clock=1)),
        (0.002, 0.05, 0.3, 1e-4),
    ),
    "river KSWIN, daily": (
        daily(lambda s: drift.KSWIN(alpha=s, window_size=60, stat_size=14, seed=1)),
        (0.005, 1e-4),
    ),
    "river ADWIN, hourly absolute": (hourly(lambda s: drift.ADWIN(delta=s)), (0.002, 1e-12, 1e-24)),
    "river Page-Hinkley, hourly absolute": (
        hourly(lambda s: drift.PageHinkley(threshold=s)),
        (50.0, 200.0, 400.0, 800.0, 1600.0),
    ),
    "river Page-Hinkley, daily": (
        daily(lambda s: drift.PageHinkley(threshold=s, min_instances=7)),
        (50.0, 5.0, 10.0, 20.0, 100.0),
    ),
}


if __name__ == "__main__":
    answer(METHODS)
