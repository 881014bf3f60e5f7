"""Owns aware-UTC time, the Clock that is passed in, and the day-ahead horizon. Never reads the wall clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from recloser.core.errors import InvalidInput, nearest

FIRST_ASKED, LAST_ASKED = datetime(1900, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """Tells the time to everything below `app`.

    `now` returns aware UTC and never goes back within one process; implementations are thread safe.
    """

    def now(self) -> datetime:
        """Return the current instant as aware UTC."""
        ...


class VirtualClock:
    """A clock that moves only when told, so that days run in milliseconds."""

    def __init__(self, start: datetime) -> None:
        self._now = require_utc(start, "VirtualClock")

    def now(self) -> datetime:
        """Return the virtual instant as aware UTC."""
        return self._now

    def advance_to(self, instant: datetime) -> None:
        """Move forward to `instant` (aware UTC).

        Raises:
            InvalidInput: the instant lies before the present one.
        """
        instant = require_utc(instant, "VirtualClock.advance_to")
        if instant < self._now:
            raise InvalidInput(
                "a clock cannot go back", got=format_utc(instant), expected=f">= {format_utc(self._now)}"
            )
        self._now = instant


def require_utc(instant: datetime, where: str) -> datetime:
    """Return `instant` in UTC.

    Raises:
        InvalidInput: the time is naive, or in UTC beyond the calendar.
    """
    if instant.tzinfo is None:
        raise InvalidInput(
            "a time without a zone",
            got=instant.isoformat(),
            expected="an aware time such as 2020-03-01T09:00:00Z",
            where=where,
            next_step="Say which zone it is in.",
        )
    try:
        return instant.astimezone(UTC)
    except OverflowError as error:
        raise InvalidInput(
            "a time outside the calendar", got=instant.isoformat(), expected="years 1 to 9999 in UTC", where=where
        ) from error


def within_reach(instant: datetime, where: str) -> datetime:
    """Return a time that somebody asked for, in UTC: one that days may be added to and that every zone can show.

    Raises:
        InvalidInput: the time is naive, or not in 1900 .. 2199.
    """
    found = require_utc(instant, where)
    if not FIRST_ASKED <= found < LAST_ASKED:
        raise InvalidInput(
            "a time out of range", got=instant.isoformat(), expected="a year from 1900 to 2199", where=where
        )
    return found


def parse_utc(text: str, where: str = "time", zone: ZoneInfo | None = None) -> datetime:
    """Parse ISO 8601 into aware UTC; a text without offset is read in `zone` if one is given.

    Raises:
        InvalidInput: unreadable, without an offset and without a zone, or beyond the calendar.
    """
    try:
        instant = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise InvalidInput(
            "unreadable time",
            got=text,
            expected="ISO 8601 such as 2020-03-01T09:00:00Z or 2020-03-01",
            where=where,
        ) from error
    if instant.tzinfo is None and zone is not None:
        instant = instant.replace(tzinfo=zone)
    return require_utc(instant, where)


def format_utc(instant: datetime) -> str:
    """Return ISO 8601 in UTC with a trailing Z, seconds precision unless there are microseconds."""
    return require_utc(instant, "format_utc").isoformat().replace("+00:00", "Z")


def parse_zone(name: str, where: str = "time_zone") -> ZoneInfo:
    """Return the IANA zone.

    Raises:
        InvalidInput: no such zone.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        guess = nearest(name, available_timezones())
        raise InvalidInput(
            "unknown time zone",
            got=name,
            expected="an IANA name such as Australia/Melbourne",
            where=where,
            next_step=f"Did you mean {guess!r}?" if guess else "Look it up in the IANA time zone database.",
        ) from error


def local_midnight(day: date, zone: ZoneInfo) -> datetime:
    """Return the UTC instant at which the local day begins."""
    return datetime.combine(day, time(0), tzinfo=zone).astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Horizon:
    """When a forecast is issued and what it is about: issued daily at a local time, for the following local day(s).

    Attributes:
        zone: local zone of the area; days have 23, 24 or 25 hours.
        resolution: length of one interval; `at` is its start.
        issue_time: local wall time of issue (day-ahead convention: 09:00).
        days: number of whole local days forecast, beginning with the day after the issue day.
    """

    zone: ZoneInfo
    resolution: timedelta
    issue_time: time = time(9, 0)
    days: int = 1

    def issue_on(self, day: date) -> datetime:
        """Return the UTC instant of the issue on the local day."""
        return datetime.combine(day, self.issue_time, tzinfo=self.zone).astimezone(UTC)

    def targets(self, issued_at: datetime) -> list[datetime]:
        """Return the interval starts (aware UTC, ascending) that the issue at `issued_at` is about."""
        day = issued_at.astimezone(self.zone).date()
        instant = local_midnight(day + timedelta(days=1), self.zone)
        end = local_midnight(day + timedelta(days=1 + self.days), self.zone)
        result = []
        while instant < end:
            result.append(instant)
            instant += self.resolution
        return result

    def issue_for(self, at: datetime) -> datetime:
        """Return the first issue that covers the interval starting at `at` (the longest lead)."""
        day = at.astimezone(self.zone).date()
        return self.issue_on(day - timedelta(days=self.days))

    def issues(self, start: datetime, end: datetime) -> Iterator[datetime]:
        """Yield every issue instant in [start, end)."""
        day = start.astimezone(self.zone).date()
        while True:
            instant = self.issue_on(day)
            if instant >= end:
                return
            if instant >= start:
                yield instant
            day += timedelta(days=1)
