"""Sees every durable transition of this process, and kills it with SIGKILL at exactly one of them.

Durable transitions are the writing transactions of the ledger (seen by SQLAlchemy's events and at the driver's COMMIT),
the appearance and removal of files below the project (`os.replace`, `os.rename`, `os.unlink`, as pathlib and shutil call
them) and the commits of the store (`write_deltalake`). The product knows nothing of it.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine.default import DefaultDialect

import recloser.store.delta
from recloser.serving import Gateway, Route

LEDGER = ("before begin", "before commit", "after commit")
FILES = ("before", "after")
NAMES = re.compile(r"rel-[0-9a-f]+|run-[0-9a-f]+|[0-9a-f]{12,}|[0-9]+")


@dataclass(frozen=True, slots=True)
class Point:
    """One place of one transition: the how-manieth of the process, and where in it."""

    transition: int
    where: str


@dataclass(slots=True)
class Watch:
    """What this process has done so far.

    Attributes:
        folder: only files below it count.
        kill: where to end this process; None lets it live.
        log: file that gets one JSON line for each transition, and for each route that a gateway of this process follows.
    """

    folder: Path
    kill: Point | None
    log: Path
    count: int = 0
    under_way: threading.local = field(default_factory=threading.local)

    def install(self) -> None:
        """Begin to see; for the rest of this process. Measured durations become the same in each life."""
        beats = itertools.count()
        time.perf_counter = lambda: next(beats) / 1024.0
        event.listen(sa.Engine, "begin", self._begin)
        event.listen(sa.Engine, "before_cursor_execute", self._execute)
        commit = DefaultDialect.do_commit
        watch = self

        def do_commit(dialect: DefaultDialect, connection: Any) -> None:
            watch._commit(lambda: commit(dialect, connection), connection)

        DefaultDialect.do_commit = do_commit  # type: ignore[method-assign]
        for name in ("replace", "rename", "unlink"):
            setattr(os, name, self._file(name, getattr(os, name)))
        delta: Any = recloser.store.delta
        delta.write_deltalake = self._around("store commit", delta.write_deltalake)
        swap = Gateway.swap

        def follow(gateway: Gateway, route: Route, *rest: Any, **named: Any) -> None:
            watch.tell({"follows": weight_of(route.epoch, route.canary, route.share, route.cohort)})
            swap(gateway, route, *rest, **named)

        Gateway.swap = follow  # type: ignore[method-assign]

    def tell(self, line: dict[str, Any]) -> None:
        with self.log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def reach(self, where: str, number: int | None = None) -> None:
        if self.kill == Point(self.count if number is None else number, where):
            os.kill(os.getpid(), signal.SIGKILL)

    def _begin(self, connection: sa.Connection) -> None:
        if connection.get_execution_options().get("writing", False):
            self.reach("before begin")
            self.under_way.actions = []

    def _execute(self, _c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        actions = getattr(self.under_way, "actions", None)
        if actions is not None and statement.startswith("INSERT INTO audit_entries"):
            rows = parameters if isinstance(parameters, list) else [parameters]
            actions += [row[3] if isinstance(row, tuple) else row["action"] for row in rows]

    def _commit(self, commit: Callable[[], None], connection: Any) -> None:
        actions = getattr(self.under_way, "actions", None)
        if not actions:
            commit()
            return
        number, self.count = self.count, self.count + 1
        self.reach("before commit", number)
        commit()
        self.under_way.actions = None
        self.tell({"kind": "ledger " + " + ".join(dict.fromkeys(actions)), "points": LEDGER, "route": route(connection)})
        self.reach("after commit", number)

    def _file(self, name: str, act: Callable[..., Any]) -> Callable[..., Any]:
        def done(path: Any, *rest: Any, **named: Any) -> Any:
            last = Path(os.fsdecode(rest[0] if rest else path))
            if not last.is_relative_to(self.folder):
                return act(path, *rest, **named)
            kind = f"{name} {NAMES.sub('*', str(last.relative_to(self.folder)))}"
            return self._around(kind, act)(path, *rest, **named)

        return done

    def _around(self, kind: str, act: Callable[..., Any]) -> Callable[..., Any]:
        def done(*given: Any, **named: Any) -> Any:
            number, self.count = self.count, self.count + 1
            self.reach("before", number)
            try:
                return act(*given, **named)
            finally:
                self.tell({"kind": kind, "points": FILES})
                self.reach("after", number)

        return done


def weight_of(epoch: int, canary: str | None, share: float, cohort: Any) -> list[Any]:
    """Return how much of the traffic a canary has by a route: epoch, share, areas."""
    return [epoch, 0.0, []] if canary is None else [epoch, share, sorted(cohort)]


def route(connection: Any) -> list[Any] | None:
    """Return the weight that the ledger's route gives a canary, by a plain look at the database."""
    with suppress(Exception):
        row = connection.execute("select epoch, canary, share, cohort from routes").fetchone()
        return None if row is None else weight_of(row[0], row[1], row[2], json.loads(row[3]))
    return None
