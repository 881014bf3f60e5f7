"""Owns the faults of telemetry and of the weather feed. The load itself is untouched by them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from recloser.core import LOAD, TEMPERATURE, InvalidInput
from recloser.simulation.events import Label, touched


@dataclass(frozen=True, slots=True)
class Fault:
    """A span of one quantity in which a feed lies.

    Attributes:
        areas: where; empty means everywhere.
        start, end: interval starts (aware UTC), `end` excluded.
        quantity: the feed.
    """

    areas: tuple[str, ...]
    start: datetime
    end: datetime
    quantity: str = LOAD

    def _label(self, kind: str) -> Label:
        return Label(kind, "data_fault", self.quantity, self.areas, self.start, self.end)


@dataclass(frozen=True, slots=True)
class Gap(Fault):
    """The feed is silent: no samples at all."""

    @property
    def label(self) -> Label:
        """Return the truth about it."""
        return self._label("missing")

    def change(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the frame without the samples."""
        return frame.filter(~touched(self.label))


@dataclass(frozen=True, slots=True)
class Stuck(Fault):
    """The last value before the fault repeats."""

    @property
    def label(self) -> Label:
        """Return the truth about it."""
        return self._label("stuck")

    def change(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the frame with the value held."""
        before = pl.when((pl.col("at") < self.start) & pl.col("value").is_not_null()).then(pl.col("value"))
        held = (
            before.forward_fill().over("area", "quantity").fill_null(pl.col("value").first().over("area", "quantity"))
        )
        return frame.with_columns(value=pl.when(touched(self.label)).then(held).otherwise(pl.col("value")))


@dataclass(frozen=True, slots=True)
class Scaled(Fault):
    """Values multiplied: 1000 for kW sent as MW, 0.001 for the reverse, 0.85 for actuals 15 % low.

    Attributes:
        factor: what the values are multiplied by.
    """

    factor: float = 1000.0

    @property
    def label(self) -> Label:
        """Return the truth: 'unit' for factors of a hundred or more either way, else 'low' or 'high'."""
        far = abs(np.log10(abs(self.factor))) >= 2 if self.factor else True
        return self._label("unit" if far else "low" if self.factor < 1 else "high")

    def change(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the frame with the values multiplied."""
        wrong = pl.col("value") * self.factor
        return frame.with_columns(value=pl.when(touched(self.label)).then(wrong).otherwise(pl.col("value")))


def low_actuals(areas: tuple[str, ...], start: datetime, share: float = 0.15) -> Scaled:
    """Return four weeks of actuals that are low by a share."""
    return Scaled(areas, start, start + timedelta(days=28), factor=1.0 - share)


@dataclass(frozen=True, slots=True)
class Fahrenheit(Fault):
    """The weather feed sends degF where degC is promised.

    Attributes:
        quantity: the temperature feed.
    """

    quantity: str = TEMPERATURE

    @property
    def label(self) -> Label:
        """Return the truth about it."""
        return self._label("unit")

    def change(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the frame with the temperatures in degF."""
        wrong = pl.col("value") * 1.8 + 32.0
        return frame.with_columns(value=pl.when(touched(self.label)).then(wrong).otherwise(pl.col("value")))


@dataclass(frozen=True, slots=True)
class StampShift(Fault):
    """Whole-hour error of the time stamps: what is stamped `at` was measured `hours` earlier.

    Attributes:
        hours: positive when stamps run late (the curve appears shifted to later), negative when early.
    """

    hours: int = 1

    @property
    def label(self) -> Label:
        """Return the truth about it."""
        return self._label("shift")

    def change(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the frame with the curve moved inside the span; times and availability stay as they were."""
        donor = frame.filter(pl.col("quantity") == self.quantity).select(
            "area", "quantity", pl.col("at") + timedelta(hours=self.hours), moved=pl.col("value")
        )
        joined = frame.join(
            donor.unique(["area", "quantity", "at"], keep="last"),
            on=["area", "quantity", "at"],
            how="left",
            maintain_order="left",
        )
        wrong = pl.when(touched(self.label)).then(pl.col("moved").fill_null(pl.col("value"))).otherwise(pl.col("value"))
        return joined.with_columns(value=wrong).drop("moved")


@dataclass(frozen=True, slots=True)
class Spikes(Fault):
    """Single samples multiplied at random instants of the span.

    Attributes:
        factor: what a spiked value is multiplied by.
        share: share of samples hit.
        seed: which ones.
    """

    factor: float = 2.0
    share: float = 0.01
    seed: int = 1

    def __post_init__(self) -> None:
        if not 0.0 < self.share <= 1.0:
            raise InvalidInput("a share of samples outside (0, 1]", got=self.share)

    @property
    def label(self) -> Label:
        """Return the truth about it."""
        return self._label("spike")

    def change(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the frame with about `share` of the span's samples multiplied, at least one."""
        known = touched(self.label) & pl.col("value").is_not_null()
        rows = np.flatnonzero(frame.select(known).to_series().to_numpy())
        if not len(rows):
            return frame
        rng = np.random.default_rng(self.seed)
        hit = rng.choice(rows, size=max(1, round(self.share * len(rows))), replace=False)
        values = frame["value"].to_numpy().copy()
        values[hit] *= self.factor
        return frame.with_columns(pl.Series("value", values).fill_nan(None))
