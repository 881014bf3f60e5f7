"""Owns what each gateway process says of itself: which route it follows, whom it cut off. Decides no route."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from recloser.app.processes.hosts.identity import Identity, alive, host_name
from recloser.core import RecloserError, format_utc, parse_utc

FOLDER = "gateways"
BEAT = timedelta(minutes=1)
"""So often a gateway writes its report again, so that other hosts see that it lives."""
SILENT = timedelta(minutes=5)
"""A report of another host that was not written again for so long is of a gateway that is gone."""


@dataclass(frozen=True, slots=True)
class Report:
    """One gateway process's word.

    Attributes:
        worker: its name among the processes that share the port.
        pid: of the process.
        epoch: of the route it follows.
        tripped: challengers that are cut off there under that epoch.
        problem: why it cannot follow the newest route, or empty.
        host: where it runs; empty is here.
        port: that it serves.
        started: see Identity.
        at: when it was written (aware UTC), None if it does not say.
    """

    worker: str
    pid: int
    epoch: int
    tripped: tuple[str, ...] = ()
    problem: str = ""
    host: str = ""
    port: int = 0
    started: int = 0
    at: datetime | None = None

    @classmethod
    def of(cls, who: Identity, epoch: int, tripped: Sequence[str], problem: str) -> Report:
        """Return the report of a process."""
        return cls(who.worker, who.pid, epoch, tuple(tripped), problem, who.host, who.port, who.started)

    @property
    def identity(self) -> Identity:
        """Return whose it is."""
        return Identity(self.host or host_name(), self.port, self.worker, self.pid, self.started)

    def document(self) -> dict[str, Any]:
        """Return it JSON-ready."""
        return asdict(self) | {"tripped": list(self.tripped), "at": None if self.at is None else format_utc(self.at)}

    @classmethod
    def read(cls, facts: Any, where: str) -> Report | None:
        """Return what a document says, None if it says none."""
        try:
            at = None if facts.get("at") is None else parse_utc(facts["at"], where)
            return cls(
                str(facts["worker"]),
                int(facts["pid"]),
                int(facts["epoch"]),
                tuple(facts["tripped"]),
                str(facts.get("problem", "")),
                str(facts.get("host", "")),
                int(facts.get("port", 0)),
                int(facts.get("started", 0)),
                at,
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecloserError):
            return None


def write_report(state: Path, report: Report, now: datetime | None = None) -> None:
    """Replace the report of this seat, whole or not at all.

    Args:
        state: the project's state folder.
        report: of this process.
        now: aware UTC; None: it does not say when.
    """
    folder = state / FOLDER
    folder.mkdir(exist_ok=True)
    who = report.identity
    draft = folder / f".{who.seat}.{who.pid}"
    draft.write_text(json.dumps(replace(report, at=now).document()), encoding="utf-8")
    draft.replace(folder / f"{who.seat}.json")


def read_reports(state: Path, now: datetime | None = None) -> list[Report]:
    """Return the reports of the gateways that live, by seat; one that is being replaced is passed over.

    Args:
        state: the project's state folder, which several hosts may share.
        now: aware UTC; a gateway of another host is gone if it was silent for long. None: it counts however old.
    """
    found = []
    for path in sorted((state / FOLDER).glob("*.json")):
        try:
            report = Report.read(json.loads(path.read_text(encoding="utf-8")), str(path))
        except (OSError, ValueError):
            continue
        if report is not None and _lives(report, now):
            found.append(report)
    return found


def _lives(report: Report, now: datetime | None) -> bool:
    if report.host in {"", host_name()}:
        return alive(report.pid, report.started)
    return now is None or report.at is None or now - report.at <= SILENT


def forget_reports(state: Path, port: int) -> None:
    """Delete what processes of this host that served the port have left, figures too."""
    seats = f"{host_name()}_{port}_"
    for path in [*(state / FOLDER).glob(f"{seats}*.json"), *(state / FOLDER / "figures").glob(f"{seats}*.json")]:
        path.unlink(missing_ok=True)


def settled(reports: Sequence[Report], epoch: int) -> bool:
    """Tell whether all gateways that report follow this route or a newer one; without any nobody disagrees."""
    return all(report.epoch >= epoch for report in reports)
