"""Owns features of series that are known ahead, such as forecast temperature, with their memory."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

import numpy as np

from recloser.core import FloatArray, Horizon
from recloser.features.block import Block

MARGIN = timedelta(hours=3)


@dataclass(frozen=True, slots=True)
class WeatherAt:
    """Value at the target, or some hours before it, in the quantity's unit."""

    quantity: str
    lag_hours: int = 0

    @property
    def name(self) -> str:
        """Return e.g. temperature_c_lag_3h."""
        return f"{self.quantity}_lag_{self.lag_hours}h" if self.lag_hours else self.quantity

    @property
    def reach(self) -> timedelta:
        """Return the lag."""
        return timedelta(hours=self.lag_hours) + MARGIN

    def check(self, horizon: Horizon) -> None:
        """Accept: what is not known at the issue is missing."""

    def column(self, block: Block) -> FloatArray:
        """Return the value as known at the issue."""
        lag = block.steps(self.lag_hours) if self.lag_hours else 0
        return block.views[self.quantity].at(block.row_issue, block.row_cell - lag)


@dataclass(frozen=True, slots=True)
class WeatherMean:
    """Mean over the last `hours` hours up to and with the target's interval."""

    quantity: str
    hours: int

    @property
    def name(self) -> str:
        """Return e.g. temperature_c_mean_24h."""
        return f"{self.quantity}_mean_{self.hours}h"

    @property
    def reach(self) -> timedelta:
        """Return the span."""
        return timedelta(hours=self.hours) + MARGIN

    def check(self, horizon: Horizon) -> None:
        """Accept: what is not known at the issue is missing."""

    def column(self, block: Block) -> FloatArray:
        """Return the mean; NaN where less than half is known."""
        return block.rolling(self.quantity, block.steps(self.hours))


@dataclass(frozen=True, slots=True)
class WeatherChange:
    """Mean over the last `hours` hours minus the same `days` days earlier: why a lagged load no longer fits."""

    quantity: str
    hours: int
    days: int

    @property
    def name(self) -> str:
        """Return e.g. temperature_c_change_24h_7d."""
        return f"{self.quantity}_change_{self.hours}h_{self.days}d"

    @property
    def reach(self) -> timedelta:
        """Return both spans."""
        return timedelta(hours=self.hours, days=self.days) + MARGIN

    def check(self, horizon: Horizon) -> None:
        """Accept: what is not known at the issue is missing."""

    def column(self, block: Block) -> FloatArray:
        """Return the difference; NaN where either side is."""
        cells, back = block.steps(self.hours), block.steps(24 * self.days)
        change: FloatArray = block.rolling(self.quantity, cells) - block.rolling(self.quantity, cells, back=back)
        return change


@dataclass(frozen=True, slots=True)
class WeatherDay:
    """Highest, lowest or mean value of the target's local day, as known at the issue."""

    quantity: str
    statistic: Literal["max", "min", "mean"]

    @property
    def name(self) -> str:
        """Return e.g. temperature_c_day_max."""
        return f"{self.quantity}_day_{self.statistic}"

    @property
    def reach(self) -> timedelta:
        """Return nothing: target days begin after the issue."""
        return MARGIN

    def check(self, horizon: Horizon) -> None:
        """Accept: what is not known at the issue is missing."""

    def column(self, block: Block) -> FloatArray:
        """Return the statistic over the targets of the same issue and local day; NaN where less than half is known."""
        values = block.views[self.quantity].at(block.row_issue, block.row_cell)
        day = block.calendar.day(block.row_cell)
        new = np.flatnonzero(np.r_[True, (np.diff(day) != 0) | (np.diff(block.row_issue) != 0)])
        size = np.diff(np.r_[new, day.size])
        group = np.repeat(np.arange(new.size), size)
        known = np.isfinite(values)
        number = np.add.reduceat(known.astype(np.int64), new, axis=1)
        if self.statistic == "max":
            result = np.maximum.reduceat(np.where(known, values, -np.inf), new, axis=1)
        elif self.statistic == "min":
            result = np.minimum.reduceat(np.where(known, values, np.inf), new, axis=1)
        else:
            result = np.add.reduceat(np.where(known, values, 0.0), new, axis=1) / np.maximum(number, 1)
        picked: FloatArray = np.where(2 * number >= size[None, :], result, np.nan)[:, group]
        return picked


@dataclass(frozen=True, slots=True)
class DegreeHours:
    """Mean heating (base - T) or cooling (T - base) need in degC over the last `hours` hours, never negative.

    The V shape of demand over temperature as two features, one for each branch.
    """

    quantity: str
    side: Literal["heating", "cooling"]
    base_c: float
    hours: int

    @property
    def name(self) -> str:
        """Return e.g. heating_18c_24h."""
        return f"{self.side}_{self.base_c:g}c_{self.hours}h"

    @property
    def reach(self) -> timedelta:
        """Return the span."""
        return timedelta(hours=self.hours) + MARGIN

    def check(self, horizon: Horizon) -> None:
        """Accept: what is not known at the issue is missing."""

    def column(self, block: Block) -> FloatArray:
        """Return the mean need; NaN where less than half is known."""
        key = f"{self.side}{self.base_c!r}"
        values = block.views[self.quantity].values
        need = values - self.base_c if self.side == "cooling" else self.base_c - values
        return block.rolling(self.quantity, block.steps(self.hours), np.maximum(need, 0.0), key)
