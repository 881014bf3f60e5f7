"""Owns the two files of a replay: report.json and report.html. Does not score or draw."""

from __future__ import annotations

import json
from pathlib import Path
from zoneinfo import ZoneInfo

from recloser.app.project.files import replace_file
from recloser.app.replay.outcome import ReplayReport
from recloser.app.replay.page import render
from recloser.core import jsonable


def write_report(report: ReplayReport, folder: Path, zone: ZoneInfo, title: str) -> tuple[Path, Path]:
    """Write report.json and the self-contained report.html; each file appears whole or not at all.

    Returns:
        The two paths.
    """
    folder.mkdir(parents=True, exist_ok=True)
    document = jsonable(report.document)
    json_path = replace_file(folder / "report.json", json.dumps(document, indent=1, ensure_ascii=False).encode())
    html_path = replace_file(folder / "report.html", render(report, zone, title).encode())
    return json_path, html_path
