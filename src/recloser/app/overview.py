"""Owns what the overview page shows, as a document. Draws nothing."""

from __future__ import annotations

from typing import Any

from recloser.app.platform import Platform
from recloser.app.verbs import status_document
from recloser.core import format_utc
from recloser.ledger import ForecastRecord

EVENTS = 14
QUIET = (
    "calibration.online",
    "rollout.lease",
    "days.close",
    "rollout.days",
    "data.check",
    "monitor.step",
    "forecast.issue",
)


def overview(platform: Platform) -> dict[str, Any]:
    """Return {"project", "now", "sentences", "signals", "areas": [...], "events": [...]}, JSON-ready."""
    document = status_document(platform)
    rows = []
    for area in platform.areas:
        found = platform.ledger.find(
            ForecastRecord, area=area, void=False, order_by="made_at", descending=True, limit=1
        )
        rows.append(area_row(area, found[0] if found else None))
    entries = platform.ledger.entries()
    events = [entry for entry in entries if entry.action not in QUIET][-EVENTS:]
    return {
        "project": document["project"],
        "now": format_utc(platform.clock.now()),
        "sentences": document["sentences"][1:],
        "signals": [signal["reason"] for signal in document["signals"]],
        "areas": rows,
        "events": [
            {"at": format_utc(entry.at), "text": f"{entry.action} {entry.subject}: {entry.facts.get('reason', '')}"}
            for entry in reversed(events)
        ],
    }


def area_row(area: str, record: ForecastRecord | None) -> dict[str, Any]:
    """Return one area's row."""
    if record is None:
        empty: list[float] = []
        return {
            "area": area,
            "q10": empty,
            "q50": empty,
            "q90": empty,
            "peak_mw": None,
            "issued_at": None,
            "served_by": None,
            "why": "nothing was forecast yet",
        }
    answer = record.answers[record.release]
    low, middle, high = ([row[k] for row in answer] for k in (0, len(record.quantiles) // 2, -1))
    return {
        "area": area,
        "q10": low,
        "q50": middle,
        "q90": high,
        "peak_mw": max(middle),
        "issued_at": format_utc(record.issued_at),
        "served_by": record.served_by,
        "why": record.reason or f"{record.release} answers as planned",
    }
