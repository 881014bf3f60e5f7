"""Owns calendar features in local time: hour, weekday, season, holidays and what surrounds them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from recloser.core import FloatArray, Horizon, unknown_name
from recloser.features.block import Block
from recloser.features.calendar import DAY, HOUR, bridge_days, day_kind

YEAR_DAYS = 365.2425


@dataclass(frozen=True, slots=True)
class LocalTime:
    """A property of the target's local wall time or local day; the same for all areas.

    Attributes:
        field: one of `LOCAL_FIELDS`.
    """

    field: str

    def __post_init__(self) -> None:
        if self.field not in LOCAL_FIELDS:
            raise unknown_name("calendar field", self.field, LOCAL_FIELDS, where="FeatureSet")

    @property
    def name(self) -> str:
        """Return the field."""
        return self.field

    @property
    def quantity(self) -> None:
        """Return None: it reads no series."""
        return

    @property
    def reach(self) -> timedelta:
        """Return nothing: the calendar is known."""
        return timedelta(0)

    def check(self, horizon: Horizon) -> None:
        """Accept: the calendar is known."""

    def column(self, block: Block) -> FloatArray:
        """Return the field, shape (1, n_rows)."""
        return LOCAL_FIELDS[self.field](block)[None, :]


@dataclass(frozen=True, slots=True)
class HolidayLag:
    """1 where the local day `days` before the target's was a public holiday, so that its load misleads."""

    days: int

    @property
    def name(self) -> str:
        """Return e.g. holiday_lag_7d."""
        return f"holiday_lag_{self.days}d"

    @property
    def quantity(self) -> None:
        """Return None: it reads no series."""
        return

    @property
    def reach(self) -> timedelta:
        """Return nothing: the calendar is known."""
        return timedelta(0)

    def check(self, horizon: Horizon) -> None:
        """Accept: the calendar is known."""

    def column(self, block: Block) -> FloatArray:
        """Return 0 or 1, shape (1, n_rows)."""
        day = block.calendar.day(block.row_cell) - self.days
        return block.calendar.holiday(day).astype(np.float64)[None, :]


def _hour(block: Block) -> FloatArray:
    result: FloatArray = (block.calendar.local[block.row_cell] % DAY) / HOUR
    return result


def _weekday(block: Block) -> FloatArray:
    return ((block.calendar.day(block.row_cell) + 3) % 7).astype(np.float64)


def _year_days(block: Block) -> FloatArray:
    days: FloatArray = (block.calendar.local[block.row_cell] / DAY) % YEAR_DAYS
    return days


def _year_day(block: Block) -> FloatArray:
    return np.floor(_year_days(block))


def _holiday(shift: int) -> Callable[[Block], FloatArray]:
    def field(block: Block) -> FloatArray:
        return block.calendar.holiday(block.calendar.day(block.row_cell) + shift).astype(np.float64)

    return field


def _bridge(block: Block) -> FloatArray:
    return bridge_days(block.calendar, block.calendar.day(block.row_cell)).astype(np.float64)


def _day_kind(block: Block) -> FloatArray:
    return day_kind(block.calendar, block.calendar.day(block.row_cell)).astype(np.float64)


def _lead(block: Block) -> FloatArray:
    cells = block.row_cell - block.issue_cell[block.row_issue]
    hours: FloatArray = cells * block.calendar.grid.step / HOUR
    return hours


LOCAL_FIELDS: dict[str, Callable[[Block], FloatArray]] = {
    "hour": _hour,
    "weekday": _weekday,
    "year_day": _year_day,
    "holiday": _holiday(0),
    "holiday_before": _holiday(1),
    "holiday_after": _holiday(-1),
    "bridge": _bridge,
    "day_kind": _day_kind,
    "lead_hours": _lead,
}
