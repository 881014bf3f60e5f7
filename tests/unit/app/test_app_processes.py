"""The supervisor's rules and the sockets it hands on, without the processes of a whole project."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from recloser.app.clock import SystemClock
from recloser.app.loop.control_loop import ControlLoop, LoopOptions
from recloser.app.platform import Platform
from recloser.app.processes.announcing import events_so_far
from recloser.app.processes.server import gateway_app, gateway_service, listen
from recloser.app.processes.supervisor import Child, commands, stop, watch
from recloser.core import Unavailable
from recloser.serving.log import LogPolicy, PredictionLog


def ended(child: Child) -> None:
    """Wait until the child's process has ended."""
    if child.process is not None:
        child.process.wait(timeout=60)


def test_what_dies_at_once_is_restarted_after_growing_waits() -> None:
    said: list[str] = []
    child = Child("brief", [sys.executable, "-S", "-c", "raise SystemExit(7)"])
    waits = []
    for _ in range(3):
        child.due = 0.0
        watch(child, said.append)
        ended(child)
        watch(child, said.append)
        assert child.process is None
        waits.append(child.due - time.monotonic())
        assert child.restarts == len(waits)
    assert waits[0] < waits[1] < waits[2]
    assert said[0].startswith("brief ended with code 7")
    watch(child, said.append)
    assert child.process is None  # not before its wait is over


@pytest.mark.slow
@pytest.mark.chaos
def test_stop_ends_also_what_does_not_listen() -> None:
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(600)"
    child = Child("deaf", [sys.executable, "-S", "-c", deaf])
    child.process = subprocess.Popen(child.command, stdout=subprocess.PIPE, start_new_session=True)
    assert child.process.stdout is not None
    child.process.stdout.readline()
    stop([child, Child("never started", ["true"])])
    assert child.process.returncode is not None
    child.process.stdout.close()


def test_a_taken_port_is_unavailable_and_names_it() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Unavailable, match=str(port)):
            listen("127.0.0.1", port)
    with pytest.raises(Unavailable):
        listen("not-a-host.invalid", 0)


def test_a_taken_grpc_port_is_found_before_anything_is_served(project: Path) -> None:
    pytest.importorskip("grpc", reason="the extra grpc is not installed")
    with Platform.open(project) as platform:
        events, _ = events_so_far(platform.ledger)
        service = gateway_service(platform, ControlLoop(platform, LoopOptions()), events)
        with listen("127.0.0.1", 0) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(Unavailable, match=str(port)):
                gateway_app(service, "127.0.0.1", port)
        assert gateway_app(service, "127.0.0.1", port).routes
        assert gateway_app(service, "127.0.0.1", 0).routes


def test_a_standing_clock_runs_no_controller() -> None:
    at = datetime(2020, 1, 1, tzinfo=UTC)
    assert set(commands(Path("grid"), "127.0.0.1", 8080, None)) == {"gateway", "controller", "watchman", "console"}
    shown = commands(Path("grid"), "127.0.0.1", 8080, at)
    assert set(shown) == {"gateway", "console"}
    assert all(command[-1] == "2020-01-01T00:00:00Z" for command in shown.values())


@pytest.mark.slow
@pytest.mark.chaos
def test_a_gateway_that_is_told_to_stop_closes_its_log(project: Path) -> None:
    with listen("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    words = [
        sys.executable,
        "-m",
        "recloser.app",
        "gateway",
        str(project),
        "127.0.0.1",
        str(port),
        str(os.getpid()),
        "-",
    ]
    log_folder = project / "state" / "predictions" / "log" / "gateway-0"
    gateway = subprocess.Popen(words)
    try:
        deadline = time.monotonic() + 300
        while not (opened := (log_folder / "identity").exists()) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert opened
        gateway.terminate()
        assert gateway.wait(timeout=60) == 0
    finally:
        gateway.kill()
        gateway.wait(timeout=60)
    log = PredictionLog(log_folder, LogPolicy(), SystemClock())
    assert log.recovery.in_order
    assert log.close()
