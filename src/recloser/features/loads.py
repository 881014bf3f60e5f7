"""Owns features of the load's own past, all as known at the issue. Does not know weather."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from recloser.core import LOAD, FloatArray, Horizon, InvalidInput
from recloser.features.block import Block, mean_of_known
from recloser.features.calendar import day_kind

MARGIN = timedelta(hours=3)  # two clock changes and the interval itself


def shortest_lag(horizon: Horizon) -> int:
    """Return the smallest number of local days whose lag every target of the horizon can respect."""
    return horizon.days + 1


def refuse_short(name: str, days: int, horizon: Horizon) -> None:
    """Raise InvalidInput if a lag of `days` local days reads past the issue for some target."""
    if days < shortest_lag(horizon):
        raise InvalidInput(
            "look-ahead: a lag that the last target's lead cannot respect",
            got=f"{days} local days",
            expected=f"at least {shortest_lag(horizon)} days for a forecast of {horizon.days} day(s) ahead",
            where=f"feature {name}",
            next_step="Use a longer lag; recent hours belong in an issue-anchored level feature.",
        )


@dataclass(frozen=True, slots=True)
class LoadLag:
    """Load at the same local wall time some local days earlier, over the scale."""

    days: int

    @property
    def name(self) -> str:
        """Return e.g. load_lag_7d."""
        return f"load_lag_{self.days}d"

    @property
    def quantity(self) -> str:
        """Return the load."""
        return LOAD

    @property
    def reach(self) -> timedelta:
        """Return the lag."""
        return timedelta(days=self.days) + MARGIN

    def check(self, horizon: Horizon) -> None:
        """Refuse a lag shorter than the lead."""
        refuse_short(self.name, self.days, horizon)

    def column(self, block: Block) -> FloatArray:
        """Return the lagged load per unit."""
        return block.per_unit(block.load_back(self.days))


@dataclass(frozen=True, slots=True)
class LoadMean:
    """Mean of the known loads at the same local wall time on several earlier days, over the scale."""

    days: tuple[int, ...]

    @property
    def name(self) -> str:
        """Return e.g. load_mean_7_14d."""
        return f"load_mean_{'_'.join(str(d) for d in self.days)}d"

    @property
    def quantity(self) -> str:
        """Return the load."""
        return LOAD

    @property
    def reach(self) -> timedelta:
        """Return the longest lag."""
        return timedelta(days=max(self.days)) + MARGIN

    def check(self, horizon: Horizon) -> None:
        """Refuse a lag shorter than the lead."""
        refuse_short(self.name, min(self.days), horizon)

    def column(self, block: Block) -> FloatArray:
        """Return the mean per unit; NaN where none is known."""
        stack = np.stack([block.load_back(d) for d in self.days], axis=-1)
        return block.per_unit(mean_of_known(stack, 1))


@dataclass(frozen=True, slots=True)
class LoadNewest:
    """Newest load known at the issue at the target's local wall time, at most `days` local days old, over the scale.

    It looks where each row may: the first hours of a day-ahead target find yesterday's, the later ones the day before.
    """

    days: int

    @property
    def name(self) -> str:
        """Return e.g. load_newest_4d."""
        return f"load_newest_{self.days}d"

    @property
    def quantity(self) -> str:
        """Return the load."""
        return LOAD

    @property
    def reach(self) -> timedelta:
        """Return the oldest day looked at."""
        return timedelta(days=self.days) + MARGIN

    def check(self, horizon: Horizon) -> None:
        """Refuse a span in which the last target finds nothing."""
        refuse_short(self.name, self.days, horizon)

    def column(self, block: Block) -> FloatArray:
        """Return the newest load per unit."""
        found = block.load_back(1)
        for days in range(2, self.days + 1):
            found = np.where(np.isfinite(found), found, block.load_back(days))
        return block.per_unit(found)


@dataclass(frozen=True, slots=True)
class LoadSimilar:
    """Mean load at the target's local wall time on the newest `count` days of its kind, over the scale.

    Kinds: working day, Saturday, Sunday or public holiday; at most `days` local days back.
    """

    count: int
    days: int

    @property
    def name(self) -> str:
        """Return e.g. load_similar_4."""
        return f"load_similar_{self.count}"

    @property
    def quantity(self) -> str:
        """Return the load."""
        return LOAD

    @property
    def reach(self) -> timedelta:
        """Return the oldest day looked at."""
        return timedelta(days=self.days) + MARGIN

    def check(self, horizon: Horizon) -> None:
        """Refuse a span in which the last target finds nothing."""
        refuse_short(self.name, self.days, horizon)

    def column(self, block: Block) -> FloatArray:
        """Return the mean per unit; NaN where no such day is known."""
        day = block.calendar.day(block.row_cell)
        kind = day_kind(block.calendar, day)
        shape = block.load_back(1).shape
        total, number = np.zeros(shape), np.zeros(shape)
        for days in range(1, self.days + 1):
            past = block.load_back(days)
            same = day_kind(block.calendar, day - days) == kind
            take = np.isfinite(past) & same[None, :] & (number < self.count)
            total += np.where(take, past, 0.0)
            number += take
        mean: FloatArray = np.where(number > 0, total / np.maximum(number, 1), np.nan)
        return block.per_unit(mean)


@dataclass(frozen=True, slots=True)
class LoadLevel:
    """Mean load of the last `hours` hours before the issue, over the scale."""

    hours: int

    @property
    def name(self) -> str:
        """Return e.g. load_level_24h."""
        return f"load_level_{self.hours}h"

    @property
    def quantity(self) -> str:
        """Return the load."""
        return LOAD

    @property
    def reach(self) -> timedelta:
        """Return the span."""
        return timedelta(hours=self.hours)

    def check(self, horizon: Horizon) -> None:
        """Accept: it ends at the issue."""

    def column(self, block: Block) -> FloatArray:
        """Return the level per unit; NaN where less than half of the span is known."""
        cells = block.steps(self.hours)
        level = mean_of_known(block.recent_load(cells), -(-cells // 2))
        return block.per_unit(level[:, block.row_issue])


@dataclass(frozen=True, slots=True)
class LoadTrend:
    """Mean load of the last `hours` hours minus that of the same hours `days` days earlier, over the scale.

    Only intervals known on both sides count, so reporting delays and gaps do not shift it.
    """

    hours: int
    days: int

    @property
    def name(self) -> str:
        """Return e.g. load_trend_24h_7d."""
        return f"load_trend_{self.hours}h_{self.days}d"

    @property
    def quantity(self) -> str:
        """Return the load."""
        return LOAD

    @property
    def reach(self) -> timedelta:
        """Return both spans."""
        return timedelta(hours=self.hours, days=self.days)

    def check(self, horizon: Horizon) -> None:
        """Accept: it ends at the issue."""

    def column(self, block: Block) -> FloatArray:
        """Return the change per unit; NaN where fewer than a quarter of the pairs are known."""
        change = _change(block, self.hours, self.days)
        mean = mean_of_known(change, -(-change.shape[2] // 4))
        return block.per_unit(mean[:, block.row_issue])


@dataclass(frozen=True, slots=True)
class LoadSpread:
    """Mean absolute change of the last `hours` hours against `days` days earlier, over the scale: how erratic it is."""

    hours: int
    days: int

    @property
    def name(self) -> str:
        """Return e.g. load_spread_168h_7d."""
        return f"load_spread_{self.hours}h_{self.days}d"

    @property
    def quantity(self) -> str:
        """Return the load."""
        return LOAD

    @property
    def reach(self) -> timedelta:
        """Return both spans."""
        return timedelta(hours=self.hours, days=self.days)

    def check(self, horizon: Horizon) -> None:
        """Accept: it ends at the issue."""

    def column(self, block: Block) -> FloatArray:
        """Return the spread per unit; NaN where fewer than a quarter of the pairs are known."""
        change = np.abs(_change(block, self.hours, self.days))
        mean = mean_of_known(change, -(-change.shape[2] // 4))
        return block.per_unit(mean[:, block.row_issue])


def _change(block: Block, hours: int, days: int) -> FloatArray:
    cells = block.steps(hours)
    change: FloatArray = block.recent_load(cells) - block.recent_load(cells, block.steps(24 * days))
    return change
