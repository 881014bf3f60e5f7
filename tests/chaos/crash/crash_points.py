"""Sees every durable transition of this process, and kills it with SIGKILL at exactly one of them.

Durable transitions are the writing transactions of the ledger (seen where a change is written and at the driver's
COMMIT), the appearance and removal of files below the project (`os.replace`, `os.rename`, `os.unlink`, as pathlib and
shutil call them) and the commits of the store (`write_deltalake`). The product knows nothing of it.
"""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy.engine.default import DefaultDialect

import recloser.ledger.database
import recloser.store.delta
from recloser.ledger import Change, Ledger
from recloser.serving import Gateway, Route

LEDGER = ("before begin", "before commit", "after commit")
FILES = ("before", "after")
NAMES = re.compile(r"rel-[0-9a-f]+|run-[0-9a-f]+|[0-9a-f]{8,}|[0-9]+")


@dataclass(frozen=True, slots=True)
class Point:
    """One place of one transition: its kind, the how-manieth of that kind in the process, and where in it."""

    kind: str
    nth: int
    where: str


@dataclass(slots=True)
class Watch:
    """What this process has done so far.

    Attributes:
        folder: only files below it count.
        kill: where to end this process; None lets it live.
        log: file that gets a JSON line for each transition, and for each route that a gateway of this process follows.
        fault: what happens there: 'kill'; 'lock', another writer takes the ledger and keeps it; 'disk', it is full.
    """

    folder: Path
    kill: Point | None
    log: Path
    fault: str = "kill"
    struck: bool = False
    counts: Counter[str] = field(default_factory=Counter)
    under_way: threading.local = field(default_factory=threading.local)

    def install(self) -> None:
        """Begin to see; for the rest of this process. Measured durations become the same in each life: nothing."""
        time.perf_counter = lambda: 0.0
        recloser.ledger.database.WAIT_S = 0 if self.fault == "lock" else recloser.ledger.database.WAIT_S
        watch, product = self, {"write": Ledger._write, "commit": DefaultDialect.do_commit, "swap": Gateway.swap}

        def write(ledger: Ledger, change: Change) -> None:
            kind = "ledger " + " + ".join(dict.fromkeys(note.action for note in change.notes))
            watch.under_way.point = (kind, watch.next(kind))
            watch.reach(*watch.under_way.point, "before begin")
            product["write"](ledger, change)

        def do_commit(dialect: DefaultDialect, connection: Any) -> None:
            point = getattr(watch.under_way, "point", None)
            watch.under_way.point = None
            if point is not None:
                watch.reach(*point, "before commit")
            product["commit"](dialect, connection)
            if point is not None:
                watch.tell({"kind": point[0], "points": LEDGER, "route": route(connection)})
                watch.reach(*point, "after commit")

        def swap(gateway: Gateway, route: Route, *rest: Any, **named: Any) -> None:
            watch.tell({"follows": weight_of(route.epoch, route.canary, route.share, route.cohort)})
            product["swap"](gateway, route, *rest, **named)

        Ledger._write = write
        DefaultDialect.do_commit = do_commit
        Gateway.swap = swap
        for name in ("replace", "rename", "unlink"):
            setattr(os, name, self._file(name, getattr(os, name)))
        delta: Any = recloser.store.delta
        delta.write_deltalake = self._around("store commit", delta.write_deltalake)

    def install_gateway(self) -> None:
        """Begin to see what a gateway does: files, syncs of its log, and the routes that it follows."""
        for name in ("replace", "rename", "unlink", "link"):
            setattr(os, name, self._file(name, getattr(os, name)))
        for name in ("fsync", "fdatasync"):
            setattr(os, name, self._sync(name, getattr(os, name)))
        watch, swap = self, Gateway.swap

        def follow(gateway: Gateway, route: Route, *rest: Any, **named: Any) -> None:
            act = swap if route.epoch == gateway.route.epoch else watch._around("a route is followed", swap)
            act(gateway, route, *rest, **named)
            watch.tell({"follows": weight_of(route.epoch, route.canary, route.share, route.cohort)})

        Gateway.swap = follow

    def _sync(self, name: str, act: Callable[..., Any]) -> Callable[..., Any]:
        def done(handle: Any) -> None:
            number = handle if isinstance(handle, int) else handle.fileno()
            path = Path(f"/proc/self/fd/{number}").readlink()
            if not path.is_relative_to(self.folder):
                act(handle)
                return
            kind = f"{name} {NAMES.sub('*', str(path.relative_to(self.folder)))}"
            self._around(kind, act)(handle)

        return done

    def next(self, kind: str) -> int:
        self.counts[kind] += 1
        return self.counts[kind]

    def tell(self, line: dict[str, Any]) -> None:
        if not self.struck:
            with self.log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")

    def reach(self, kind: str, nth: int, where: str) -> None:
        if self.kill != Point(kind, nth, where):
            return
        self.struck = True
        if self.fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif self.fault == "lock":
            other = sqlite3.connect(self.folder / "state" / "ledger.db", isolation_level=None, check_same_thread=False)
            other.execute("BEGIN IMMEDIATE")
            self.under_way.other = other
        else:
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))

    def _file(self, name: str, act: Callable[..., Any]) -> Callable[..., Any]:
        def done(path: Any, *rest: Any, **named: Any) -> Any:
            last = Path(os.fsdecode(rest[0] if rest else path))
            if "dir_fd" in named or not last.is_relative_to(self.folder):
                return act(path, *rest, **named)
            kind = f"{name} {NAMES.sub('*', str(last.relative_to(self.folder)))}"
            return self._around(kind, act)(path, *rest, **named)

        return done

    def _around(self, kind: str, act: Callable[..., Any]) -> Callable[..., Any]:
        def done(*given: Any, **named: Any) -> Any:
            nth = self.next(kind)
            self.reach(kind, nth, "before")
            try:
                return act(*given, **named)
            finally:
                self.tell({"kind": kind, "points": FILES})
                self.reach(kind, nth, "after")

        return done


def weight_of(epoch: int, canary: str | None, share: float, cohort: Any) -> list[Any]:
    """Return how much of the traffic a canary has by a route: epoch, share, areas."""
    return [epoch, 0.0, []] if canary is None else [epoch, share, sorted(cohort)]


def route_now(folder: Path) -> Any:
    """Return the canary's weight by the route of a project's ledger."""
    database = sqlite3.connect(f"file:{folder}/state/ledger.db?mode=ro", uri=True)
    try:
        return route(database)
    finally:
        database.close()


def route(connection: Any) -> list[Any] | None:
    """Return the weight that the ledger's route gives a canary, by a plain look at the database."""
    with suppress(sqlite3.OperationalError):  # no table yet
        row = connection.execute("select epoch, canary, share, cohort from routes").fetchone()
        return None if row is None else weight_of(row[0], row[1], row[2], json.loads(row[3]))
    return None
