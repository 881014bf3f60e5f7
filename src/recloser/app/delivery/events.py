"""Owns how a notice is written for consumers: CloudEvents 1.0 in structured JSON. Sends nothing."""

from __future__ import annotations

from typing import Any

from recloser.core import canonical_json, format_utc
from recloser.ledger import NoticeRecord

EVENT_TYPES = {
    "recall": "io.recloser.forecast.recall.v1",
    "alarm": "io.recloser.rollout.alarm.v1",
    "absence": "io.recloser.absence.v1",
}
CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"


def areas_of(notice: NoticeRecord) -> list[str]:
    """Return the areas that a notice is about, sorted; none of an alarm."""
    return sorted({str(row["area"]) for row in notice.data.get("recalled", ())})


def event_body(notice: NoticeRecord, source: str, area: str | None = None) -> bytes:
    """Return the notice as an event, or what it says about one area; equal bytes at every attempt.

    Args:
        notice: what consumers are told.
        source: a URI reference that names the project.
        area: tell of this area alone, under an id of its own.
    """
    data: dict[str, Any] = notice.data
    if area is not None:
        rows = [row for row in notice.data["recalled"] if row["area"] == area]
        new = {row["new"] for row in rows if row["new"] is not None}
        told = {"void_ids": sorted(row["void"] for row in rows), "new_ids": sorted(new), "recalled": rows}
        data = {**notice.data, **told, "area": area, "notice": notice.key}
    return canonical_json(
        {
            "specversion": "1.0",
            "id": notice.key if area is None else f"{notice.key}/{area}",
            "source": source,
            "type": EVENT_TYPES[notice.kind],
            "subject": notice.subject,
            "time": format_utc(notice.at),
            "datacontenttype": "application/json",
            "data": data,
        }
    )
