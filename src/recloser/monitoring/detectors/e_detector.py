"""Owns an e-detector on the daily level: sums of betting processes begun on every day. Reads no other channel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import numpy as np

from recloser.core import InvalidInput
from recloser.monitoring.detectors.day import DayErrors
from recloser.monitoring.detectors.detector import Change
from recloser.monitoring.detectors.history import believed
from recloser.monitoring.detectors.normal import LEVEL, Normal, fit_normal

_BETS = (0.05, 0.1, 0.2, 0.4)
_CLIP = 4.0


@dataclass(frozen=True, slots=True)
class EDetector:
    """Shiryaev-Roberts e-detector by betting on the standardised level being off zero, whitened by its own AR(1).

    E_t = mean over bets b and both signs of (E_(t-1) + 1) * (1 + b x_t), x in [-1, 1]; alarm at E >= 365 / rate.
    The nominal guarantee (average run length to a false alarm >= the limit) needs x_t of mean zero given the past,
    which real residuals break. Source: Shin, Ramdas & Rinaldo, E-detectors (arXiv 2203.03532).

    Attributes:
        alarms_per_year: nominal rate of false alarms.
        strictness: factor on the logarithm of the limit; 1 unless a benchmark sweeps it.
    """

    alarms_per_year: float = 1.0
    strictness: float = 1.0

    @property
    def name(self) -> str:
        """Return the name."""
        return "e_detector"

    def fit(self, history: Sequence[DayErrors]) -> EMonitor:
        """Return a monitor that has learnt from days believed free of drift, oldest first.

        Raises:
            InvalidInput: fewer than 56 days.
        """
        history = believed(history)
        normal = fit_normal(history, _CLIP)
        level = np.nan_to_num([normal.standardised(day)[LEVEL] for day in history])
        centred = level - level.mean()
        total = float((centred**2).sum())
        phi = min(max(float((centred[1:] * centred[:-1]).sum()) / max(total, 1e-12), 0.0), 0.9)
        return EMonitor(self, normal, phi)

    def load(self, data: Mapping[str, Any]) -> EMonitor:
        """Return the monitor whose `to_dict` gave the data.

        Raises:
            InvalidInput: the data are not those of such a monitor.
        """
        try:
            last, since = (None if data[k] is None else date.fromisoformat(data[k]) for k in ("last_day", "since"))
            wealth = tuple(float(e) for e in data["wealth"])
            normal, phi, before = Normal.from_dict(data["normal"]), float(data["phi"]), float(data["before"])
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInput("unreadable monitor", got=repr(error), where=self.name) from error
        if len(wealth) != 2 * len(_BETS):
            raise InvalidInput("a monitor of other bets", got=len(wealth), expected=str(2 * len(_BETS)))
        return EMonitor(self, normal, phi, wealth, before, since, last)


@dataclass(frozen=True, slots=True, eq=False)
class EMonitor:
    """The e-detector on one series between two days.

    Attributes:
        detector: what made it.
        normal: what the series looks like.
        phi: autocorrelation at one day.
        wealth: one per bet and sign.
        before: yesterday's level.
        since: day on which the wealth was last below two.
        last_day: newest day counted.
    """

    detector: EDetector
    normal: Normal
    phi: float
    wealth: tuple[float, ...] = (0.0,) * (2 * len(_BETS))
    before: float = 0.0
    since: date | None = None
    last_day: date | None = None

    def step(self, day: DayErrors) -> tuple[EMonitor, Change | None]:
        """Count one day; return the next monitor and a Change if this day raised one."""
        if self.last_day is not None and day.day <= self.last_day:
            return self, None
        z = float(self.normal.standardised(day)[LEVEL])
        if not np.isfinite(z):
            return replace(self, last_day=day.day), None
        x = (z - self.phi * self.before) / (_CLIP * (1 + self.phi))
        bets = (*_BETS, *(-bet for bet in _BETS))
        wealth = tuple((e + 1.0) * (1.0 + bet * x) for e, bet in zip(self.wealth, bets, strict=True))
        mean = sum(wealth) / len(wealth)
        limit = (365.0 / self.detector.alarms_per_year) ** self.detector.strictness
        since = day.day if mean < 2.0 or self.since is None else self.since
        if mean < limit:
            return replace(self, wealth=wealth, before=z, since=since, last_day=day.day), None
        return replace(self, wealth=wealth, before=z, since=since, last_day=day.day).declared()

    @property
    def surprise(self) -> float:
        """Return 1 / wealth, at most 1: what a supermartingale of this height is worth as a p-value."""
        return min(1.0, len(self.wealth) / max(sum(self.wealth), 1e-12))

    def declared(self) -> tuple[EMonitor, Change | None]:
        """Call the change that the evidence so far points to and start afresh; None without any evidence."""
        if self.last_day is None or self.since is None:
            return self, None
        mean = sum(self.wealth) / len(self.wealth)
        limit = (365.0 / self.detector.alarms_per_year) ** self.detector.strictness
        above = sum(self.wealth[: len(_BETS)]) >= sum(self.wealth[len(_BETS) :])
        fresh = EMonitor(self.detector, self.normal, self.phi, before=self.before, last_day=self.last_day)
        direction = "above" if above else "below"
        return fresh, Change(self.last_day, self.since, "level", direction, mean / limit, float("nan"))

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready data."""
        return {
            "normal": self.normal.to_dict(),
            "phi": self.phi,
            "wealth": list(self.wealth),
            "before": self.before,
            "since": None if self.since is None else self.since.isoformat(),
            "last_day": None if self.last_day is None else self.last_day.isoformat(),
        }
