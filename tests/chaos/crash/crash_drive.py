"""A program: lives the scenario once undisturbed, then again and again killed at each of its durable transitions.

Each moment of the scenario is a process of its own that begins with what is on disk. So a life that was killed in a
moment, and whose moment was then done again, ends as the undisturbed one if it has the same state at that moment's end.
Prints one JSON document.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from crash_compare import differences, state_of
from crash_points import Point, Watch
from crash_scenario import Moment, live, make_project, moments

from recloser.ledger import Ledger


def forked(act: Callable[[], None]) -> int:
    """Do something in a child; return its exit code, negative for the signal that ended it."""
    child = os.fork()
    if child == 0:
        try:
            act()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


class Crashes:
    """One scratch folder: the project that lives, and what it was at the beginning of each moment."""

    def __init__(self, work: Path) -> None:
        self.work, self.live = work, work / "live"
        self.story = moments()
        self.log, self.modules = work / "log", work / "modules"
        self.done: list[list[dict[str, Any]]] = []
        self.states: list[dict[str, Any]] = []
        self.routes: list[list[Any]] = []

    def one(self, moment: Moment, kill: Point | None = None) -> int:
        """Live a moment in a process of its own, killed where it is said."""
        self.log.write_text("")

        def act() -> None:
            Watch(self.live, kill, self.log).install()
            live(self.live, moment)
            self.modules.write_text("\n".join(sys.modules))

        return forked(act)

    def told(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def calm(self) -> None:
        """Live the whole story, keep each beginning, and remember what was done and what became of it."""
        assert forked(lambda: make_project(self.live)) == 0
        for number, moment in enumerate(self.story):
            shutil.copytree(self.live, self.work / f"before-{number}")
            assert self.one(moment) == 0, moment
            self.import_once()
            self.done.append(self.told())
            self.states.append(state_of(self.live))
        shutil.copytree(self.live, self.work / f"before-{len(self.story)}")

    def import_once(self) -> None:
        """Import here what a moment had to import, so that the many that follow need not."""
        for name in self.modules.read_text().splitlines():
            if name not in sys.modules:
                with suppress(ImportError):
                    importlib.import_module(name)

    def points(self) -> list[tuple[int, Point, str]]:
        """Return every crash point: moment, place, kind of transition."""
        found = []
        for number, told in enumerate(self.done):
            for at, line in enumerate(line for line in told if "kind" in line):
                found += [(number, Point(at, where), line["kind"]) for where in line["points"]]
        return found

    def crash(self, number: int, point: Point) -> list[str]:
        """Kill the moment at the point, do it again, and return what is not as in the undisturbed life."""
        moment, problems = self.story[number], []
        shutil.rmtree(self.live)
        shutil.copytree(self.work / f"before-{number}", self.live)
        code = self.one(moment, point)
        if code != -signal.SIGKILL:
            return [f"was not killed there: ended with {code}"]
        allowed = [line["follows"] for line in self.done[number] if "follows" in line]
        problems += [f"followed {line['follows']}" for line in self.told() if line.get("follows") not in [*allowed, None]]
        before, after = self.route(number, point)
        if (found := route_now(self.live)) != (after if point.where == "after commit" else before):
            problems.append(f"the route after the kill gives {found}, not {before}")
        problems += verified(self.live, "after the kill")
        if (code := self.one(moment)) != 0:
            return [*problems, f"does not start again: {code}"]
        problems += [
            f"followed {line['follows']} after the restart" for line in self.told()
            if "follows" in line and line["follows"] not in [*allowed, route_now(self.work / f"before-{number}")]
        ]
        problems += differences(self.states[number], state_of(self.live))
        return [*problems, *verified(self.live, "in the end")]

    def route(self, number: int, point: Point) -> tuple[Any, Any]:
        """Return the canary's weight by the ledger before and after the transition, in the undisturbed life."""
        weights = [route_now(self.work / f"before-{number}")]
        for line in (line for line in self.done[number] if "kind" in line):
            weights.append(line["route"] if "route" in line else weights[-1])
        return weights[point.transition], weights[point.transition + 1]


def route_now(folder: Path) -> Any:
    import sqlite3

    from crash_points import route

    database = sqlite3.connect(f"file:{folder}/state/ledger.db?mode=ro", uri=True)
    try:
        return route(database)
    finally:
        database.close()


def verified(folder: Path, when: str) -> list[str]:
    """Return what the audit log of a project has to say against it."""

    def act() -> None:
        with Ledger.open(f"sqlite:///{folder}/state/ledger.db") as ledger:
            found = ledger.verify()
        assert found.ok, found.reason

    return [] if forked(act) == 0 else [f"the audit log does not verify {when}"]


def main(work: Path, *, full: bool) -> dict[str, Any]:
    crashes = Crashes(work)
    crashes.calm()
    points = crashes.points()
    kinds = {kind for _, _, kind in points}
    seen: set[tuple[str, str]] = set()
    failures, runs = [], 0
    for number, point, kind in points:
        if not full and (kind, point.where) in seen:
            continue
        seen.add((kind, point.where))
        runs += 1
        if problems := crashes.crash(number, point):
            where = f"{crashes.story[number].at} {crashes.story[number].name}: {kind} #{point.transition} {point.where}"
            failures.append({"at": where, "problems": problems})
    return {
        "moments": len(crashes.story),
        "transitions": sum(1 for told in crashes.done for line in told if "kind" in line),
        "kinds": sorted(kinds),
        "points": len(points),
        "runs": runs,
        "failures": failures,
        "end": [list(record.values()) for record in crashes.states[-1]["rollouts"].values()],
    }


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    json.dump(main(Path(sys.argv[1]), full=sys.argv[2] == "full"), sys.stdout)
