"""Owns the drifts: real changes of how load behaves. Does not touch telemetry."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from recloser.core import LOAD
from recloser.simulation.events import Label, touched

_DAY = timedelta(days=1)


def _local(zone: str) -> tuple[pl.Expr, pl.Expr]:
    local = pl.col("at").dt.convert_time_zone(zone)
    return local.dt.hour() + local.dt.minute() / 60.0, local.dt.weekday()


def _days_since(start: datetime) -> pl.Expr:
    return (pl.col("at") - start).dt.total_seconds() / 86400.0


@dataclass(frozen=True, slots=True)
class Lockdown:
    """A change of life as in spring 2020: load falls over two weeks, mornings start later, weekends differ less.

    Attributes:
        start: first day (aware UTC).
        areas: where; empty means everywhere.
        depth: fall of the mean level on working days at full effect (0.08 to 0.12 was usual).
        onset, lasting, recovery: until the full effect, at the full effect, and back to normal.
        weekend: rise of the ratio of weekend to working-day load.
        zone: zone of the habits.
    """

    start: datetime
    areas: tuple[str, ...] = ()
    depth: float = 0.10
    onset: timedelta = 14 * _DAY
    lasting: timedelta = 42 * _DAY
    recovery: timedelta = 14 * _DAY
    weekend: float = 0.035
    zone: str = "Europe/Amsterdam"

    @property
    def label(self) -> Label:
        """Return the truth: a concept drift from the first day to full recovery."""
        end = self.start + self.onset + self.lasting + self.recovery
        return Label("lockdown", "concept_drift", LOAD, self.areas, self.start, end)

    def change(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the frame with less load, most of it missing from the working-day morning."""
        hour, weekday = _local(self.zone)
        days, rise = _days_since(self.start), self.onset / _DAY
        fall_start = (self.onset + self.lasting) / _DAY
        effect = (
            pl.when(days < rise)
            .then(days / rise)
            .when(days < fall_start)
            .then(1.0)
            .otherwise(1.0 - (days - fall_start) / (self.recovery / _DAY))
        )
        # The later ramp: two thirds more loss around 07:30, a little less at midday when homes are full.
        morning = (-0.5 * ((hour - 7.5) / 1.4) ** 2).exp()
        midday = (-0.5 * ((hour - 12.5) / 2.5) ** 2).exp()
        working = self.depth * (0.93 + 0.9 * morning - 0.25 * midday)
        loss = pl.when(weekday >= 6).then(self.depth - self.weekend).otherwise(working)
        factor = pl.when(touched(self.label)).then(1.0 - effect * loss).otherwise(1.0)
        # Net load of a solar feeder may be negative: what people use falls, not what panels give.
        return frame.with_columns(value=pl.col("value") - pl.col("value").abs() * (1.0 - factor))


@dataclass(frozen=True, slots=True)
class LevelDrift:
    """A lasting change of level, such as a new customer or one that left.

    Attributes:
        start: first day (aware UTC).
        share: change of the level, e.g. 0.08 or -0.10.
        areas: where; empty means everywhere.
        onset: until the full effect.
        end: end of the records to change; None for ever.
    """

    start: datetime
    share: float
    areas: tuple[str, ...] = ()
    onset: timedelta = 7 * _DAY
    end: datetime | None = None

    @property
    def label(self) -> Label:
        """Return the truth: a concept drift without an end unless one was given."""
        return Label("level", "concept_drift", LOAD, self.areas, self.start, self.end or self.start + 36500 * _DAY)

    def change(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the frame with the level changed."""
        effect = (_days_since(self.start) / max(self.onset / _DAY, 1e-9)).clip(0.0, 1.0)
        gained = pl.col("value").abs() * self.share * effect
        return frame.with_columns(value=pl.col("value") + pl.when(touched(self.label)).then(gained).otherwise(0.0))


@dataclass(frozen=True, slots=True)
class MiddayErosion:
    """Slow growth of solar behind the meter: midday load falls by a share of the mean every month.

    Attributes:
        start: when panels begin to appear (aware UTC).
        per_month: loss at 13 h local summer-like sun per 30 days, as a share of each feeder's mean load.
        areas: where; empty means everywhere.
        end: end of the records to change; None for ever.
        zone: zone of the sun's hours.
    """

    start: datetime
    per_month: float = 0.005
    areas: tuple[str, ...] = ()
    end: datetime | None = None
    zone: str = "Europe/Amsterdam"

    @property
    def label(self) -> Label:
        """Return the truth: a concept drift without an end unless one was given."""
        return Label("erosion", "concept_drift", LOAD, self.areas, self.start, self.end or self.start + 36500 * _DAY)

    def change(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the frame with the middle of the day eroded."""
        hour, _ = _local(self.zone)
        sun = (-0.5 * ((hour - 13.0) / 2.3) ** 2).exp()
        level = pl.col("value").mean().over("area", "quantity")
        lost = level * self.per_month * (_days_since(self.start) / 30.0) * sun
        return frame.with_columns(value=pl.col("value") - pl.when(touched(self.label)).then(lost).otherwise(0.0))
