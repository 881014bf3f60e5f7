"""Runs in processes of their own: a crash is a failed run, a stop is resumed, and nothing waits for a training."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from recloser.app import Platform, ask_to_retrain
from recloser.app.loop.control_loop import ControlLoop, LoopOptions
from recloser.app.loop.retraining import RunOrder
from recloser.app.processes.running import RunProcesses, order_from, order_text
from recloser.ledger import ReleaseRecord, RolloutRecord, RouteRecord, RunRecord, StepRecord
from recloser.serving.foreign import Lifeline

PATIENCE_S = 120.0
TRAIN = """
import os, pathlib, signal, time
from recloser.models import train_lightgbm

HERE = pathlib.Path(__file__).parent

def train(rows, names, plan):
    (HERE / "training").write_text(str(os.getpid()))
    while not (HERE / "go").exists():
        time.sleep(0.02)
    if (HERE / "go").read_text() == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    return train_lightgbm(rows, names, plan)
"""


def until(found: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if answer := found():
            return answer
        time.sleep(0.02)
    raise AssertionError(f"waited in vain: {what}")


@pytest.fixture
def platform(project: Path) -> Iterator[Platform]:
    """A project whose training waits for a word in the file `go`."""
    (project / "pipeline.py").write_text(TRAIN)
    with Platform.open(project) as opened:
        yield opened


def order_of(platform: Platform) -> RunOrder:
    extent = platform.store.extent("load_mw")
    assert extent is not None
    return RunOrder("run-1", extent[1] + timedelta(hours=1), "api", "a test", {"excluded": []})


def told_to(platform: Platform, word: str) -> None:
    (platform.layout.root / "go").write_text(word)


def trained_by(platform: Platform) -> int:
    file = platform.layout.root / "training"
    return int(until(lambda: file.exists() and file.read_text(), "the training to begin"))


def test_an_order_is_read_back(project: Path) -> None:
    with Platform.open(project) as platform:
        order = order_of(platform)
        assert order_from(order_text(order)) == order


@pytest.mark.slow
def test_what_a_run_brought_is_rolled_out_when_it_has_ended(platform: Platform) -> None:
    said: list[str] = []
    with RunProcesses(platform, said.append) as runs:
        loop = ControlLoop(platform, LoopOptions(runs=runs, say=said.append))
        order = order_of(platform)
        runs.start(order)
        runs.start(order)
        assert trained_by(platform) == runs.pid != os.getpid()
        ask_to_retrain(platform.layout.root, reason="more", actor="test")
        assert loop.retraining.tick(platform.clock.now(), frozenset()) is False
        assert loop.retraining.busy
        assert len(platform.ledger.find(RunRecord)) == 1  # nothing is decided meanwhile
        told_to(platform, "go")
        assert until(loop.retraining.collect, "the run to end")
        assert not loop.retraining.busy
        loop.advance()
    run = platform.ledger.get(RunRecord, "run-1")
    assert run is not None
    assert (run.state, run.verdict) == ("done", "pass"), said
    route = platform.ledger.get(RouteRecord, "route")
    assert route is not None
    assert route.champion == run.candidate


@pytest.mark.slow
def test_a_crash_is_a_failed_run_with_its_reason(platform: Platform) -> None:
    said: list[str] = []
    with RunProcesses(platform, said.append) as runs:
        told_to(platform, "crash")
        runs.start(order_of(platform))
        assert [order.key for order in until(runs.ended, "the run to end")] == ["run-1"]
        assert not runs.busy
        loop = ControlLoop(platform, LoopOptions(runs=runs))
        loop.retraining.tick(platform.clock.now(), frozenset())
        assert not runs.busy  # what crashed is not resumed
    run = platform.ledger.get(RunRecord, "run-1")
    assert run is not None
    assert run.state == "failed"
    (failed,) = [entry for entry in platform.ledger.entries() if entry.action == "run.failed"]
    assert failed.facts["what"] == "the run's process was ended by SIGSEGV"
    assert said == ["run run-1 failed: its process was ended by SIGSEGV"]


@pytest.mark.slow
def test_a_run_that_cannot_even_begin_is_failed_too(platform: Platform) -> None:
    (platform.layout.root / "pipeline.py").write_text("raise ZeroDivisionError")
    with RunProcesses(platform, lambda _line: None) as runs:
        runs.start(order_of(platform))
        until(runs.ended, "the run to end")
    run = platform.ledger.get(RunRecord, "run-1")
    assert run is not None
    assert (run.state, run.parameters) == ("failed", order_of(platform).parameters)


@pytest.mark.slow
def test_a_run_stopped_with_its_controller_is_resumed_by_the_next_one(platform: Platform) -> None:
    with RunProcesses(platform, lambda _line: None) as runs:
        runs.start(order_of(platform))
        child = trained_by(platform)
    assert not Path(f"/proc/{child}").exists()
    assert not runs.busy or runs.pid == child
    run = platform.ledger.get(RunRecord, "run-1")
    assert run is not None
    assert run.state == "running"
    told_to(platform, "go")
    with RunProcesses(platform, lambda _line: None) as runs:
        loop = ControlLoop(platform, LoopOptions(runs=runs))
        loop.retraining.tick(platform.clock.now(), frozenset())
        assert runs.busy
        until(loop.retraining.collect, "the run to end")
    assert [step.attempts for step in platform.ledger.find(StepRecord, name="train")] == [2]
    assert platform.ledger.find(RolloutRecord)


@pytest.mark.slow
def test_a_run_that_another_process_holds_waits_for_it(platform: Platform) -> None:
    told_to(platform, "go")
    with RunProcesses(platform, lambda _line: None) as runs:
        with platform.ledger.hold("run run-1"):
            runs.start(order_of(platform))
            first = runs.pid
            until(lambda: runs.ended() == [] and runs.pid != first, "the first try to end")
            assert platform.ledger.get(RunRecord, "run-1") is None
        until(runs.ended, "the run to end")
    run = platform.ledger.get(RunRecord, "run-1")
    assert run is not None
    assert run.state == "done"


@pytest.mark.slow
def test_what_a_run_brought_is_not_forgotten_when_the_process_ends_before_it_is_rolled_out(platform: Platform) -> None:
    told_to(platform, "go")
    loop = ControlLoop(platform, LoopOptions())
    outcome = loop.retraining.make(order_of(platform))
    assert outcome.verdict == "pass"
    assert not platform.ledger.find(RolloutRecord)
    ControlLoop(platform, LoopOptions()).retraining.tick(platform.clock.now(), frozenset())
    (rollout,) = platform.ledger.find(RolloutRecord)
    assert rollout.release == outcome.candidate
    release = platform.ledger.get(ReleaseRecord, rollout.release)
    assert release is not None
    ControlLoop(platform, LoopOptions()).retraining.tick(platform.clock.now(), frozenset())
    assert len(platform.ledger.find(RolloutRecord)) == 1


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs the Linux kernel")
def test_a_child_that_holds_pythons_lock_for_ever_ends_with_its_lifeline() -> None:
    import subprocess
    import sys

    program = (
        "import ctypes, os; from recloser.serving.foreign import hang_on; hang_on(os.environ);"
        "print(1, flush=True); ctypes.PyDLL(None).sleep(600)"
    )
    lifeline = Lifeline()
    child = subprocess.Popen(
        [sys.executable, "-c", program],
        env={**os.environ, **lifeline.environment},
        pass_fds=(lifeline.inherited,),
        stdout=subprocess.PIPE,
    )
    lifeline.started()
    try:
        assert child.stdout is not None
        assert child.stdout.readline().strip() == b"1"
        assert child.poll() is None
        lifeline.cut()
        lifeline.cut()
        assert child.wait(PATIENCE_S) == -signal.SIGKILL
    finally:
        child.kill()
        child.wait()
        if child.stdout is not None:
            child.stdout.close()
