"""`recloser up`: what dies is restarted, and whichever way the supervisor ends, no process stays behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recloser.cli import main
from recloser.simulation import GridPlan, SimulatedGrid
from recloser.testing import small_project

pytestmark = pytest.mark.chaos

PROGRAM = [sys.executable, "-c", "from recloser.cli.main import run; run()"]
PATIENCE_S = 240.0


def until(found: Callable[[], Any], what: str) -> Any:
    """Return the first true answer; the limit only keeps a broken program from hanging the tests."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        answer = found()
        if answer:
            return answer
        time.sleep(0.1)
    raise AssertionError(f"waited in vain: {what}")


def get(url: str) -> str | None:
    """Return the body of a page, None while nobody answers or the answer is an error."""
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:  # noqa: S310 - our own server
            return str(answer.read().decode())
    except (urllib.error.URLError, OSError):
        return None


def children(pid: int) -> dict[str, int]:
    """Return the living children of a process by what they are."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            parent = int(process.joinpath("stat").read_text().rsplit(")", 1)[1].split()[1])
            words = process.joinpath("cmdline").read_bytes().decode().split("\0")
        except (OSError, IndexError):
            continue
        if parent == pid:
            for name in ("gateway", "controller", "recloser.console"):
                if name in words:
                    found[name] = int(process.name)
    return found


def alive(pid: int) -> bool:
    """Tell whether the process runs; one that ended but was not collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose history reaches to the present hour, with a model that serves."""
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    start = now.replace(hour=0) - timedelta(days=120)
    plan = GridPlan(seed=3, feeders=2, start=start, days=121, resolution=timedelta(hours=1), substations=0)
    frame = SimulatedGrid(plan).frame().filter(pl.col("at") < now)
    folder = small_project(tmp_path_factory.mktemp("up") / "grid", frame=frame)
    assert main(["run", "--project", str(folder)]) == 0
    return folder


@pytest.fixture
def started(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """`recloser up` on free ports, and what it says about where it listens; all of it is ended afterwards."""
    kept = {key: text for key, text in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    environment = {"PYTHONPYCACHEPREFIX": str(tmp_path_factory.getbasetemp() / "pyc"), **kept}
    words = [*PROGRAM, "up", "--port", "0", "--json", "--project", str(project)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
    assert process.stdout is not None
    known: set[int] = set()
    try:
        text = ""
        while "}" not in text:
            line = process.stdout.readline()
            assert line, f"up ended with {process.wait()}"
            text += line
        addresses = json.loads(text)
        until(lambda: get(addresses["gateway"] + "/v2/health/live"), "the gateway to come up")
        known = set(until(lambda: len(children(process.pid)) == 3 and children(process.pid), "three children").values())
        yield process, addresses
    finally:
        known |= set(children(process.pid).values())
        process.kill()
        process.wait()
        process.stdout.close()
        for pid in known:
            if alive(pid):
                os.kill(pid, signal.SIGKILL)


def test_it_serves_restarts_what_dies_and_leaves_nothing_behind(
    started: tuple[subprocess.Popen[str], dict[str, str]],
) -> None:
    process, addresses = started
    gateway, console = addresses["gateway"], addresses["console"]
    areas = json.loads(until(lambda: get(gateway + "/v1/areas"), "the areas"))
    assert "F01" in json.dumps(areas)
    page = until(lambda: get(console + "/"), "the console")
    assert "F01" in page
    data = json.loads(until(lambda: get(console + "/overview.json"), "the console's data"))
    assert [row["area"] for row in data["areas"]] == ["F01", "F02"]
    forecast = json.loads(until(lambda: get(gateway + "/v1/areas/F01/forecast"), "the controller to issue"))
    assert len(forecast["points"]) in {23, 24, 25}

    first = children(process.pid)["gateway"]
    os.kill(first, signal.SIGKILL)
    until(lambda: children(process.pid).get("gateway", first) != first, "a new gateway")
    until(lambda: get(gateway + "/v2/health/live"), "the new gateway to answer")
    again = json.loads(until(lambda: get(gateway + "/v1/areas/F01/forecast"), "a forecast"))
    assert again["points"] == forecast["points"]  # from the ledger, so the death of a gateway changes nothing

    running = set(children(process.pid).values())
    assert len(running) == 3
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=PATIENCE_S) == 0
    assert [pid for pid in running if alive(pid)] == []
    assert get(gateway + "/v2/health/live") is None


def test_without_their_supervisor_the_processes_end_by_themselves(
    started: tuple[subprocess.Popen[str], dict[str, str]], project: Path
) -> None:
    process, _ = started
    running = set(children(process.pid).values())
    process.kill()
    process.wait()
    until(lambda: not any(alive(pid) for pid in running), "the children to end")
    assert main(["audit", "verify", "--project", str(project)]) == 0
