"""Owns what a detector's process tells of itself, and what people and Prometheus are told of it. Judges nothing."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from recloser.app.events.labels import CLASS
from recloser.app.links.state import SILENT_S
from recloser.connectors.points import nanoseconds
from recloser.core import format_utc
from recloser.ledger import Ledger, SignalRecord
from recloser.serving.wire.figures import Family, family

FILE = "detector.json"
SECOND_NS = 1_000_000_000


class DetectorReport(msgspec.Struct, frozen=True):
    """The heartbeat of a detector's process.

    Attributes:
        pid, beat_ns: who, when.
        state, reason: of its connection.
        windows, unanswered, missed: looked at; of these without any answer; not looked at, for their frames were gone.
        gaps: runs of frames that are missing.
        events, drills: begun, laid over.
        last_ns: end of the latest window.
        trouble: what cannot be written now.
    """

    pid: int
    beat_ns: int
    state: str
    reason: str
    windows: int
    unanswered: int
    missed: int
    gaps: int
    events: int
    drills: int
    last_ns: int | None
    trouble: str


def write_detector(folder: Path, report: DetectorReport) -> None:
    """Replace the report; not synced, for it is true for a second only.

    Raises:
        OSError: the disk takes nothing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f".{FILE}.{os.getpid()}"
    draft.write_bytes(msgspec.json.encode(report))
    draft.replace(folder / FILE)


def read_detector(folder: Path) -> DetectorReport | None:
    """Return the latest report, None where there is none."""
    try:
        return msgspec.json.decode((folder / FILE).read_bytes(), type=DetectorReport)
    except (OSError, msgspec.MsgspecError):
        return None


def detector_document(ledger: Ledger, folder: Path, now: datetime) -> dict[str, Any]:
    """Return what is told of detection: the process, events that go on, how many nobody has labelled yet."""
    report = read_detector(folder)
    found = ledger.find(SignalRecord, signal_class=CLASS)
    document: dict[str, Any] = {
        "state": "unknown",
        "reason": "its process has told nothing yet",
        **dict.fromkeys(("windows", "unanswered", "missed", "gaps", "events", "drills", "latest", "lag_s")),
        "trouble": "",
        "going_on": sorted(record.areas[0] for record in found if record.closed_at is None),
        "told": len(found),
        "unlabelled": sum("label" not in record.evidence for record in found),
    }
    if report is None:
        return document
    now_ns = nanoseconds(now)
    silent = now_ns - report.beat_ns > SILENT_S * SECOND_NS
    last = report.last_ns
    return document | {
        "state": "silent" if silent else report.state,
        "reason": "its process is not heard" if silent else report.reason,
        "windows": report.windows,
        "unanswered": report.unanswered,
        "missed": report.missed,
        "gaps": report.gaps,
        "events": report.events,
        "drills": report.drills,
        "latest": None if last is None else format_utc(datetime.fromtimestamp(last // 1_000_000 / 1_000, UTC)),
        "lag_s": None if last is None else max(0.0, (now_ns - last) / SECOND_NS),
        "trouble": report.trouble,
    }


def detector_sentences(document: dict[str, Any]) -> list[str]:
    """Return what people should know of detection."""
    lines = []
    if document["state"] == "up":
        lag = "" if document["lag_s"] is None else f", the latest {document['lag_s']:.1f} s ago"
        lines.append(f"The detector has looked at {document['windows']} windows{lag}.")
    else:
        lines.append(f"The detector is {document['state']}: {document['reason']}.")
    if document["going_on"]:
        lines.append("Going on: " + ", ".join(kind.replace("_", " ") for kind in document["going_on"]) + ".")
    if document["unlabelled"]:
        lines.append(f"{document['unlabelled']} of {document['told']} events wait for a label: recloser events list.")
    if document["trouble"]:
        lines.append(f"What the detector tells cannot be written: {document['trouble']}")
    return lines


def detector_families(document: dict[str, Any]) -> list[Family]:
    """Return the figures of detection for Prometheus."""

    def of(key: str) -> list[tuple[dict[str, str], float]]:
        return [] if document[key] is None else [({}, float(document[key]))]

    up: list[tuple[dict[str, str], float]] = [({}, float(document["state"] == "up"))]
    return [
        family("recloser_detector_up", "gauge", "1 while the detector hears the stream.", up),
        family("recloser_detector_windows_total", "counter", "Windows looked at.", of("windows")),
        family("recloser_detector_unanswered_total", "counter", "Windows without any answer.", of("unanswered")),
        family("recloser_detector_missed_total", "counter", "Windows whose frames were gone.", of("missed")),
        family("recloser_detector_events_total", "counter", "Events told.", of("events")),
        family("recloser_detector_drills_total", "counter", "Drills laid over live windows.", of("drills")),
        family("recloser_detector_lag_seconds", "gauge", "Age of the end of the latest window.", of("lag_s")),
    ]
