"""Owns the alarms: what needs a person now, one for each common cause, with priority, first-out and what to do.

An automatic rollback that worked is an event, not an alarm. What people have marked is kept in the ledger.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from recloser.app.platform import Platform
from recloser.app.views.trust import AreaFacts, Doubt, Opinion
from recloser.core import InvalidInput, format_utc, parse_utc
from recloser.ledger import SignalRecord, StateRecord

ACKNOWLEDGED = timedelta(hours=24)
"""So long an acknowledgement counts; then the alarm asks again."""
LONGEST_SHELF_H = 72.0
SHIFT = timedelta(hours=8)
BUDGET = 1
"""Signals in a shift that a person can still answer; IEC 62682 gives about 144 alarms a day to all of a desk."""
SHOWN = 20
KEPT = "console.alarm"
PRIORITIES = ("high", "medium", "low")
UNDATED = frozenset({"never", "no_data"})
"""Causes of which nobody knows since when: a mark of a person counts until it ends."""
HIGH = frozenset({"never", "recalled", "ended", "late"})
TEXTS = {
    "never": ("no forecast was ever made", "Train and forecast: recloser run, recloser forecast."),
    "recalled": ("forecasts were recalled and nothing took their place", "Use the last plan; see the release's page."),
    "ended": ("no forecast covers the present", "See whether controller and data are there: recloser doctor."),
    "late": ("no forecast by its deadline", "See whether the controller runs; recloser forecast makes the issue."),
    "fallback": ("the fallback ladder answers", "Use the forecast with care; see the release's page for why."),
    "no_data": ("no usable load in the last two days", "See the links and the feed."),
    "old_data": ("usable load is old", "See the links and the feed."),
}


@dataclass(frozen=True, slots=True)
class Alarm:
    """What needs a person.

    Attributes:
        key: of its cause; marks of people are about it.
        priority: 0 high, 1 medium, 2 low.
        since: when the first area was struck (aware UTC); None where nobody knows.
        first: the area struck first, empty where no area is.
        areas: all of them.
        sentence, response: what is the matter, and what a person can do.
    """

    key: str
    priority: int
    since: datetime | None
    first: str
    areas: tuple[str, ...]
    sentence: str
    response: str


@dataclass(frozen=True, slots=True)
class Mark:
    """What a person says of an alarm: acknowledge, or shelve for some hours; who and why."""

    kind: str
    who: str
    reason: str
    hours: float | None = None


def alarms_of(
    judged: Mapping[str, tuple[AreaFacts, Opinion]], signals: Mapping[str, SignalRecord], now: datetime
) -> list[Alarm]:
    """Return the alarms, the most urgent and then the oldest first; many areas with one cause are one alarm.

    Args:
        judged: facts and opinion of each area.
        signals: open signals by key.
        now: aware UTC.
    """
    struck: dict[str, list[tuple[datetime, str, Doubt]]] = {}
    for area, (_, found) in judged.items():
        for doubt in found.doubts:
            struck.setdefault(doubt.cause, []).append((doubt.since or now, area, doubt))
    alarms = [_alarm(cause, sorted(rows, key=lambda row: row[:2]), signals) for cause, rows in struck.items()]
    return sorted(alarms, key=lambda alarm: (alarm.priority, alarm.since or now, alarm.key))


def _alarm(cause: str, rows: Sequence[tuple[datetime, str, Doubt]], signals: Mapping[str, SignalRecord]) -> Alarm:
    _, first, doubt = rows[0]
    areas = tuple(area for _, area, _ in rows)
    signal = signals.get(cause)
    if signal is not None:
        priority = 1 if signal.signal_class == "data_fault" else 2
        return Alarm(cause, priority, signal.since, first, areas, doubt.sentence, "See the area and its measurements.")
    text, response = TEXTS[cause]
    return Alarm(cause, 0 if cause in HIGH else 1, doubt.since, first, areas, text, response)


def alarms_document(platform: Platform, alarms: Sequence[Alarm]) -> dict[str, Any]:
    """Return the alarms with what people have marked, JSON-ready, and the rate of signals against its budget.

    Keys: now, alarms (rows; `mark` is None, or {"kind", "by", "at", "until", "reason"}), active, unacknowledged,
    shelved, rate ({"signals", "hours", "budget"}).
    """
    now = platform.clock.now()
    rows = [_row(alarm, mark_in_force(platform, alarm, now)) for alarm in alarms]
    shelved = [row for row in rows if row["mark"] and row["mark"]["kind"] == "shelve"]
    raised = platform.ledger.find(SignalRecord, since=("at", now - SHIFT))
    return {
        "now": format_utc(now),
        "alarms": rows,
        "active": len(rows) - len(shelved),
        "unacknowledged": sum(row["mark"] is None for row in rows),
        "shelved": len(shelved),
        "rate": {"signals": len(raised), "hours": SHIFT.total_seconds() / 3600.0, "budget": BUDGET},
    }


def _told(since: datetime | None) -> str | None:
    return None if since is None else format_utc(since)


def _row(alarm: Alarm, mark: Mapping[str, Any] | None) -> dict[str, Any]:
    return {
        "key": alarm.key,
        "priority": PRIORITIES[alarm.priority],
        "since": _told(alarm.since),
        "first": alarm.first,
        "areas": list(alarm.areas[:SHOWN]),
        "count": len(alarm.areas),
        "sentence": alarm.sentence,
        "response": alarm.response,
        "mark": mark,
    }


def mark_in_force(platform: Platform, alarm: Alarm, now: datetime) -> dict[str, Any] | None:
    """Return what a person said of this alarm if it still counts: not over, and not of an earlier occurrence."""
    record = platform.ledger.get(StateRecord, f"{KEPT}/{alarm.key}")
    if record is None or now >= parse_utc(record.state["until"]):
        return None
    if alarm.key not in UNDATED and record.state["since"] != _told(alarm.since):
        return None
    return {name: record.state[name] for name in ("kind", "by", "at", "until", "reason")}


def mark_alarm(platform: Platform, alarms: Sequence[Alarm], key: str, mark: Mark) -> str:
    """Write that a person acknowledges an alarm, or shelves it for some hours; return a sentence.

    Raises:
        InvalidInput: there is no such alarm now, or a shelf of another length than may be.
    """
    alarm = next((alarm for alarm in alarms if alarm.key == key), None)
    if alarm is None:
        raise InvalidInput("there is no such alarm now", got=key[:100], where="alarm")
    if mark.kind == "shelve" and not (mark.hours is not None and 0.0 < mark.hours <= LONGEST_SHELF_H):
        raise InvalidInput("a shelf ends", got=mark.hours, expected=f"> 0, <= {LONGEST_SHELF_H:.0f} hours")
    now = platform.clock.now()
    until = format_utc(now + (timedelta(hours=mark.hours or 0.0) if mark.kind == "shelve" else ACKNOWLEDGED))
    facts = {"kind": mark.kind, "by": mark.who, "at": format_utc(now), "until": until, "reason": mark.reason}
    with platform.ledger.change(mark.who, now) as change:
        change.put(StateRecord(f"{KEPT}/{key}", now, {**facts, "since": _told(alarm.since)}))
        change.note(f"alarm.{mark.kind}", key, {"reason": mark.reason, "until": until, "areas": len(alarm.areas)})
    done = "acknowledged" if mark.kind == "acknowledge" else "shelved"
    return f"'{alarm.sentence}' is {done} until {until}."
