"""Owns the plan of a simulated grid and the character of each feeder. Draws no weather and no load."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from recloser.core import FloatArray, InvalidInput, parse_zone, require_utc


@dataclass(frozen=True, slots=True)
class GridPlan:
    """What to simulate; equal plans give equal bytes.

    Attributes:
        seed: all randomness comes from it.
        feeders: number of areas, named F01, F02, ...
        start: first interval start (aware UTC), on the grid of `resolution`.
        days: length of the telemetry in days of 24 hours; the weather forecast runs two days longer.
        resolution: interval length; divides one hour.
        zone: IANA zone people live by.
        country: ISO code whose public holidays count.
        subdivision: region of the country for holidays, or None.
        substations: meters S1, S2, ... that measure groups of feeders a second time; 0 for none.
        telemetry_delay: from the end of an interval until its load is known.
        weather_published: local time of the day before at which the weather forecast of a day is known.
        latitude: degrees north, for the sun.

    Raises:
        InvalidInput: a number out of range, a naive start, an unknown zone.
    """

    seed: int = 1
    feeders: int = 24
    start: datetime = datetime(2019, 1, 1, tzinfo=UTC)
    days: int = 730
    resolution: timedelta = timedelta(minutes=30)
    zone: str = "Europe/Amsterdam"
    country: str = "NL"
    subdivision: str | None = None
    substations: int = 4
    telemetry_delay: timedelta = timedelta(minutes=10)
    weather_published: time = time(6, 0)
    latitude: float = 48.0

    def __post_init__(self) -> None:
        require_utc(self.start, "GridPlan.start")
        parse_zone(self.zone, "GridPlan.zone")
        if self.feeders < 1 or self.days < 1:
            raise InvalidInput("an empty grid", got=(self.feeders, self.days), expected="feeders >= 1 and days >= 1")
        if not 0 <= self.substations <= self.feeders:
            raise InvalidInput("more substations than feeders", got=self.substations, expected=f"0..{self.feeders}")
        if self.resolution <= timedelta(0) or timedelta(hours=1) % self.resolution:
            raise InvalidInput("a resolution that does not divide the hour", got=str(self.resolution))
        if (self.start - datetime(1970, 1, 1, tzinfo=UTC)) % self.resolution:
            raise InvalidInput(
                "a start off the grid", got=self.start.isoformat(), expected=f"a multiple of {self.resolution}"
            )

    @property
    def tz(self) -> ZoneInfo:
        """Return the local zone."""
        return parse_zone(self.zone)

    @property
    def steps_per_day(self) -> int:
        """Return the number of intervals in 24 hours."""
        return int(timedelta(days=1) / self.resolution)

    @property
    def areas(self) -> tuple[str, ...]:
        """Return the feeder names in order."""
        width = max(2, len(str(self.feeders)))
        return tuple(f"F{k + 1:0{width}d}" for k in range(self.feeders))

    @property
    def topology(self) -> dict[str, tuple[str, ...]]:
        """Return substation -> the feeders whose sum it measures."""
        groups = np.array_split(np.asarray(self.areas), self.substations) if self.substations else []
        width = len(str(self.substations))
        return {f"S{k + 1:0{width}d}": tuple(str(a) for a in group) for k, group in enumerate(groups)}


@dataclass(frozen=True, slots=True)
class Traits:
    """The character of every feeder; each array has shape (feeders,).

    Attributes:
        level_mw: mean weather-independent load.
        residential, commercial, industrial: shares, summing to one.
        heating, cooling: extra load per degree below / above comfort, as a share of the level.
        solar: installed behind-the-meter solar, as a share of the level.
        growth: change per year, as a share.
        lag_h: hours by which its habits run later than the common ones.
        slow, fast: standard deviation of its own day-scale and hour-scale noise.
    """

    level_mw: FloatArray
    residential: FloatArray
    commercial: FloatArray
    industrial: FloatArray
    heating: FloatArray
    cooling: FloatArray
    solar: FloatArray
    growth: FloatArray
    lag_h: FloatArray
    slow: FloatArray
    fast: FloatArray


def draw_traits(plan: GridPlan, rng: np.random.Generator) -> Traits:
    """Draw the feeders: every third mainly residential, commercial or mixed; some industrial; a third with solar."""
    n = plan.feeders
    # The leading class goes round so that a small grid is mixed too and a large one never tips over.
    leaning = np.array(
        [[6.0, 1.5, 0.6], [1.2, 5.0, 0.8], [4.0, 2.2, 0.6], [0.5, 1.0, 4.0], [3.0, 2.6, 1.6], [5.0, 1.2, 0.6]]
    )
    shares = np.stack([rng.dirichlet(leaning[k % len(leaning)] * 5.0) for k in range(n)])
    home, office = shares[:, 0], shares[:, 1]
    solar = np.where(np.arange(n) % 3 == 2, rng.uniform(0.10, 0.45, n), rng.uniform(0.0, 0.06, n))
    return Traits(
        level_mw=rng.lognormal(np.log(8.0), 0.35, n),
        residential=home,
        commercial=office,
        industrial=shares[:, 2],
        heating=0.0235 * (0.35 + 1.1 * home + 0.5 * office) * rng.uniform(0.7, 1.3, n),
        cooling=0.0545 * (0.35 + 0.8 * home + 1.0 * office) * rng.uniform(0.7, 1.3, n),
        solar=solar,
        growth=rng.normal(0.002, 0.008, n),
        lag_h=rng.uniform(-0.4, 0.4, n),
        slow=rng.uniform(0.015, 0.035, n),
        fast=rng.uniform(0.012, 0.030, n),
    )
