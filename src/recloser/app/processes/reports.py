"""Owns what each gateway worker says of itself: which route it follows, whom it cut off. Decides no route."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

FOLDER = "gateways"


@dataclass(frozen=True, slots=True)
class Report:
    """One worker's word.

    Attributes:
        worker: its name, one per process that shares the port.
        pid: of the process.
        epoch: of the route it follows.
        tripped: challengers that are cut off there under that epoch.
        problem: why it cannot follow the newest route, or empty.
    """

    worker: str
    pid: int
    epoch: int
    tripped: tuple[str, ...] = ()
    problem: str = ""


def write_report(state: Path, report: Report) -> None:
    """Replace the worker's report, whole or not at all."""
    folder = state / FOLDER
    folder.mkdir(exist_ok=True)
    draft = folder / f".{report.worker}.{report.pid}"
    draft.write_text(json.dumps(asdict(report)), encoding="utf-8")
    draft.replace(folder / f"{report.worker}.json")


def read_reports(state: Path) -> list[Report]:
    """Return the reports of the workers that live, by name; one that is being replaced is passed over."""
    found = []
    for path in sorted((state / FOLDER).glob("*.json")):
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
            tripped, problem = tuple(facts["tripped"]), str(facts.get("problem", ""))
            report = Report(facts["worker"], int(facts["pid"]), int(facts["epoch"]), tripped, problem)
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if alive(report.pid):
            found.append(report)
    return found


def settled(reports: Sequence[Report], epoch: int) -> bool:
    """Tell whether all workers that report follow this route or a newer one; without any nobody disagrees."""
    return all(report.epoch >= epoch for report in reports)


def alive(pid: int) -> bool:
    """Tell whether a process of this machine runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
