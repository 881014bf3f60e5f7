"""Owns schedules in local time: when a periodic retraining is due, by name or as in cron. Starts nothing."""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Protocol
from zoneinfo import ZoneInfo

from recloser.core import InvalidInput, require_utc
from recloser.core.cron import Cron


class Every(StrEnum):
    """Period of a schedule."""

    DAYS = "days"
    WEEKLY = "weekly"
    MONTHLY = "monthly"


class Recurrence(Protocol):
    """A schedule; pure."""

    def latest(self, begun_at: datetime, now: datetime) -> tuple[date, datetime] | None:
        """Return the latest due date in (begun_at, now] as a local name and as an instant, None without one yet.

        The name is the same whenever it is asked for; it is a local day, or a local time where a day may have several.
        """
        ...


@dataclass(frozen=True, slots=True)
class CronSchedule:
    """Local wall times as in cron.

    In spring a wall time that does not exist is due as if the clock had not yet changed (02:30 becomes 03:30); in
    autumn one that occurs twice is due at its first occurrence alone. So a day has each of its times exactly once.
    """

    cron: Cron

    def latest(self, begun_at: datetime, now: datetime) -> tuple[date, datetime] | None:
        """See `Recurrence`; the name is the local time."""
        since = require_utc(now, "schedule") - require_utc(begun_at, "schedule")
        due = self.cron.latest(now, since) if since > timedelta(0) else None
        return None if due is None else (due.astimezone(self.cron.zone), due)


@dataclass(frozen=True, slots=True)
class Schedule:
    """A local wall time on every n-th day, one weekday, or one day of the month.

    A wall time that a clock change skips is taken as if the clock had not yet changed; one that occurs twice is taken
    at its first occurrence. A day of the month beyond its end is its last day.

    Attributes:
        every: period.
        zone: local zone.
        at: local wall time.
        days: length of the period in days, for DAYS; counted in local days from `begun_at`.
        weekday: 0 = Monday .. 6, for WEEKLY.
        day: 1..31, for MONTHLY.

    Raises:
        InvalidInput: a number out of its range.
    """

    every: Every
    zone: ZoneInfo
    at: time = time(2, 0)
    days: int = 7
    weekday: int = 0
    day: int = 1

    def __post_init__(self) -> None:
        for name, low, high in (("days", 1, 3660), ("weekday", 0, 6), ("day", 1, 31)):
            if not low <= getattr(self, name) <= high:
                raise InvalidInput(
                    "schedule out of range",
                    got=getattr(self, name),
                    expected=f"{low}..{high}",
                    where=f"schedule.{name}",
                )

    def latest(self, begun_at: datetime, now: datetime) -> tuple[date, datetime] | None:
        """Return the latest due local day and instant (aware UTC) in (begun_at, now], None if there is none yet."""
        first = begun_at.astimezone(self.zone).date()
        for day in self._days_back(first, now.astimezone(self.zone).date()):
            due = datetime.combine(day, self.at, tzinfo=self.zone).astimezone(UTC)
            if due <= begun_at:
                return None
            if due <= now:
                return day, due
        return None

    def _days_back(self, first: date, last: date) -> Iterator[date]:
        """Yield the due local days from `last` back to `first`, latest first."""
        if self.every is Every.MONTHLY:
            year, month = last.year, last.month
            while (year, month) >= (first.year, first.month):
                day = date(year, month, min(self.day, calendar.monthrange(year, month)[1]))
                if first <= day <= last:
                    yield day
                year, month = (year, month - 1) if month > 1 else (year - 1, 12)
            return
        if self.every is Every.WEEKLY:
            step, back = 7, (last.weekday() - self.weekday) % 7
        else:
            step, back = self.days, (last - first).days % self.days
        day = last - timedelta(days=back)
        while day >= first:
            yield day
            day -= timedelta(days=step)
