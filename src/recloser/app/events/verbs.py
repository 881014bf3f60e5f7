"""Owns what the command line asks about events, as JSON-ready documents. Prints nothing."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from recloser.app.events.labels import CLASS, add_missed, event_row, label_event
from recloser.app.platform import Platform
from recloser.core import InvalidInput
from recloser.ledger import SignalRecord


def list_events(folder: Path, *, limit: int, unlabelled: bool = False) -> dict[str, Any]:
    """Return the newest events, newest first: {"events": [{"event", "kind", "first_at", "over_at", "label", ...}]}.

    Args:
        folder: project.
        limit: at most so many.
        unlabelled: only those of which nobody has said what they were.
    """
    with Platform.open(folder) as platform:
        _need_events(platform)
        found = platform.ledger.find(SignalRecord, signal_class=CLASS, order_by="at", descending=True)
        rows = [event_row(record) for record in found]
        return {"events": [row for row in rows if not (unlabelled and row["label"])][:limit]}


def label_of_event(folder: Path, event: str, *, kind: str, name: str) -> dict[str, Any]:
    """Write down what an event was: a kind, or 'none' for a false alarm; see `label_event`."""
    with Platform.open(folder) as platform:
        _need_events(platform)
        label_event(platform.ledger, event, kind, kinds=platform.areas, name=name, now=platform.today())
        return _told(platform, event)


def missed_event(folder: Path, span: tuple[datetime, datetime], *, kind: str, name: str) -> dict[str, Any]:
    """Write down an event that no detector told; see `add_missed`."""
    with Platform.open(folder) as platform:
        _need_events(platform)
        told = add_missed(platform.ledger, span, kind, kinds=platform.areas, name=name, now=platform.today())
        return _told(platform, told.key)


def _told(platform: Platform, key: str) -> dict[str, Any]:
    record = platform.ledger.get(SignalRecord, key)
    assert record is not None
    return event_row(record)


def _need_events(platform: Platform) -> None:
    if not platform.detects:
        raise InvalidInput(
            "this project detects no events",
            where=str(platform.layout.root),
            expected="a table [events] in recloser.toml",
            next_step="Make one with: recloser init DIR --template pmu --time-zone TZ",
        )
