"""A program: a gateway under load that cuts a canary off and follows a new route, killed at each durable step of that.

Takes a project whose route gives a puppet all the traffic, the puppet's strings, and a request. Prints one document.
"""

from __future__ import annotations

import http.client
import json
import os
import resource
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from crash_drive import forked, spawned
from crash_points import Point, Watch, route_now

from recloser.app import Platform
from recloser.app.predictions.mover import move_all
from recloser.app.processes.server import Place, serve
from recloser.ledger import RouteRecord
from recloser.store import PredictionTable

CALLERS, ANSWERS, PATIENCE_S = 3, 12, 120.0


class Life:
    """One gateway process and those who ask it."""

    def __init__(self, work: Path, folder: Path, body: bytes, kill: Point | None) -> None:
        self.folder, self.body = folder, body
        self.log, self.place, self.answers = work / "log", work / "address", work / "answers"
        for file in (self.log, self.place, self.answers):
            file.unlink(missing_ok=True)
        self.code: int | None = None
        self.pid = spawned(lambda: self._serve(kill))
        self.callers: int | None = None

    def _serve(self, kill: Point | None) -> None:
        Watch(self.folder, kill, self.log).install_gateway()
        serve(self.folder, Place("127.0.0.1", 0), None, lambda address: (self.place.write_text(address), None)[1])

    def ended(self) -> bool:
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if pid else None
        return self.code is not None

    def until(self, found: Callable[[], Any], what: str) -> Any:
        """Return the first true answer; None when the gateway has ended."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if self.ended():
                return None
            with suppress(OSError, http.client.HTTPException):
                if answer := found():
                    return answer
            time.sleep(0.02)
        raise AssertionError(f"waited in vain: {what}")

    def ask(self, path: str, body: bytes | None = None) -> Any:
        split = urlsplit(self.place.read_text())
        wire = http.client.HTTPConnection(str(split.hostname), split.port, timeout=30)
        try:
            wire.request("POST" if body else "GET", path, body, {"content-type": "application/json"})
            answer = wire.getresponse()
            content = json.loads(answer.read())
            return content if answer.status == 200 else None
        finally:
            wire.close()

    def ready(self) -> Any:
        return self.until(lambda: self.place.exists() and self.ask("/v2/health/ready"), "the gateway")

    def load(self) -> None:
        """Let callers ask again and again, in a process of their own, until nobody answers."""
        self.callers = spawned(lambda: loaded(self.place.read_text(), self.body, self.answers))

    def answered(self) -> list[dict[str, Any]]:
        lines = self.answers.read_text().splitlines() if self.answers.exists() else []
        return [json.loads(line) for line in lines if line.endswith("}")]

    def close(self) -> int:
        """End the gateway in order if it lives still; return how it ended."""
        if not self.ended():
            os.kill(self.pid, signal.SIGTERM)
        self.until(lambda: False, "the end") if self.code is None else None
        if self.callers is not None:
            os.waitpid(self.callers, 0)
        return int(self.code or 0)

    def told(self) -> list[dict[str, Any]]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [json.loads(line) for line in lines if line.endswith("}")]


def loaded(address: str, body: bytes, answers: Path) -> None:
    def caller() -> None:
        split = urlsplit(address)
        wire = http.client.HTTPConnection(str(split.hostname), split.port, timeout=60)
        with suppress(OSError, http.client.HTTPException), answers.open("a", encoding="utf-8") as file:
            while True:
                wire.request("POST", "/invocations", body, {"content-type": "application/json"})
                answer = wire.getresponse()
                rows = json.loads(answer.read()).get("predictions", [])
                said = {"id": answer.headers["x-request-id"], "status": answer.status}
                by = sorted({f"{row['served_by']} {row['reason']}" for row in rows})
                file.write(json.dumps({**said, "by": by}) + "\n")
                file.flush()
                time.sleep(0.02)

    threads = [threading.Thread(target=caller) for _ in range(CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class Gateways:
    """The project as it was, and what is done to it."""

    def __init__(self, work: Path, project: Path, strings: Path, body: bytes) -> None:
        self.work, self.project, self.strings, self.body = work, project, strings, body
        self.kept = Path(shutil.copytree(project, work / "kept"))
        self.kinds: list[tuple[str, tuple[str, ...]]] = []

    def life(self, kill: Point | None = None) -> tuple[Life, int]:
        """Live: honest answers, a cut, a new route, an end in order, as far as the gateway comes."""
        shutil.rmtree(self.project)
        shutil.copytree(self.kept, self.project)
        self.strings.write_text("honest")
        life = Life(self.work, self.project, self.body, kill)
        if life.ready():
            life.load()
            life.until(lambda: seen(life, "canary ") >= ANSWERS, "the canary's answers")
            self.strings.write_text("nan")
            life.until(lambda: seen(life, "tripped") >= ANSWERS, "the cut")
            if not life.ended():
                epoch = self.new_route()
                life.until(lambda: life.ask("/v1/route")["epoch"] == epoch, "the new route")
                count = len(life.answered())
                life.until(lambda: len(life.answered()) >= count + ANSWERS, "answers by the new route")
        return life, life.close()

    def new_route(self) -> int:
        """Write the next decision into the ledger: half of the traffic for the canary."""

        def write() -> None:
            with Platform.open(self.project) as platform:
                route = platform.ledger.get(RouteRecord, "route")
                assert route is not None
                with platform.ledger.change("test", platform.clock.now()) as change:
                    change.put(replace(route, epoch=route.epoch + 1, share=0.5))
                    change.note("test.route", "route")

        assert forked(write) == 0
        return int(route_now(self.project)[0])

    def calm(self) -> list[str]:
        life, code = self.life()
        known: dict[str, tuple[str, ...]] = {}
        for line in life.told():
            if "kind" in line:
                known.setdefault(line["kind"], tuple(line["points"]))
        self.kinds = list(known.items())
        problems = [] if code == 0 else [f"the undisturbed life ended with {code}"]
        return problems + lost(life, self.project)

    def crash(self, point: Point) -> list[str]:
        """Kill a life at the point, begin again, and return what is not as it should be."""
        life, code = self.life(point)
        if code != -signal.SIGKILL:
            return [f"was not killed there: ended with {code}"]
        told, answered = life.told(), life.answered()
        follows = [line["follows"] for line in told if "follows" in line]
        epoch = max((weight[0] for weight in follows), default=0)
        cut = {path.name.partition("-")[0] for path in (self.project / "state" / "cuts").glob("[0-9]*.json")}
        acknowledged = any("tripped" in by for line in answered for by in line["by"])
        problems = ["a trip was told and is not on the disk"] if acknowledged and not cut else []
        problems += [f"answered {line['status']}" for line in answered if line["status"] != 200]
        self.strings.write_text("honest")  # a canary that was put back would answer now
        again = Life(self.work, self.project, self.body, None)
        again.ready()
        now = route_now(self.project)
        again.until(lambda: again.ask("/v1/route")["epoch"] == now[0], "the route of the ledger")
        for _ in range(ANSWERS):
            rows = again.ask("/invocations", self.body)["predictions"]
            by = {row["served_by"] for row in rows}
            if str(now[0]) in cut and "canary" in by:
                problems.append("a canary that was cut off answers again")
        if now[0] < epoch:
            problems.append(f"follows epoch {now[0]} after {epoch}")
        problems += [] if again.close() == 0 else [f"the next gateway ended with {again.code}"]
        wrong = [line["follows"] for line in again.told() if line.get("follows", now)[1] > now[1]]
        problems += [f"followed {weight}, more than the ledger's {now}" for weight in wrong]
        ids = {line["id"] for line in answered}
        return problems + [f"{len(ids - logged(self.project))} acknowledged answers are not in the log"] * bool(
            ids - logged(self.project)
        )


def seen(life: Life, word: str) -> int:
    return sum(any(word in by for by in line["by"]) for line in life.answered())


def logged(project: Path) -> set[str]:
    """Return the ids of all requests in the log."""
    predictions, out = project / "state" / "predictions", project / "ids"

    def read() -> None:
        table = PredictionTable(predictions)
        move_all(predictions / "log", table, datetime.now(UTC))
        out.write_text("\n".join(table.read()["request_id"].drop_nulls()))

    assert forked(read) == 0
    return set(out.read_text().splitlines())


def lost(life: Life, project: Path) -> list[str]:
    missing = {line["id"] for line in life.answered()} - logged(project)
    return [f"{len(missing)} acknowledged answers are not in the log"] if missing else []


def main(work: Path, project: Path, strings: Path, body: bytes, kinds: list[str]) -> dict[str, Any]:
    gateways = Gateways(work, project, strings, body)
    failures = [{"at": "undisturbed", "problems": problems} for problems in [gateways.calm()] if problems]
    points = [Point(kind, 1, where) for kind, places in gateways.kinds for where in places]
    wanted = [point for point in points if not kinds or any(word in point.kind for word in kinds)]
    found = [(f"{point.kind} {point.where}", gateways.crash(point)) for point in wanted]
    failures += [{"at": at, "problems": problems} for at, problems in found if problems]
    return {
        "kinds": [kind for kind, _ in gateways.kinds],
        "points": len(points),
        "kills": len(wanted),
        "failures": failures,
    }


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    work, project, strings, body = map(Path, sys.argv[1:5])
    json.dump(main(work, project, strings, body.read_bytes(), sys.argv[5:]), sys.stdout)
