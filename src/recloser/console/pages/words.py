"""Owns how pages say times, ages, numbers and states: always with words, never by colour alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from recloser.console.markup import Markup, el
from recloser.core import format_utc, parse_utc

SIGNS = ("", "▲", "■")
"""Signs of the trust states, so that colour is never alone."""
CLASSES = ("plain", "care", "stop")


@dataclass(frozen=True, slots=True)
class Wall:
    """The wall clock that a page's dates are told by: the project's zone, and the instant that the page shows."""

    zone: ZoneInfo
    now: datetime

    def day(self, at: datetime) -> str:
        """Return the local day of an instant, with the year where that is not the page's own."""
        there = self.there(at)
        return f"{there:%a %d %b}" if there.year == self.there(self.now).year else f"{there:%a %d %b %Y}"

    def there(self, at: datetime) -> datetime:
        """Return an instant in the zone; at the ends of all dates, such as a freeze for ever, as it is."""
        try:
            return at.astimezone(self.zone)
        except OverflowError:
            return at


def stamp(text: str | None, wall: Wall) -> Markup:
    """Return an instant (ISO 8601 UTC) as local wall time; a dash without one."""
    if text is None:
        return el("span", "-", class_="quiet")
    at = parse_utc(text)
    return el("time", f"{wall.day(at)} {wall.there(at):%H:%M}", datetime=text, title=text)


def moment(text: str, wall: Wall, *, day: bool = False) -> Markup:
    """Return an instant (ISO 8601 UTC) as local wall time to the millisecond, with its day or without."""
    at = parse_utc(text)
    there = f"{wall.there(at):%H:%M:%S.%f}"[:-3]
    return el("time", f"{wall.day(at)} {there}" if day else there, datetime=text, title=text)


def text_of(at: datetime | str | None) -> str | None:
    """Return an instant as ISO 8601 UTC, however a document holds it."""
    return format_utc(at) if isinstance(at, datetime) else at


def age(text: str | None, now: str) -> Markup:
    """Return how long ago an instant was at `now`, both ISO 8601 UTC; the page keeps counting while it is open."""
    if text is None:
        return el("span", "unknown", class_="quiet")
    return el("time", span_words((parse_utc(now) - parse_utc(text)).total_seconds()), datetime=text, data_age=text)


def span_words(seconds: float) -> str:
    """Return a length of time in the largest fitting unit; negative ones as 'in ...'."""
    size = abs(seconds)
    for unit, length in (("days", 172_800.0), ("h", 7_200.0), ("min", 120.0)):
        if size >= length:
            told = f"{int(size // {'days': 86_400, 'h': 3_600, 'min': 60}[unit])} {unit}"
            break
    else:
        told = f"{int(size)} s"
    return told if seconds >= 0 else f"in {told}"


def state(row_state: int, words: str) -> Markup:
    """Return a trust state as sign and words."""
    return el("span", f"{SIGNS[row_state]} {words}".strip(), class_=f"state {CLASSES[row_state]}")


def who(served_by: str | None) -> str:
    """Return who serves in plain words."""
    if served_by is None:
        return "nobody"
    kind, _, rung = served_by.partition(":")
    return f"fallback: {rung.replace('_', ' ')}" if kind == "fallback" else kind


def local(at: datetime, zone: ZoneInfo) -> str:
    """Return an instant as local wall time with its zone."""
    return f"{at.astimezone(zone):%a %d %b %Y %H:%M %Z}"
