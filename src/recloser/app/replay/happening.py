"""Owns the events that a scenario file may name: their keys, types and ranges in one table. Injects nothing itself."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

import polars as pl

from recloser.core import INCUMBENT, LOAD, TEMPERATURE, InvalidInput, format_utc, parse_utc, parse_zone, unknown_name
from recloser.simulation import (
    Event,
    Fahrenheit,
    Gap,
    LevelDrift,
    Lockdown,
    MiddayErosion,
    Scaled,
    Spikes,
    StampShift,
    Stuck,
    low_actuals,
)
from recloser.simulation.events import touched


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What an event may name.

    Attributes:
        areas: the project's.
        quantities: that are recorded.
        zone: the project's time zone.
    """

    areas: Sequence[str]
    quantities: Sequence[str] = (LOAD, TEMPERATURE, INCUMBENT)
    zone: str = "UTC"


Read = Callable[[Any, str, Surroundings], Any]
"""Makes the value of a key from what the file says, its place in the file, and the surroundings."""


@dataclass(frozen=True, slots=True)
class Number:
    """A finite number within bounds, both included.

    Attributes:
        low, high: bounds.
        what: how it is told.
        whole: no fraction.
        idle: value at which the event would do nothing, which nobody can mean; None where there is none.
    """

    low: float
    high: float
    what: str = "a number"
    whole: bool = False
    idle: float | None = None

    def __call__(self, value: Any, where: str, _around: Surroundings | None = None) -> Any:
        """Return the number; raises InvalidInput where it is none of these."""
        number = not isinstance(value, bool) and isinstance(value, int if self.whole else int | float)
        if not number or not self.low <= value <= self.high or value == self.idle:  # no comparison holds for NaN
            idle = "" if self.idle is None else f", not {self.idle:g}"
            expected = f"{self.what} from {self.low:g} to {self.high:g}{idle}"
            raise InvalidInput(f"not {self.what} that can be used", got=value, expected=expected, where=where)
        return value


def instant(value: Any, where: str, _around: Surroundings | None = None) -> datetime:
    """Return an aware time, or midnight UTC of a date."""
    if isinstance(value, datetime):
        return parse_utc(value.isoformat(), where)
    if isinstance(value, date):
        return parse_utc(datetime.combine(value, time(0)).isoformat() + "Z", where)
    return parse_utc(str(value), where)


def _areas(value: Any, where: str, around: Surroundings) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise InvalidInput("areas must be a list of names", got=value, expected="a list of names", where=where)
    for area in value:
        if area not in around.areas:
            raise unknown_name("area", area, around.areas, where=where)
    return tuple(value)


def _quantity(value: Any, where: str, around: Surroundings) -> str:
    if not isinstance(value, str) or value not in around.quantities:
        raise unknown_name("quantity", str(value), around.quantities, where=where)
    return value


def _zone(value: Any, where: str, _around: Surroundings) -> str:
    return parse_zone(str(value), where).key


def _days(value: Any, where: str, _around: Surroundings) -> timedelta:
    return timedelta(days=Number(0, 3650, "a number of days")(value, where))


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of event: what makes it, and how each of its keys is read."""

    make: Callable[..., Event]
    keys: Mapping[str, Read]

    def needed(self) -> list[str]:
        """Return the keys without a default; no areas are all areas."""
        given = inspect.signature(self.make).parameters
        return [key for key in self.keys if key != "areas" and given[key].default is inspect.Parameter.empty]


_DRIFT: dict[str, Read] = {"areas": _areas, "start": instant}
_FAULT: dict[str, Read] = {**_DRIFT, "end": instant, "quantity": _quantity}
_FACTOR = Number(-1e6, 1e6, "a factor", idle=1)
_LASTING: dict[str, Read] = {"onset": _days, "lasting": _days, "recovery": _days}
_SHARE = Number(0, 1, "a share", idle=0)
EVENTS: dict[str, Kind] = {
    "gap": Kind(Gap, _FAULT),
    "stuck": Kind(Stuck, _FAULT),
    "scaled": Kind(Scaled, {**_FAULT, "factor": _FACTOR}),
    "fahrenheit": Kind(Fahrenheit, _FAULT),
    "stamp_shift": Kind(StampShift, {**_FAULT, "hours": Number(-168, 168, "whole hours", whole=True, idle=0)}),
    "spikes": Kind(
        Spikes,
        {**_FAULT, "factor": _FACTOR, "share": _SHARE, "seed": Number(0, 2**31, "a whole number", whole=True)},
    ),
    "low_actuals": Kind(low_actuals, {**_DRIFT, "share": _SHARE}),
    "lockdown": Kind(
        Lockdown,
        {
            **_DRIFT,
            **_LASTING,
            "depth": Number(0, 0.5, "a share"),
            "weekend": Number(-0.5, 0.5, "a share"),
            "zone": _zone,
        },
    ),
    "level_drift": Kind(
        LevelDrift, {**_DRIFT, "share": Number(-1, 10, "a share", idle=0), "onset": _days, "end": instant}
    ),
    "midday_erosion": Kind(
        MiddayErosion, {**_DRIFT, "per_month": Number(-1, 1, "a share", idle=0), "end": instant, "zone": _zone}
    ),
}


def read_event(item: Mapping[str, Any], around: Surroundings, where: str) -> Event:
    """Return the event of a table [[event]].

    Args:
        item: as TOML has it.
        around: what it may name.
        where: file and number, for errors.

    Raises:
        InvalidInput: an unknown kind, key, area or quantity, a key that is missing, a value that cannot be meant.
    """
    name = item.get("kind")
    if not isinstance(name, str) or name not in EVENTS:
        raise unknown_name("event kind", str(name), EVENTS, where=f"{where}, kind")
    kind = EVENTS[name]
    for key in item:
        if key != "kind" and key not in kind.keys:
            raise unknown_name(f"key of a {name} event", key, kind.keys, where=f"{where}, {key}")
    for key in kind.needed():
        if key not in item:
            raise InvalidInput(f"a {name} event needs '{key}'", got=sorted(item), expected=key, where=where)
    given = {"areas": [], **({"zone": around.zone} if "zone" in kind.keys else {}), **item}
    if name == "fahrenheit":
        given.setdefault("quantity", TEMPERATURE)
    values = {key: read(given[key], f"{where}, {key}", around) for key, read in kind.keys.items() if key in given}
    try:
        event = kind.make(**values)
        label = event.label
    except OverflowError as error:
        raise InvalidInput("an event beyond the calendar", got=str(error), where=where) from error
    if label.end <= label.start:
        raise InvalidInput(
            "an event that ends before it begins",
            got=f"{format_utc(label.start)} .. {format_utc(label.end)}",
            expected="an end after the start",
            where=f"{where}, end" if "end" in values else where,
        )
    return event


def must_happen(event: Event, frame: pl.DataFrame, window: tuple[datetime, datetime], where: str) -> None:
    """Raise InvalidInput where an event touches nothing of what is replayed.

    Args:
        event: to judge.
        frame: recorded samples.
        window: of the replay: first instant and end (excluded).
        where: file and number, for errors.
    """
    label = event.label
    inside = touched(label) & pl.col("value").is_not_null()
    inside &= pl.col("at").is_between(*window, closed="left")
    if frame.lazy().filter(inside).head(1).collect().is_empty():
        outside = label.end <= window[0] or label.start >= window[1]
        why = "lies outside of the replay" if outside else f"touches no recorded {label.quantity}"
        raise InvalidInput(
            f"an event that {why}",
            got=f"{format_utc(label.start)} .. {format_utc(label.end)}, {', '.join(label.areas) or 'all areas'}",
            expected=f"samples within {format_utc(window[0])} .. {format_utc(window[1])}",
            where=where,
        )
