"""Owns the diagnostics (level 4): data and quality, links, signals, runs, gateways, answers, logs, ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from recloser.app.links.state import LinkFolders
from recloser.app.links.telling import links_document
from recloser.app.logs.reading import LogAsk
from recloser.app.platform import Platform
from recloser.app.processes.hosts.word import living
from recloser.app.views.answers import answers_document
from recloser.app.views.area import signal_row
from recloser.app.views.logs import logs_document
from recloser.app.views.overview import event_rows
from recloser.core import LOAD, format_utc
from recloser.core.quality import describe
from recloser.ledger import RunRecord, SignalRecord, TriggerRecord

WINDOW = timedelta(days=7)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ENTRIES, SIGNALS, RUNS, AREAS = 50, 30, 15, 100


def diagnostics_document(
    platform: Platform, before: int | None = None, find: str = "", logs: LogAsk | None = None
) -> dict[str, Any]:
    """Return how data, processes and the ledger are, JSON-ready.

    Args:
        platform: project.
        before: audit entries with smaller numbers; None for the newest.
        find: what to look for among the answers; see `answers_document`.
        logs: which log lines; None for none.

    Returns:
        {"now", "store", "quality" (by area of the last week, worst first), "links", "signals", "runs", "triggers",
        "gateways", "answers" (see `answers_document`), "logs" (see `logs_document`),
        "length", "entries", "older" (number to ask with for the next page, None at the end)}.

    Raises:
        Unavailable: ledger or store cannot be read now.
    """
    ledger, now = platform.ledger, platform.clock.now()
    entries = ledger.latest(ENTRIES, before=before)
    extent = platform.store.extent(LOAD)
    return {
        "now": format_utc(now),
        "store": {
            "version": platform.store.version(),
            "first": None if extent is None else format_utc(extent[0]),
            "last": None if extent is None else format_utc(extent[1]),
            "quantities": platform.store.quantities(),
        },
        "quality": quality_rows(platform, now),
        "links": links_document(platform.project.links.devices, LinkFolders(platform.layout.links), now),
        "signals": [
            signal_row(signal) for signal in ledger.find(SignalRecord, order_by="at", descending=True, limit=SIGNALS)
        ],
        "runs": [_run(run) for run in ledger.find(RunRecord, order_by="started_at", descending=True, limit=RUNS)],
        "triggers": [
            {"at": format_utc(t.at), "kind": t.kind, "reason": t.reason, "decision": t.decision, "why": t.why}
            for t in ledger.find(TriggerRecord, order_by="at", descending=True, limit=RUNS)
        ],
        "answers": answers_document(platform, find),
        "logs": logs_document(platform, logs),
        "gateways": [report.document() for report in living(platform.layout.state, ledger, now)],
        "length": ledger.length(),
        "entries": event_rows(entries),
        "older": entries[-1].seq if entries and entries[-1].seq > 1 else None,
    }


def quality_rows(platform: Platform, now: datetime) -> list[dict[str, Any]]:
    """Return of each area how many of the last week's intervals are there, missing and flagged; worst first."""
    step = platform.project.resolution
    known = now - timedelta(minutes=platform.project.data.telemetry_delay_minutes)
    end = EPOCH + (known - EPOCH) // step * step  # the interval that is not over yet is not missing
    panel = platform.store.read(list(platform.areas), [LOAD], end - WINDOW, end, as_of=now)
    latest = panel.latest()
    wanted = WINDOW // step
    present: Mapping[str, int] = dict(latest.group_by("area").len().iter_rows())
    flags: dict[str, Counter[str]] = {}
    flagged = latest.filter(pl.col("quality") != 0).group_by("area", "quality").len()
    for area, quality, count in flagged.iter_rows():
        flags.setdefault(area, Counter()).update(dict.fromkeys(describe(quality).split("+"), count))
    rows: list[dict[str, Any]] = []
    for area in platform.areas:
        there, words = present.get(area, 0), dict(sorted(flags.get(area, Counter()).items()))
        rows.append({"area": area, "present": there, "missing": max(0, wanted - there), "flags": words})
    return sorted(rows, key=lambda row: (-(row["missing"] + sum(row["flags"].values())), row["area"]))[:AREAS]


def _run(run: RunRecord) -> dict[str, Any]:
    return {
        "run": run.key,
        "trigger": run.trigger,
        "reason": run.reason,
        "state": run.state,
        "started_at": format_utc(run.started_at),
        "candidate": run.candidate,
        "verdict": run.verdict,
    }
