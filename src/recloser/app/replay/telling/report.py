"""Owns the files of a replay: report.json, report.html and costs.json. Does not score or draw."""

from __future__ import annotations

import json
from pathlib import Path
from zoneinfo import ZoneInfo

from recloser.app.project.files import replace_file
from recloser.app.replay.outcome import ReplayReport
from recloser.app.replay.policies.comparing import write_costs
from recloser.app.replay.telling.page import render
from recloser.core import jsonable


def write_report(report: ReplayReport, folder: Path, zone: ZoneInfo, title: str) -> tuple[Path, Path]:
    """Write report.json, the self-contained report.html and costs.json; each file appears whole or not at all.

    Returns:
        The paths of the first two.
    """
    folder.mkdir(parents=True, exist_ok=True)
    document = jsonable(report.document)
    json_path = replace_file(folder / "report.json", json.dumps(document, indent=1, ensure_ascii=False).encode())
    html_path = replace_file(folder / "report.html", render(report, zone, title).encode())
    if report.cpu_s:
        write_costs(report.cpu_s, folder)
    return json_path, html_path
