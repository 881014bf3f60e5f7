"""Owns what level 4 shows of answers: how long they took by release, and the latest ones, searched. Draws nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from recloser.app.platform import Platform
from recloser.app.predictions.latest import found_in, latencies, latest_answers
from recloser.core import format_utc
from recloser.ledger import ForecastRecord

WINDOW = timedelta(hours=1)
LINES = 50


def answers_document(platform: Platform, find: str = "") -> dict[str, Any]:
    """Return what the gateways answered within the last hour, JSON-ready.

    Args:
        platform: project.
        find: part of a request id, release, area or model; or the whole id of a forecast or of a point of one.

    Returns:
        {"since", "logged" (is there a log at all), "find", "latency": by release "requests", "p50_ms", "p95_ms",
        "p99_ms", "max_ms"; "found" (how many lines), "lines" (the latest), "forecast" (of that id, or null)}.

    Raises:
        Unavailable: log, store or ledger cannot be read now.
    """
    now = platform.clock.now()
    rows = latest_answers(platform.layout.predictions, now - WINDOW, now)
    found = found_in(rows, find)
    return {
        "since": format_utc(now - WINDOW),
        "logged": platform.project.gateway.log.enabled,
        "find": find,
        "latency": latencies(rows),
        "found": found.height,
        "lines": [
            {**line, "made_at": format_utc(line["made_at"]), "latency_ms": (line["latency_us"] or 0) / 1000.0}
            for line in found.head(LINES).to_dicts()
        ],
        "forecast": _forecast(platform, find),
    }


def _forecast(platform: Platform, find: str) -> dict[str, Any] | None:
    record = platform.ledger.get(ForecastRecord, find.partition(":")[0]) if find.isprintable() and find else None
    if record is None:
        return None
    return {
        "forecast": record.key,
        "area": record.area,
        "made_at": format_utc(record.made_at),
        "issued_at": format_utc(record.issued_at),
        "from": format_utc(record.first_target),
        "to": format_utc(record.last_target),
        "release": record.release,
        "served_by": record.served_by,
        "reason": record.reason,
        "void_at": None if record.void_at is None else format_utc(record.void_at),
        "void_reason": record.void_reason,
        "replaced_by": record.replaced_by,
    }
