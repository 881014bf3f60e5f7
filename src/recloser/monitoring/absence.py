"""Owns telling what should be there and is not: forecasts, load, a controller. Pure; reads nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from recloser.core import format_utc

NAMED = 5


class AbsenceKind(StrEnum):
    """What is not there."""

    FORECAST = "forecast"
    LOAD = "load"
    CONTROLLER = "controller"


@dataclass(frozen=True, slots=True)
class AbsencePlan:
    """When something counts as absent.

    Attributes:
        forecast_within: after the issue time every area must have a valid forecast by then.
        load_within: since the end of the newest interval whose load is known.
    """

    forecast_within: timedelta = timedelta(minutes=30)
    load_within: timedelta = timedelta(hours=30)


@dataclass(frozen=True, slots=True)
class Attendance:
    """What is there, as found at one moment; all times aware UTC.

    Attributes:
        serving: a model has ever been put into service; before that no forecast is missed.
        due: the latest issue whose deadline has passed, None before the first.
        issued: area -> issue of its newest valid forecast, None without any; every area that must be forecast.
        load_until: end of the newest interval whose load is known, None without any load.
        led_until: end of the lease of the controller that led last, None if none ever led.
    """

    serving: bool
    due: datetime | None
    issued: Mapping[str, datetime | None]
    load_until: datetime | None
    led_until: datetime | None


@dataclass(frozen=True, slots=True)
class Absence:
    """One thing that is not there, with everything it concerns: a common cause is one absence.

    Attributes:
        kind: what.
        since: when it should have been there, aware UTC.
        areas: concerned, sorted; all of them for a controller or load.
        sentence: for an operator.
    """

    kind: AbsenceKind
    since: datetime
    areas: tuple[str, ...]
    sentence: str


def absences(found: Attendance, plan: AbsencePlan, now: datetime) -> tuple[Absence, ...]:
    """Return what is absent at `now` (aware UTC), one absence a kind."""
    if not found.serving:
        return ()
    return (*_forecasts(found, plan), *_load(found, plan, now), *_controller(found, now))


def _forecasts(found: Attendance, plan: AbsencePlan) -> Sequence[Absence]:
    due = found.due
    if due is None:
        return ()
    areas = tuple(sorted(area for area, issued in found.issued.items() if issued is None or issued < due))
    if not areas:
        return ()
    by = due + plan.forecast_within
    named = ", ".join(areas[:NAMED]) + (f" and {len(areas) - NAMED} more" if len(areas) > NAMED else "")
    which = "any area" if len(areas) == len(found.issued) else f"{len(areas)} of {len(found.issued)} areas ({named})"
    sentence = f"No valid forecast of {which} from the issue of {format_utc(due)}; it was due by {format_utc(by)}."
    return (Absence(AbsenceKind.FORECAST, by, areas, sentence),)


def _load(found: Attendance, plan: AbsencePlan, now: datetime) -> Sequence[Absence]:
    if found.load_until is None or now - found.load_until <= plan.load_within:
        return ()
    gone = now - found.load_until
    ago = f"{gone / timedelta(hours=1):.0f} h" if gone < timedelta(days=4) else f"{gone.days} days"
    sentence = f"No load is known after {format_utc(found.load_until)}, {ago} ago: forecasts grow worse by the hour."
    return (Absence(AbsenceKind.LOAD, found.load_until + plan.load_within, tuple(sorted(found.issued)), sentence),)


def _controller(found: Attendance, now: datetime) -> Sequence[Absence]:
    if found.led_until is None or now <= found.led_until:
        return ()
    sentence = (
        f"No controller has led since {format_utc(found.led_until)}: nothing is issued, watched or decided; "
        "gateways serve the champion alone."
    )
    return (Absence(AbsenceKind.CONTROLLER, found.led_until, tuple(sorted(found.issued)), sentence),)
