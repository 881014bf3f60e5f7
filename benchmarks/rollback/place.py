"""A real project under `recloser up`, with a canary that answers for half of the areas, put back as often as wanted."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
from load import request
from processes import family

from recloser.app import Platform, run_pipeline
from recloser.app.loop.evidence import DIVERGENCE
from recloser.ledger import NoticeRecord, ReleaseRecord, RolloutRecord, RouteRecord, StateRecord
from recloser.registry.golden import read_golden
from recloser.rollout import Rollout, RolloutPlan, RolloutState, new_rollout
from recloser.rollout.control.reading import FENCE
from recloser.simulation import GridPlan, SimulatedGrid
from recloser.testing import QUICK, small_project
from recloser.testing.puppets import puppet_release

FEEDERS = 6
PROGRAM = [sys.executable, "-c", "from recloser.cli.main import run; run()"]
PATIENCE_S = 120.0


def until(found: Callable[[], Any], what: str) -> Any:
    """Return the first true answer."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if answer := found():
            return answer
        time.sleep(0.02)
    raise SystemExit(f"waited in vain: {what}")


def made(folder: Path, workers: int, *, patient: bool = False) -> Path:
    """Make a project with a champion, its history up to the present hour; a patient one sheds no load."""
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    start = now.replace(hour=0) - timedelta(days=120)
    plan = GridPlan(seed=3, feeders=FEEDERS, start=start, days=121, resolution=timedelta(hours=1), substations=0)
    frame = SimulatedGrid(plan).frame().filter(pl.col("at") < now)
    settings = QUICK.replace("[registry]", "allow_code = true\n\n[registry]")
    settings += f"\n[gateway]\nworkers = {workers}\n\n[gateway.log]\nenabled = false\n"
    settings += "\n[gateway.limits]\noverload_ms = 600000.0\n" if patient else ""
    small_project(folder, frame=frame, settings=settings)
    run_pipeline(folder, as_of=None, engine="local", progress=lambda _line: None)
    return folder


class Place:
    """The project, seen from outside: its ledger, its gateway, its controller.

    Attributes:
        champion, canary: releases; the canary is a model with code of its own, which does what `word` says.
    """

    def __init__(self, platform: Platform, pid: int, port: int) -> None:
        self.platform, self._pid, self.port = platform, pid, port
        self.word = platform.layout.root / "word"
        self.say("honest")
        champion = platform.champion()
        if champion is None:
            raise SystemExit("the gate refused the first model")
        self.champion = champion.release
        rows = read_golden(champion.package).rows.drop_nulls(["scale_mw", *champion.features.names])
        rows = rows.unique("area", keep="first", maintain_order=True).sort("area")
        self._rows = rows.select(
            "area", pl.col("at").dt.strftime("%Y-%m-%dT%H:%M:%SZ"), "scale_mw", *champion.features.names
        )
        self.areas = self._rows["area"].to_list()
        self.canary = puppet_release(platform, self.word)
        ledger = platform.ledger
        self._rollouts = ledger.find(RolloutRecord)
        self._releases = ledger.find(ReleaseRecord)

    def say(self, word: str) -> None:
        """Tell the canary what to do."""
        draft = self.word.with_suffix(".new")
        draft.write_text(word, encoding="utf-8")
        draft.replace(self.word)

    def requests(self, areas: list[str] | None = None) -> list[bytes]:
        """Return one request for inference an area, ready to be sent."""
        found = []
        for row in self._rows.filter(pl.col("area").is_in(areas or self.areas)).iter_rows():
            body = {"dataframe_split": {"columns": self._rows.columns, "data": [list(row)]}}
            found.append(request("/invocations", json.dumps(body).encode()))
        return found

    def bad_requests(self, area: str, times: int) -> None:
        """Ask about one area on one connection, which one worker answers."""
        (text,) = self.requests([area])
        body = text.partition(b"\r\n\r\n")[2]
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        for _ in range(times):
            link.request("POST", "/invocations", body, {"content-type": "application/json"})
            link.getresponse().read()
        link.close()

    def served_by(self) -> list[str]:
        """Ask about every area once; return who answered, each once."""
        found = set()
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        for text in self.requests():
            link.request("POST", "/invocations", text.partition(b"\r\n\r\n")[2], {"content-type": "application/json"})
            found |= {row["served_by"] for row in json.loads(link.getresponse().read())["predictions"]}
        link.close()
        return sorted(found)

    def notices(self, since: datetime | None) -> list[NoticeRecord]:
        """Return what consumers and people are told, from an instant on."""
        return [] if since is None else self.platform.ledger.find(NoticeRecord, since=("at", since), order_by="at")

    def post(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Post to the gateway; return status and document."""
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        link.request("POST", path, json.dumps(body), {"content-type": "application/json"})
        answer = link.getresponse()
        content = json.loads(answer.read())
        link.close()
        return answer.status, content

    def command(self, *words: str) -> None:
        """Run a verb as a person would."""
        subprocess.run([*PROGRAM, *words, "--project", str(self.platform.layout.root)], check=True, capture_output=True)

    def controller(self) -> int:
        """Return the controller's pid."""
        for pid in family(self._pid):
            if b"controller" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                return pid
        raise SystemExit("no controller")

    @contextmanager
    def still(self) -> Iterator[None]:
        """Stop the controller for the block: it renews no lease."""
        pid = self.controller()
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def arm(self, *, lease_s: float = 900.0, champion: str | None = None) -> Rollout:
        """Let the canary answer for half of the areas, whatever had happened before."""
        ledger = self.platform.ledger
        now, route = self.platform.clock.now(), ledger.get(RouteRecord, "route")
        assert route is not None
        serving = champion or self.champion
        queued = new_rollout(self.canary, serving, RolloutPlan(), now, scale=0.1, reason="benchmark")
        rollout = replace(queued, state=RolloutState.CANARY, since=now, tried_at=now)
        half = self.areas[: len(self.areas) // 2]
        following = replace(
            route, epoch=route.epoch + 1, champion=serving, canary=self.canary, share=0.0, cohort=half, shadow=None,
            lease_until=now + timedelta(seconds=lease_s), reason="benchmark", at=now,
        )  # fmt: skip
        alive = [r for r in ledger.find(RolloutRecord, release=self.canary) if r.finished_at is None]
        with ledger.change("benchmark", now) as change:
            for record in (*self._rollouts, *self._releases):
                change.put(record)
            for record in alive:
                change.put(replace(record, state="aborted", finished_at=now))
            change.put(rollout.to_record())
            change.put(StateRecord(f"{DIVERGENCE}/{self.canary}", now, {"trailing": 0}))
            change.put(StateRecord(FENCE, now, {"by": "benchmark"}))  # a step that the controller has begun is refused
            change.put(following)
            change.note("benchmark.arm", self.canary, {"epoch": following.epoch})
        return rollout

    def crown(self) -> None:
        """Make the canary champion, with the former one retired, as after a promotion."""
        ledger = self.platform.ledger
        now, route = self.platform.clock.now(), ledger.get(RouteRecord, "route")
        assert route is not None
        queued = new_rollout(self.canary, self.champion, RolloutPlan(), now, scale=0.1, reason="benchmark")
        rollout = replace(queued, state=RolloutState.CHAMPION, since=now, tried_at=now)
        following = replace(
            route, epoch=route.epoch + 1, champion=self.canary, canary=None, share=0.0, cohort=[], shadow=None,
            lease_until=None, reason="benchmark", at=now,
        )  # fmt: skip
        alive = [r for r in ledger.find(RolloutRecord, release=self.canary) if r.finished_at is None]
        with ledger.change("benchmark", now) as change:
            for record in self._rollouts:
                change.put(replace(record, state="retired", finished_at=now))
            for release in self._releases:
                state = "champion" if release.key == self.canary else "retired"
                change.put(replace(release, state=state))
            for record in alive:
                change.put(replace(record, state="aborted", finished_at=now))
            change.put(rollout.to_record())
            change.put(StateRecord(FENCE, now, {"by": "benchmark"}))
            change.put(following)
            change.note("benchmark.crown", self.canary, {"epoch": following.epoch})

    @contextmanager
    def damaged(self, release: str) -> Iterator[None]:
        """Damage a release's package for the block."""
        file = next(p for p in sorted((self.platform.layout.packages / release).rglob("*")) if p.suffix == ".txt")
        kept = file.read_bytes()
        file.write_bytes(kept[:-1] + b"#")
        try:
            yield
        finally:
            file.write_bytes(kept)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1.0).close()
    except OSError:
        return False
    return True


@contextmanager
def running(folder: Path) -> Iterator[Place]:
    """Run `recloser up` on a project until the block ends."""
    words = [*PROGRAM, "up", "--port", "0", "--json", "--project", str(folder)]
    with (folder / "up.log").open("wb") as log, Platform.open(folder) as platform:
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            text = ""
            assert process.stdout is not None
            while "}" not in text:
                line = process.stdout.readline()
                if not line:
                    raise SystemExit(f"up ended: {(folder / 'up.log').read_text()[-2000:]}")
                text += line
            port = int(json.loads(text)["gateway"].rpartition(":")[2])
            until(lambda: _listens(port), "the gateway")
            yield Place(platform, process.pid, port)
        finally:
            left = family(process.pid)
            process.terminate()
            try:
                process.wait(20.0)
            except subprocess.TimeoutExpired:
                process.kill()
            for pid in left[1:]:
                if Path(f"/proc/{pid}").exists():
                    os.kill(pid, signal.SIGKILL)
            process.wait()


def copied(folder: Path, to: Path) -> Path:
    """Return a copy of a project."""
    return Path(shutil.copytree(folder, to))
