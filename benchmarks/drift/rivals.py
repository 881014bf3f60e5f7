"""Owns the detectors compared: ours through the product's protocol, window statistics in evidently's style."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import numpy as np
from driver import Array, Days, Looking, Method, Runner, by_day, by_week
from scipy.stats import ks_2samp, wasserstein_distance

from recloser.monitoring.detectors import (
    ChannelDetector,
    DayErrors,
    Detector,
    EDetector,
    Monitor,
    day_errors,
    seasonal_cusum,
)

EPOCH = date(1970, 1, 1)
REBASE = ("channels", "seasonal_cusum")


def errors_of(days: Days) -> list[DayErrors]:
    """Return the days as the product sees them."""
    dates = [EPOCH + timedelta(days=int(n)) for n in days.numbers]
    off = frozenset(day for day, is_off in zip(dates, days.off, strict=True) if is_off and day.weekday() < 5)
    return day_errors(dates, days.hours, off)


@dataclass
class OurRunner:
    """A monitor of the product over days.

    Attributes:
        monitor: its state.
        lived: what it will see.
        rebases: it takes a new normal off itself.
    """

    monitor: Monitor
    lived: Days
    rebases: bool

    def __post_init__(self) -> None:
        days = self.lived
        self._known = {(day.day - EPOCH).days: day for day in errors_of(days)}
        kinds = zip(days.numbers, days.off, days.special, strict=True)
        self._kinds = {int(number): (bool(off), bool(special)) for number, off, special in kinds}

    def __call__(self, number: int, hours: Array) -> bool:
        day = self._known.get(number)
        if day is None:
            return False
        if not self.rebases:  # the driver may have taken a new normal off
            one = day_errors([day.day], hours[None], frozenset())[0]
            day = DayErrors(day.day, one.blocks, one.absolute, *self._kinds[number])
        self.monitor, change = self.monitor.step(day)
        return change is not None

    def fork(self, lived: Days) -> OurRunner:
        return replace(self, lived=lived)


def ours(maker: Callable[[float], Detector]) -> Method:
    """Return a detector of the product as a method; strictness is the factor on its limits."""
    learnt: dict[int, tuple[Days, dict[str, Any]]] = {}

    def method(history: Days, strictness: float) -> Callable[[Days], Runner]:
        detector = maker(strictness)
        place = id(history)
        if place not in learnt:  # the limits alone depend on the strictness
            learnt[place] = (history, detector.fit(errors_of(history)).to_dict())
        fitted, rebases = detector.load(learnt[place][1]), detector.name in REBASE
        return lambda lived: OurRunner(fitted, lived, rebases)

    return method


Statistic = Callable[[Array], Callable[[Array], float]]  # the history's hours -> a week's hours -> distance


def weekly(statistic: Statistic, limit: float, look: Callable[[Callable[[Array], bool]], Looking] = by_week) -> Method:
    """Return a window statistic: a week's hourly errors against the history's; once a week, or as `look` says."""
    learnt: dict[int, tuple[Days, Callable[[Array], float]]] = {}

    def method(history: Days, strictness: float) -> Callable[[Days], Runner]:
        if id(history) not in learnt:
            usual = history.hours[np.isfinite(history.hours)]
            learnt[id(history)] = (history, statistic(usual[:: max(1, len(usual) // 4000)]))
        away = learnt[id(history)][1]

        return lambda _: look(lambda now: away(now) > limit * strictness)

    return method


def psi(usual: Array) -> Callable[[Array], float]:
    """Population stability index over the history's deciles."""
    edges = np.quantile(usual, np.linspace(0.1, 0.9, 9))

    def shares(part: Array) -> Array:
        return np.bincount(np.searchsorted(edges, part), minlength=10) / len(part) + 1e-4

    before = shares(usual)

    def away(now: Array) -> float:
        after = shares(now)
        return float(((after - before) * np.log(after / before)).sum())

    return away


def wasserstein(usual: Array) -> Callable[[Array], float]:
    """Earth mover's distance in standard deviations of the history."""
    spread = usual.std()
    return lambda now: float(wasserstein_distance(usual, now) / spread)


def ks(usual: Array) -> Callable[[Array], float]:
    """-log10 of the Kolmogorov-Smirnov test's p-value."""
    return lambda now: float(-np.log10(max(ks_2samp(usual, now, method="asymp").pvalue, 1e-300)))


# The first strictness is the default; defaults are what evidently documents: PSI 0.1, Wasserstein 0.1, KS p < 0.05.
METHODS: dict[str, tuple[Method, tuple[float, ...]]] = {
    "ours: channels": (ours(lambda s: ChannelDetector(strictness=s)), (1.0, 0.7, 0.8, 0.9, 1.1, 1.2, 1.35)),
    "seasonal CUSUM": (ours(lambda s: seasonal_cusum(strictness=s)), (1.0, 0.8, 1.15, 1.3, 1.5, 1.75, 2.0, 2.5)),
    "e-detector": (ours(lambda s: EDetector(strictness=s)), (1.0, 0.6, 0.8, 1.2, 1.5, 2.0)),
    "weekly PSI (evidently)": (weekly(psi, 0.1), (1.0, 12.0, 20.0, 30.0, 45.0)),
    "PSI of the last week, daily": (weekly(psi, 0.1, by_day), (1.0, 20.0, 30.0, 40.0, 50.0, 60.0)),
    "weekly Wasserstein (evidently)": (weekly(wasserstein, 0.1), (1.0, 8.0, 12.0, 18.0)),
    "weekly KS (evidently)": (weekly(ks, 1.3), (1.0, 16.0, 28.0, 40.0)),
}
