"""Owns what level 4 shows of the processes' logs: the latest line of each, and lines by page. Draws nothing."""

from __future__ import annotations

from typing import Any

from recloser.app.logs.line import LogLine
from recloser.app.logs.reading import LogAsk, read_logs
from recloser.app.logs.told import LEVELS
from recloser.app.platform import Platform
from recloser.core import format_utc


def logs_document(platform: Platform, ask: LogAsk | None) -> dict[str, Any] | None:
    """Return the latest log lines of the processes that share the project's state folder, JSON-ready.

    Args:
        platform: project.
        ask: which lines; None if whoever asks may read none.

    Returns:
        {"process", "level", "find", "before" (as asked), "levels", "processes": the newest line of each, "lines":
        newest first, "older" (instant to ask with for the next page, null at the end), "looked_to" (how far back was
        looked, null if everything was), "damaged" (lines that cannot be read)}; None where nothing may be read. A line
        has "at", "level", "process", "host", "pid", "text", "trace" and "about" (ids and names by kind).
    """
    if ask is None:
        return None
    page = read_logs(platform.layout.logs, ask)
    return {
        "process": ask.process,
        "level": ask.level,
        "find": ask.find,
        "before": None if ask.before is None else format_utc(ask.before),
        "levels": list(LEVELS),
        "processes": [_row(line) for line in page.latest],
        "lines": [_row(line) for line in page.lines],
        "older": None if page.older is None else format_utc(page.older),
        "looked_to": None if page.looked_to is None else format_utc(page.looked_to),
        "damaged": page.damaged,
    }


def _row(line: LogLine) -> dict[str, Any]:
    return {
        "at": format_utc(line.at),
        "level": line.level,
        "process": line.process,
        "host": line.host,
        "pid": line.pid,
        "text": line.text,
        "trace": line.trace,
        "about": {kind: list(names) for kind, names in line.about.items()},
    }
