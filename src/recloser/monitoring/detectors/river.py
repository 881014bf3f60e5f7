"""Owns river's detectors as plug-ins; the library is imported only when one is made. Adds no statistics of its own."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Literal

import numpy as np

from recloser.core import InvalidInput, Unavailable
from recloser.monitoring.detectors.day import DayErrors
from recloser.monitoring.detectors.detector import LEAST_DAYS, Change

Method = Literal["adwin", "page_hinkley", "kswin"]
_KEPT = 400
_CLASS = {"adwin": "ADWIN", "page_hinkley": "PageHinkley", "kswin": "KSWIN"}


@dataclass(frozen=True, slots=True)
class RiverDetector:
    """One of river's detectors on the standardised signed daily mean.

    Attributes:
        method: adwin (Bifet & Gavalda 2007), page_hinkley (Page 1954) or kswin (Raab et al. 2020).
        options: passed to river's class, e.g. {"delta": 0.002}.
    """

    method: Method = "adwin"
    options: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        if self.method not in _CLASS:
            raise InvalidInput("unknown detector of river", got=self.method, expected=", ".join(sorted(_CLASS)))
        try:
            importlib.import_module("river.drift")
        except ImportError as error:
            raise Unavailable(
                "the library river is not installed", where="RiverDetector", next_step="pip install river"
            ) from error

    @property
    def name(self) -> str:
        """Return the name."""
        return f"river_{self.method}"

    def fit(self, history: Sequence[DayErrors]) -> RiverMonitor:
        """Return a monitor that has seen the history.

        Raises:
            InvalidInput: fewer than 56 days.
        """
        if len(history) < LEAST_DAYS:
            raise InvalidInput("too little history for a detector", got=len(history), expected=f">= {LEAST_DAYS} days")
        levels = [level for day in history if np.isfinite(level := float(np.nanmean(day.blocks)))]
        mean, spread = float(np.mean(levels)), max(float(np.std(levels)), 1e-6)
        kept = tuple((level - mean) / spread for level in levels[-_KEPT:])
        return RiverMonitor(self, mean, spread, kept)

    def load(self, data: Mapping[str, Any]) -> RiverMonitor:
        """Return the monitor whose `to_dict` gave the data.

        Raises:
            InvalidInput: the data are not those of such a monitor.
        """
        try:
            last = None if data["last_day"] is None else date.fromisoformat(data["last_day"])
            kept = tuple(float(value) for value in data["kept"])
            return RiverMonitor(self, float(data["mean"]), float(data["spread"]), kept, last)
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInput("unreadable monitor", got=repr(error), where=self.name) from error

    def made(self) -> Any:
        """Return a new detector of the library."""
        options = dict(self.options)
        if self.method == "kswin":
            options.setdefault("seed", 1)
        return getattr(importlib.import_module("river.drift"), _CLASS[self.method])(**options)


@dataclass(frozen=True, slots=True)
class RiverMonitor:
    """A detector of river between two days: rebuilt from the days it saw, since the library has no stored form.

    Attributes:
        detector: what made it.
        mean, spread: of the history's level.
        kept: standardised levels since the last change, the newest 400.
        last_day: newest day counted.
    """

    detector: RiverDetector
    mean: float
    spread: float
    kept: tuple[float, ...] = ()
    last_day: date | None = None

    def step(self, day: DayErrors) -> tuple[RiverMonitor, Change | None]:
        """Count one day; return the next monitor and a Change if this day raised one."""
        if self.last_day is not None and day.day <= self.last_day:
            return self, None
        known = [block for block in day.blocks if np.isfinite(block)]
        if not known:
            return replace(self, last_day=day.day), None
        z = (float(np.mean(known)) - self.mean) / self.spread
        library = self.detector.made()
        for value in self.kept:
            library.update(value)
        library.update(z)
        if not library.drift_detected:
            return replace(self, kept=(*self.kept, z)[-_KEPT:], last_day=day.day), None
        direction = "above" if z > 0 else "below"
        change = Change(day.day, day.day, "level", direction, float("nan"), float("nan"))
        return replace(self, kept=(), last_day=day.day), change

    @property
    def surprise(self) -> float:
        """Return NaN: the library tells no such number."""
        return float("nan")

    def declared(self) -> tuple[RiverMonitor, Change | None]:
        """Return no change: nobody can tell how strong the evidence is."""
        return self, None

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready data."""
        last = None if self.last_day is None else self.last_day.isoformat()
        return {"mean": self.mean, "spread": self.spread, "kept": list(self.kept), "last_day": last}
