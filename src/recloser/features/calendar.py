"""Owns local time on a grid and the regional holiday calendar. Does not know loads or weather."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import holidays
import numpy as np
import numpy.typing as npt
import polars as pl

from recloser.core import InvalidInput
from recloser.features.grid import Grid, IntArray

DAY = 86_400_000_000
HOUR = 3_600_000_000
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Calendar:
    """Local wall time of every grid cell, and which local days are holidays.

    Attributes:
        grid: the cells.
        local: (size,), microseconds since 1970 of the local wall time at each cell's start.
        first_day: number of the first local day of `free` (days since 1970).
        free: (n_days,), True on public holidays.
    """

    grid: Grid
    local: IntArray
    first_day: int
    free: BoolArray

    def day(self, cell: IntArray) -> IntArray:
        """Return the local day number (days since 1970) of each cell."""
        days: IntArray = self.local[cell] // DAY
        return days

    def holiday(self, day: IntArray) -> BoolArray:
        """Return which local day numbers are public holidays."""
        result: BoolArray = self.free[np.clip(day - self.first_day, 0, self.free.size - 1)]
        return result

    def days_back(self, cell: IntArray, days: int) -> IntArray:
        """Return the cell at the same local wall time `days` local days earlier; may lie outside the grid.

        A wall time that the clock change skips is read with the offset before the change; of a doubled one,
        the offset of the later target decides.
        """
        utc = self.grid.origin + cell * self.grid.step
        wanted = self.local[cell] - days * DAY
        guess = self.grid.cell(wanted - (self.local[cell] - utc))
        guess = np.clip(guess, 0, self.grid.size - 1)
        offset = self.local[guess] - (self.grid.origin + guess * self.grid.step)
        return self.grid.cell(wanted - offset)


def calendar_of(grid: Grid, zone: ZoneInfo, country: str | None, subdivision: str | None) -> Calendar:
    """Build the local calendar of a grid (holidays of the region, observed days included).

    Raises:
        InvalidInput: the `holidays` library does not know the region.
    """
    utc = pl.Series(grid.origin + grid.step * np.arange(grid.size, dtype=np.int64)).cast(pl.Datetime("us", "UTC"))
    local = utc.dt.convert_time_zone(zone.key).dt.replace_time_zone(None).dt.epoch("us").to_numpy()
    first, last = int(local[0] // DAY) - 45, int(local[-1] // DAY) + 9
    free = np.zeros(last - first + 1, dtype=bool)
    if country is not None:
        start = date(1970, 1, 1) + timedelta(days=first)
        end = date(1970, 1, 1) + timedelta(days=last)
        for year in range(start.year, end.year + 1):
            for day in holiday_dates(country, subdivision, year):
                if start <= day <= end:
                    free[(day - start).days] = True
    return Calendar(grid, local, first, free)


@lru_cache(maxsize=256)
def holiday_dates(country: str, subdivision: str | None, year: int) -> tuple[date, ...]:
    """Return the public holidays of a region in a year, as the `holidays` library lists them.

    Raises:
        InvalidInput: unknown country or subdivision.
    """
    try:
        listed = holidays.country_holidays(country, subdiv=subdivision, years=[year])
    except NotImplementedError as error:
        raise InvalidInput(
            "unknown holiday region",
            got=f"{country}/{subdivision}" if subdivision else country,
            expected="an ISO 3166 country such as AU, with a subdivision such as VIC",
            where="FeatureSet",
            next_step=str(error),
        ) from error
    return tuple(sorted(listed))


def bridge_days(calendar: Calendar, day: IntArray) -> BoolArray:
    """Return which days are lone working days between a holiday and a weekend (Monday or Friday bridging)."""
    weekday = (day + 3) % 7
    monday = (weekday == 0) & calendar.holiday(day + 1)
    friday = (weekday == 4) & calendar.holiday(day - 1)
    result: BoolArray = (monday | friday) & ~calendar.holiday(day)
    return result


def day_kind(calendar: Calendar, day: IntArray) -> IntArray:
    """Return 0 for working days, 1 for Saturdays, 2 for Sundays and public holidays."""
    weekday = (day + 3) % 7
    kind: IntArray = np.where(calendar.holiday(day) | (weekday == 6), 2, np.where(weekday == 5, 1, 0))
    return kind
