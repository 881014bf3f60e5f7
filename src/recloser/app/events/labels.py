"""Owns what people say about events, and what windows show by that. Detects nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from recloser.app.events.windows import DRILL
from recloser.core import InvalidInput, format_utc, instant, short_id, unknown_name
from recloser.ledger import Ledger, SignalRecord

CLASS = "grid_event"
"""`signal_class` of an event in the ledger."""
NOTHING = "none"
BEFORE_S = 2.0
"""So long before an event was first seen a window may already show some of it."""
LASTING = frozenset({"oscillation", "islanding", "bad_data"})


@dataclass(frozen=True, slots=True)
class Told:
    """An event with what people say about it.

    Attributes:
        key: of its record.
        kind: as what it was told.
        first_at, over_at: aware UTC; None while it goes on.
        label: what it was by people: a kind, 'none', or None as long as nobody has said.
    """

    key: str
    kind: str
    first_at: datetime
    over_at: datetime | None
    label: str | None


def told_of(record: SignalRecord) -> Told:
    """Return an event of the ledger."""
    label = record.evidence.get("label")
    return Told(record.key, record.areas[0], record.since, record.closed_at, None if label is None else label["kind"])


def events_between(ledger: Ledger, start: datetime, end: datetime) -> list[Told]:
    """Return the events that began in [start, end), in order."""
    found = ledger.find(SignalRecord, signal_class=CLASS, since=("at", start), order_by="at")
    return [told_of(record) for record in found if record.since < end]


def labelled(windows: pl.DataFrame, events: Sequence[Told], window_s: float) -> pl.DataFrame:
    """Return windows with a column `label`: a kind, 'none', or null where nobody can say.

    Drills show what was laid over them. Live windows show nothing, but for those about events: what people said, and
    null where they have not yet, or where a window shows a part of it only.

    Args:
        windows: SEEN_SCHEMA.
        events: of that time and a little before.
        window_s: length of a window.
    """
    label = pl.when(pl.col("origin") == DRILL).then(pl.col("event")).otherwise(pl.lit(NOTHING))
    for event in events:
        if event.label == NOTHING:
            continue
        over = event.over_at or event.first_at + timedelta(seconds=window_s)
        seen = over if event.label in LASTING else min(over, event.first_at + timedelta(seconds=window_s / 2.0))
        around = (event.first_at - timedelta(seconds=BEFORE_S), over + timedelta(seconds=window_s))
        label = pl.when(_live(*around)).then(pl.lit(None, dtype=pl.String)).otherwise(label)
        if event.label is not None:
            label = pl.when(_live(event.first_at, seen)).then(pl.lit(event.label)).otherwise(label)
    return windows.with_columns(label.alias("label"))


def _live(start: datetime, end: datetime) -> pl.Expr:
    return (pl.col("origin") != DRILL) & pl.col("at").is_between(instant(start), instant(end))


def label_event(ledger: Ledger, key: str, kind: str, *, kinds: Sequence[str], name: str, now: datetime) -> Told:
    """Write down what an event was; said again, the newest word counts.

    Args:
        ledger: of the project.
        key: the event.
        kind: one of `kinds`, or 'none': a false alarm.
        kinds: of the project.
        name: the person who says so.
        now: aware UTC.

    Raises:
        InvalidInput: no such event, or no such kind.
    """
    if kind not in {*kinds, NOTHING}:
        raise unknown_name("kind of event", kind, [*kinds, NOTHING], "--kind")
    record = ledger.get(SignalRecord, key)
    if record is None or record.signal_class != CLASS:
        known = [one.key for one in ledger.find(SignalRecord, signal_class=CLASS, order_by="at", descending=True)]
        raise unknown_name("event", key, known[:50], "EVENT")
    label = {"kind": kind, "by": name, "at": format_utc(now)}
    labelled_record = replace(record, evidence={**record.evidence, "label": label})
    with ledger.change(name, now) as change:
        change.put(labelled_record)
        change.note("event.label", key, {"told": record.areas[0], "label": kind})
    return told_of(labelled_record)


def add_missed(
    ledger: Ledger, span: tuple[datetime, datetime], kind: str, *, kinds: Sequence[str], name: str, now: datetime
) -> Told:
    """Write down an event that no detector told, so that its windows are labelled.

    Args:
        ledger: of the project.
        span: when it began and was over (aware UTC).
        kind: what it was.
        kinds: of the project.
        name: the person who says so.
        now: aware UTC.

    Raises:
        InvalidInput: no such kind, or it was over before it began.
    """
    if kind not in kinds:
        raise unknown_name("kind of event", kind, kinds, "--kind")
    start, end = span
    if not start < end <= now:
        raise InvalidInput(
            "a span that no event can have had", got=f"{format_utc(start)} to {format_utc(end)}", where="--from, --to"
        )
    record = SignalRecord(
        key=short_id("event", [kind, start, end, "missed"]),
        at=start,
        signal_class=CLASS,
        severity="missed",
        areas=[kind],
        since=start,
        reason=f"{kind.replace('_', ' ')}, told by {name}: no detector told it",
        evidence={"label": {"kind": kind, "by": name, "at": format_utc(now)}},
        closed_at=end,
    )
    with ledger.change(name, now) as change:
        change.put(record)
        change.note("event.missed", record.key, {"kind": kind, "from": format_utc(start), "to": format_utc(end)})
    return told_of(record)


def event_row(record: SignalRecord) -> dict[str, Any]:
    """Return an event as JSON-ready data."""
    label = record.evidence.get("label")
    return {
        "event": record.key,
        "kind": record.areas[0],
        "first_at": format_utc(record.since),
        "found_at": format_utc(record.at),
        "over_at": None if record.closed_at is None else format_utc(record.closed_at),
        "probability": record.evidence.get("probability"),
        "release": record.evidence.get("release"),
        "served_by": record.evidence.get("served_by"),
        "missed": record.severity == "missed",
        "label": None if label is None else label["kind"],
        "label_by": None if label is None else label["by"],
        "reason": record.reason,
    }
