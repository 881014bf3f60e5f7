"""Two gateway workers on one port: they agree on the route, and the death of one is not noticed by new callers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from recloser.app.processes.reports import read_reports, settled
from recloser.cli import main
from recloser.testing import small_project
from recloser.testing.projects import FIRST, QUICK

pytestmark = pytest.mark.chaos
PATIENCE_S = 240.0
PROGRAM = [sys.executable, "-c", "from recloser.cli.main import run; run()"]


def until(found: Callable[[], Any], what: str) -> Any:
    """Return the first true answer; the limit only keeps a broken program from hanging the tests."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        answer = found()
        if answer:
            return answer
        time.sleep(0.1)
    raise AssertionError(f"waited in vain: {what}")


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310 - our own server
        return str(answer.read().decode())


@pytest.fixture
def started(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    folder = small_project(tmp_path / "grid", settings=QUICK + "\n[gateway]\nworkers = 2\n")
    at = (FIRST + timedelta(days=119)).strftime("%Y-%m-%dT12:00:00Z")
    assert main(["run", "--project", str(folder), "--as-of", at]) == 0
    words = [*PROGRAM, "up", "--port", "0", "--json", "--project", str(folder)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    try:
        text = ""
        while "}" not in text:
            line = process.stdout.readline()
            assert line, f"up ended with {process.wait()}"
            text += line
        yield folder, json.loads(text)["gateway"]
    finally:
        process.terminate()
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
        process.stdout.close()


def test_two_workers_agree_and_one_may_die(started: tuple[Path, str]) -> None:
    folder, gateway = started
    reports = until(lambda: len(read_reports(folder / "state")) == 2 and read_reports(folder / "state"), "two workers")
    route = json.loads(get(gateway + "/v1/route"))
    epoch = route["route"]["epoch"] if "route" in route else route["epoch"]
    assert epoch > 0
    assert settled(reports, epoch)
    first = reports[0].pid
    os.kill(first, signal.SIGKILL)
    for _ in range(50):
        assert json.loads(get(gateway + "/v2/health/live")) == {"live": True}
    again = until(
        lambda: (
            len(read_reports(folder / "state")) == 2
            and first not in {report.pid for report in read_reports(folder / "state")}
        ),
        "a new worker",
    )
    assert again
    assert settled(read_reports(folder / "state"), epoch)
