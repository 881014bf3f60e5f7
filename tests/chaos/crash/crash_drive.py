"""A program: lives the scenario once undisturbed, then again with a fault at each of its durable transitions.

Each moment of the scenario is a process of its own that begins with what is on disk. So a life that was killed in a
moment, and whose moment was then done again, ends as the undisturbed one if it has the same state at that moment's end.
Modes: 'full' kills a life of its own at every crash point; 'kill', 'lock' and 'disk' let one life meet that fault at
each kind of transition. Prints one JSON document.
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
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from crash_compare import differences, state_of
from crash_points import Point, Watch, route_now
from crash_scenario import Moment, live, make_project, moments, store_digest

from recloser.app import platform
from recloser.core import RecloserError
from recloser.ledger import Ledger


def spawned(act: Callable[[], None]) -> int:
    """Begin something in a child, which exits with 3 for an error of ours and 1 for any other; return its pid."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            act()
            code = 0
        except BaseException as error:  # noqa: BLE001 - the outermost frame of a child
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            traceback.print_exception(error)
            code = 3 if isinstance(error, RecloserError) else 1
        finally:
            sys.stderr.flush()
            os._exit(code)
    return child


def forked(act: Callable[[], None]) -> int:
    """Do something in a child; return its exit code, negative for the signal that ended it."""
    _, status = os.waitpid(spawned(act), 0)
    return os.waitstatus_to_exitcode(status)


class Crashes:
    """One scratch folder: the project that lives, and what it was at the beginning of each moment."""

    def __init__(self, work: Path) -> None:
        self.work, self.live = work, work / "live"
        self.story = moments()
        self.log, self.modules, self.store = work / "log", work / "modules", work / "store"
        self.done: list[list[dict[str, Any]]] = []
        self.states: list[dict[str, Any]] = []
        self.routes: list[list[Any]] = []

    def one(self, moment: Moment, kill: Point | None = None, fault: str = "kill") -> int:
        """Live a moment in a process of its own, killed where it is said; the audit log must hold before and after."""
        self.log.write_text("")

        def act() -> None:
            Watch(self.live, kill, self.log, fault).install()
            if kill is None:
                verify(self.live)
            live(self.live, moment)
            verify(self.live)
            self.store.write_text(store_digest(self.live))
            self.modules.write_text("\n".join(sys.modules))

        return forked(act)

    def told(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def calm(self) -> None:
        """Live the whole story, keep each beginning, and remember what was done and what became of it."""
        installed = platform.read_surroundings(None)  # what is installed is the same for all, and takes long to read
        platform.read_surroundings = lambda _lock: installed
        assert forked(lambda: make_project(self.live)) == 0
        for number, moment in enumerate(self.story):
            shutil.copytree(self.live, self.work / f"before-{number}")
            assert self.one(moment) == 0, moment
            self.import_once()
            self.done.append(self.told())
            self.states.append(self.state())
        shutil.copytree(self.live, self.work / f"before-{len(self.story)}")

    def state(self) -> dict[str, Any]:
        return {**state_of(self.live), "store": {"samples": self.store.read_text()}}

    def import_once(self) -> None:
        """Import here what a moment had to import, so that the many that follow need not."""
        for name in self.modules.read_text().splitlines():
            if name not in sys.modules:
                with suppress(ImportError):
                    importlib.import_module(name)

    def points(self) -> list[tuple[int, Point]]:
        """Return every crash point with the moment it is in, in the order of the undisturbed life."""
        found = []
        for number, told in enumerate(self.done):
            counts: Counter[str] = Counter()
            for line in (line for line in told if "kind" in line):
                counts[line["kind"]] += 1
                found += [(number, Point(line["kind"], counts[line["kind"]], where)) for where in line["points"]]
        return found

    def again(self, number: int) -> None:
        """Put back what was on disk at the beginning of a moment."""
        shutil.rmtree(self.live)
        shutil.copytree(self.work / f"before-{number}", self.live)

    def struck(self, number: int, point: Point, fault: str = "kill") -> list[str]:
        """Let the moment meet its fault at the point; return what is not as it should be then."""
        code = self.one(self.story[number], point, fault)
        if code not in ([-signal.SIGKILL] if fault == "kill" else [0, 3]):
            return [f"ended with {code}"]
        seen, now = self.weights(number), route_now(self.live)
        problems = [] if now in seen else [f"the route after the kill is {now}, not one of {seen}"]
        return problems + self.strange(number)

    def ended(self, number: int, kills: int) -> list[str]:
        """Do the moment again and to its end; return what is not as in the undisturbed life."""
        if (code := self.one(self.story[number])) != 0:
            return [f"does not start again: {code}"]
        return self.strange(number) + differences(self.states[number], self.state(), kills)

    def strange(self, number: int) -> list[str]:
        """Return the routes that the last process followed and no process of the undisturbed life would have."""
        seen = self.weights(number)
        followed = [line["follows"] for line in self.told() if "follows" in line]
        return [f"followed {weight}, not one of {seen}" for weight in followed if weight not in seen]

    def weights(self, number: int) -> list[Any]:
        """Return the canary's weights by the ledger in a moment of the undisturbed life, the one before included."""
        found = [route_now(self.work / f"before-{number}")]
        return found + [line["route"] for line in self.done[number] if "route" in line]

    def exact(self, number: int, point: Point) -> list[str]:
        """Return whether the ledger's route after a kill is the one that the undisturbed life had just there."""
        weights, counts = self.weights(number)[:1], Counter[str]()
        for line in (line for line in self.done[number] if "kind" in line):
            counts[line["kind"]] += 1
            here = line["kind"] == point.kind and counts[line["kind"]] == point.nth
            if here and point.where != "after commit":
                break
            weights.append(line.get("route", weights[-1]))
            if here:
                break
        now = route_now(self.live)
        return [] if now == weights[-1] else [f"the route after the kill is {now}, not {weights[-1]}"]


def verify(folder: Path) -> None:
    """See that the audit log of a project holds."""
    with Ledger.open(f"sqlite:///{folder}/state/ledger.db") as ledger:
        found = ledger.verify()
    assert found.ok, found.reason


def each_alone(crashes: Crashes) -> tuple[int, list[dict[str, Any]]]:
    """Kill a life of its own at every crash point; return the number of kills and what went wrong."""
    failures = []
    points = crashes.points()
    for number, point in points:
        crashes.again(number)
        problems = crashes.struck(number, point) + crashes.exact(number, point) + crashes.ended(number, 1)
        failures += [told(crashes, number, point, problems)] if problems else []
    return len(points), failures


def in_a_row(crashes: Crashes, fault: str) -> tuple[int, list[dict[str, Any]]]:
    """Let one life meet its fault at each kind of transition and place, where it comes first, and go on from there."""
    failures, seen, kills = [], set[tuple[str, str]](), 0
    by_moment: dict[int, list[Point]] = {}
    for number, point in crashes.points():
        if (point.kind, point.where) not in seen and (fault, point.where) != ("lock", "before commit"):
            seen.add((point.kind, point.where))
            by_moment.setdefault(number, []).append(point)
    for number, points in by_moment.items():
        crashes.again(number)
        for point in points:
            problems = crashes.struck(number, Point(point.kind, 1, point.where), fault)
            failures += [told(crashes, number, point, problems)] if problems else []
        kills += len(points)
        problems = crashes.ended(number, len(points))
        failures += [told(crashes, number, points[-1], problems)] if problems else []
    return kills, failures


def told(crashes: Crashes, number: int, point: Point, problems: list[str]) -> dict[str, Any]:
    moment = crashes.story[number]
    return {"at": f"{moment.at} {moment.name}: {point.kind} ({point.nth}) {point.where}", "problems": problems}


def main(work: Path, mode: str) -> dict[str, Any]:
    crashes = Crashes(work)
    crashes.calm()
    kills, failures = each_alone(crashes) if mode == "full" else in_a_row(crashes, mode)
    kinds = [line["kind"] for told in crashes.done for line in told if "kind" in line]
    return {
        "moments": len(crashes.story),
        "transitions": len(kinds),
        "kinds": sorted(set(kinds)),
        "points": len(crashes.points()),
        "places": len({(point.kind, point.where) for _, point in crashes.points()}),
        "kills": kills,
        "failures": failures,
        "rollouts": sorted(row["state"] for row in crashes.states[-1]["rollouts"].values()),
        "trips": sorted(row["tier"] for row in crashes.states[-1]["trips"].values()),
        "void": sum(row["void"] for row in crashes.states[-1]["forecasts"].values()),
    }


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    json.dump(main(Path(sys.argv[1]), sys.argv[2]), sys.stdout)
