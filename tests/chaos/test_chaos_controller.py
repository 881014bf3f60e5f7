"""The controller of `up` while a run is under way."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from recloser.app import Platform
from recloser.app.loop.retraining import RunOrder
from recloser.cli import main
from recloser.core import LOAD
from recloser.engines import RunBook
from recloser.ledger import RolloutRecord, RouteRecord, RunRecord, StepRecord
from recloser.ledger.database import WAIT_S
from recloser.pipelines import candidate_pipeline
from recloser.rollout import RolloutState
from recloser.testing.puppets import puppet_release, put_on_trial

pytestmark = [pytest.mark.chaos, pytest.mark.slow]
TRAIN = """
import os, pathlib, time
from recloser.models import train_lightgbm

HERE = pathlib.Path(__file__).parent

def train(rows, names, plan):
    (HERE / "training").write_text(str(os.getpid()))
    while not (HERE / "go").exists():
        time.sleep(0.05)
    return train_lightgbm(rows, names, plan)
"""


@pytest.fixture
def canary(served: Path, platform: Platform, tmp_path: Path) -> str:
    """A canary on all areas, with a first lease that outlasts the start of the processes."""
    strings = tmp_path / "strings"
    strings.write_text("honest")
    file = served / "recloser.toml"
    text = file.read_text(encoding="utf-8")
    assert "[rollout]" in text
    file.write_text(text.replace("[rollout]", "[rollout]\nlease_seconds = 60", 1), encoding="utf-8")
    release = puppet_release(platform, strings)
    put_on_trial(platform, release, RolloutState.CANARY, lease_until=platform.clock.now() + timedelta(minutes=30))
    return release


def leases(platform: Platform) -> int:
    return len([entry for entry in platform.ledger.entries() if entry.action == "rollout.lease"])


def shorten_lease(platform: Platform) -> None:
    """Make the lease of the route so short that the controller renews it at its next look, then every half minute."""
    route = platform.ledger.get(RouteRecord, "route")
    assert route is not None
    now = platform.clock.now()
    with platform.ledger.change("test", now) as change:
        change.put(replace(route, lease_until=now + timedelta(seconds=30)))
        change.note("test", "route", {})


def begin_run(platform: Platform) -> str:
    """Leave a run as a controller leaves it that was killed in the middle of it."""
    extent = platform.store.extent(LOAD)
    assert extent is not None
    order = RunOrder("run-1", extent[1] + timedelta(hours=1), "api", "a test", {"excluded": []})
    book = RunBook(platform.ledger, platform.clock)
    return book.open(candidate_pipeline(), order.key, order.trigger, order.reason, order.parameters).key


def test_leases_are_renewed_while_a_run_is_under_way_which_ends_with_its_controller(
    served: Path, platform: Platform, canary: str, up: Callable[..., Any], until: Any, alive: Callable[[int], bool]
) -> None:
    (served / "pipeline.py").write_text(TRAIN)
    run = begin_run(platform)
    running = up(served)
    training = until(lambda: (served / "training").exists() and (served / "training").read_text(), "the training")
    assert running.pids("run") == [int(training)]
    shorten_lease(platform)
    begun = leases(platform)
    until(lambda: leases(platform) >= begun + 2, "two renewals of the lease")
    assert alive(int(training))
    assert running.route()["canary"] == canary

    (controller,) = running.pids("controller")
    os.kill(controller, signal.SIGKILL)
    until(lambda: not alive(int(training)), "the run to end with its controller")
    record = platform.ledger.get(RunRecord, run)
    assert record is not None
    assert record.state == "running"
    (served / "training").unlink()
    until((served / "training").exists, "the next controller to resume the run")
    (served / "go").write_text("go")
    until(lambda: platform.ledger.find(RunRecord, key=run, state="done"), "the run to end")
    (trained,) = platform.ledger.find(StepRecord, run=run, name="train")
    assert trained.attempts == 2
    assert main(["audit", "verify", "--project", str(served)]) == 0


@contextmanager
def writing(database: Path) -> Iterator[None]:
    """Let another process be in the middle of a write, so that nobody else can."""
    program = (
        "import sqlite3, sys; held = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None);"
        "held.execute('BEGIN IMMEDIATE'); print(1, flush=True); sys.stdin.read(); held.rollback()"
    )
    words = [sys.executable, "-c", program, str(database)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline().strip() == b"1"
        yield
        holder.stdin.close()


def test_answers_go_on_while_the_ledger_is_locked_or_gone(
    served: Path, platform: Platform, canary: str, up: Callable[..., Any], until: Any, request_body: dict[str, Any]
) -> None:
    running = up(served)
    until(lambda: running.get("/v1/areas"), "the gateway")

    def answered() -> set[tuple[str, str]]:
        status, text = running.ask("/invocations", request_body)
        assert status == 200, text
        return {(row["served_by"], row["reason"]) for row in json.loads(text)["predictions"]}

    until(lambda: answered() == {("canary", "")}, "the canary")
    shorten_lease(platform)
    until(lambda: leases(platform) > 0, "a lease of the short kind")
    with writing(served / "state" / "ledger.db"):
        seen = leases(platform)
        until(lambda: answered() == {("champion", "lease expired")}, "the lease to run out")
        assert leases(platform) == seen
        time.sleep(WAIT_S + 1)  # a renewal that was decided in time and waits for the lock is given up
    until(lambda: running.route()["shadow"] == canary, "the rollout to go back to the shadow")
    (trial,) = [record for record in platform.ledger.find(RolloutRecord) if record.release == canary]
    assert (trial.state, trial.reason) == ("shadow", "the controller was silent longer than the lease")

    away = served / "state" / "away"
    away.mkdir()
    for file in served.glob("state/ledger.db*"):
        shutil.move(file, away)
    for _ in range(40):
        assert answered() == {("champion", "")}
    for file in away.iterdir():
        shutil.move(file, served / "state")
    before = running.route()["epoch"]
    status, text = running.ask("/v1/rollback", {"reason": "after the ledger came back"})
    assert status == 200, text
    until(lambda: running.route()["epoch"] > before, "the rollback")
    assert main(["audit", "verify", "--project", str(served)]) == 0
