"""Owns what consumers of the gateway are told: audit entries become events, with the forecasts they are about.

An event's id is the number of its audit entry, so a stream resumes across a restart of the gateway. Sends nothing.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from recloser.core import format_utc, parse_utc
from recloser.ledger import Entry, ForecastRecord, Ledger
from recloser.serving.http import EventBuffer

HISTORY = 24
"""Events a new gateway process takes over from the audit log."""

LONGEST_INTERVAL = timedelta(days=1)
"""A recall voids only what has an unexpired interval; no interval is longer. Spares reading years of forecasts."""

ANNOUNCED = {
    "forecast.issue": "forecast",
    "rollout.trip": "recall",
    "rollout.rollback": "recall",
    "rollout.fall_back": "recall",
}


def kind_of(entry: Entry) -> str | None:
    """Return what kind of event an audit entry is, None if consumers need not hear of it."""
    return ANNOUNCED.get(entry.action) or ("recall" if entry.facts.get("recalled") else None)


def event_data(ledger: Ledger, entry: Entry, kind: str) -> dict[str, Any]:
    """Return what consumers are told about an audit entry: the entry, and which forecasts are new or void.

    Raises:
        Unavailable: the ledger cannot be read now.
    """
    told = {"at": format_utc(entry.at), "what": entry.action, "subject": entry.subject, "facts": dict(entry.facts)}
    if kind == "recall":
        unexpired = ("last_target", entry.at - LONGEST_INTERVAL)
        void = ledger.find(ForecastRecord, void_at=entry.at, since=unexpired)
        new = {record.replaced_by for record in void if record.replaced_by is not None}
        pairs = [{"area": record.area, "void": record.key, "new": record.replaced_by} for record in void]
        return {**told, "void_ids": [record.key for record in void], "new_ids": sorted(new), "recalled": pairs}
    issue = parse_utc(entry.subject, entry.action)
    made = ledger.find(ForecastRecord, issued_at=issue, made_at=entry.at, order_by="area")
    return {**told, "issued_at": format_utc(issue), "ids": {record.area: record.key for record in made}}


def events_so_far(ledger: Ledger) -> tuple[EventBuffer, int]:
    """Return a buffer with the last events of the audit log, and the number of its last entry.

    Raises:
        Unavailable: the ledger cannot be read now.
    """
    entries = ledger.entries()
    announced = [(entry, kind) for entry in entries if (kind := kind_of(entry)) is not None]
    kept = announced[-HISTORY:]
    forgotten = announced[-HISTORY - 1][0].seq if len(announced) > HISTORY else 0
    events = EventBuffer(first_id=forgotten + 1)
    for entry, kind in kept:
        events.publish(kind, event_data(ledger, entry, kind), event_id=entry.seq)
    return events, entries[-1].seq if entries else 0


def announce(ledger: Ledger, events: EventBuffer, after: int) -> int:
    """Publish what the next audit entry after a number has to say; return its number, or `after` if there is none.

    Raises:
        Unavailable: the ledger cannot be read now; nothing was published.
    """
    for entry in ledger.entries(after=after, limit=1):
        kind = kind_of(entry)
        if kind is not None:
            events.publish(kind, event_data(ledger, entry, kind), event_id=entry.seq)
        return entry.seq
    return after
