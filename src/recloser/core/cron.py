"""Owns recurring local times written like cron. Starts nothing and reads no clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from recloser.core.errors import InvalidInput
from recloser.core.time import require_utc

_FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day", 1, 31), ("month", 1, 12), ("weekday", 0, 7))
_NAMES = {
    "month": ("", "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
    "weekday": ("sun", "mon", "tue", "wed", "thu", "fri", "sat"),
}
_SHORT = {2: 29, 4: 30, 6: 30, 9: 30, 11: 30}


@dataclass(frozen=True, slots=True)
class Cron:
    """Local wall times that recur: minute, hour, day of the month, month, weekday (0 and 7 are Sunday).

    As in cron, when both day and weekday are restricted either is enough. A wall time that a clock change skips is
    taken as if the clock had not yet changed; one that occurs twice is taken at its first occurrence.
    """

    zone: ZoneInfo
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either: bool

    @classmethod
    def parse(cls, text: str, zone: ZoneInfo, where: str = "cron") -> Cron:
        """Return what five fields of numbers, `*`, lists, ranges and `/steps` say; months and weekdays also by name.

        Raises:
            InvalidInput: another number of fields, a field that cannot be read, or a day that never comes.
        """
        words = text.split()
        if len(words) != len(_FIELDS):
            expected = "minute hour day month weekday, such as '0 16 * 1-3,11,12 mon-fri'"
            raise InvalidInput("not five fields", got=text, expected=expected, where=where)
        sets = [_field(word, field, where) for word, field in zip(words, _FIELDS, strict=True)]
        weekdays = frozenset(number % 7 for number in sets[4])
        either = not words[2].startswith("*") and not words[4].startswith("*")
        if not either and not any(min(sets[2]) <= _SHORT.get(month, 31) for month in sets[3]):
            raise InvalidInput(
                "a day that never comes", got=text, expected="a day that one of the months has", where=where
            )
        return cls(zone, sets[0], sets[1], sets[2], sets[3], weekdays, either)

    def latest(self, now: datetime, within: timedelta) -> datetime | None:
        """Return the latest occurrence in (now - within, now] (aware UTC), None without one."""
        instant = require_utc(now, "cron.latest")
        day = instant.astimezone(self.zone).date() + timedelta(days=1)
        first = (instant - within).astimezone(self.zone).date() - timedelta(days=1)
        while day >= first:
            for at in self._of_day(day):
                if at <= instant:
                    return at if at > instant - within else None
            day -= timedelta(days=1)
        return None

    def _of_day(self, day: date) -> Iterator[datetime]:
        """Yield the day's occurrences as aware UTC, latest first."""
        if not self._on(day):
            return
        found = {
            datetime.combine(day, time(hour, minute), tzinfo=self.zone).astimezone(UTC)
            for hour in self.hours
            for minute in self.minutes
        }
        yield from sorted(found, reverse=True)

    def _on(self, day: date) -> bool:
        by_day, by_weekday = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return day.month in self.months and ((by_day or by_weekday) if self.either else (by_day and by_weekday))


def _field(word: str, field: tuple[str, int, int], where: str) -> frozenset[int]:
    name, low, high = field
    found: set[int] = set()
    for part in word.split(","):
        span, _, step_text = part.partition("/")
        first, _, last = span.partition("-")
        numbers = [low, high] if span == "*" else [_number(first, name), _number(last or first, name)]
        if name == "weekday" and last.lower() == "sun":
            numbers[1] = high
        if span != "*" and "/" in part and not last:
            numbers[1] = high
        step = _number(step_text, "") if "/" in part else 1
        if None in {*numbers, step} or not low <= (numbers[0] or 0) <= (numbers[1] or 0) <= high or not step:
            raise InvalidInput(f"cannot read the {name}", got=word, expected=f"{low}..{high}, *, a-b, */n", where=where)
        found.update(range(numbers[0] or 0, (numbers[1] or 0) + 1, step))
    return frozenset(found)


def _number(text: str, field: str) -> int | None:
    names = _NAMES.get(field, ())
    if text and text.lower() in names:
        return names.index(text.lower())
    return int(text) if text.isascii() and text.isdigit() else None
