"""Lets a copy of a ledger be tripped by processes that each die before another statement of the transaction.

A program of its own: it forks, which a process with threads must not.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from recloser.core import VirtualClock
from recloser.ledger import Ledger, ReleaseRecord, RolloutRecord, RouteRecord, TripRecord
from recloser.rollout import Evidence, Rollout, RolloutController, Settings

MOST = 200


class Here:
    """Gateways that follow at once, and evidence that says that the canary diverges."""

    def __init__(self, route: RouteRecord | None) -> None:
        self.route = route

    def set_route(self, route: RouteRecord) -> None:
        self.route = route

    def current(self) -> RouteRecord | None:
        return self.route

    def settled(self, _epoch: int) -> bool:
        return True

    def verify(self, _release: str) -> str:
        return ""

    def gather(self, rollout: Rollout, _now: datetime) -> Evidence:
        return Evidence(divergence=2 if rollout.release == "rel-2" else 0)


def tick(path: Path, now: datetime) -> None:
    with Ledger.open(f"sqlite:///{path}") as ledger:
        here = Here(ledger.get(RouteRecord, "route"))
        settings = Settings(resolution=timedelta(hours=1), lease=timedelta(days=2))
        RolloutController(ledger, here, VirtualClock(now), lambda _: "", settings).tick(here)


def die_at(statement: int) -> None:
    """Kill this process before that statement of a writing transaction."""
    seen = {"writing": False, "count": 0}

    def before(_connection: Any, _cursor: Any, text: str, *_rest: Any) -> None:
        seen["writing"] = seen["writing"] or text.startswith(("INSERT", "UPDATE"))
        seen["count"] += seen["writing"]
        if seen["writing"] and seen["count"] == statement:
            os.kill(os.getpid(), signal.SIGKILL)

    sa.event.listen(sa.Engine, "before_cursor_execute", before)


def killed_at(statement: int, path: Path, now: datetime) -> bool:
    child = os.fork()
    if child == 0:
        die_at(statement)
        tick(path, now)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def told(path: Path) -> list[Any]:
    with Ledger.open(f"sqlite:///{path}") as ledger:
        if not ledger.verify().ok:
            return ["damaged"]
        (rollout,) = ledger.find(RolloutRecord, release="rel-2")
        release, route = ledger.get(ReleaseRecord, "rel-2"), ledger.get(RouteRecord, "route")
        return [rollout.state, release and release.state, route and route.canary, len(ledger.find(TripRecord))]


def main(source: Path, now: datetime) -> None:
    found: dict[str, Any] = {"killed": 0, "torn": [], "ends": []}
    for statement in range(1, MOST):
        folder = source.parent / f"killed-{statement}"
        folder.mkdir()
        path = Path(shutil.copy(source, folder))
        for more in source.parent.glob(f"{source.name}-*"):
            shutil.copy(more, folder)
        before = told(path)
        killed = killed_at(statement, path, now)
        found["killed"] += killed
        if killed and told(path) != before:
            found["torn"].append([statement, before, told(path)])
        tick(path, now)
        end = told(path)
        found["ends"] += [] if end in found["ends"] else [end]
        if not killed:
            break
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), datetime.fromisoformat(sys.argv[2]))
