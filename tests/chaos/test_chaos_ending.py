"""SIGTERM under load: whoever got an answer from a gateway of a real project finds it in the log."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import polars as pl
import pytest

from recloser.app.predictions.mover import move_all
from recloser.cli import main
from recloser.simulation import GridPlan, SimulatedGrid
from recloser.store import PredictionTable
from recloser.testing import small_project

pytestmark = pytest.mark.chaos
PROGRAM = [sys.executable, "-c", "from recloser.cli.main import run; run()"]


@pytest.fixture
def started(tmp_path: Path) -> Iterator[tuple[Path, str, subprocess.Popen[str]]]:
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)  # limits are learned from recent loads
    start = now.replace(hour=0) - timedelta(days=120)
    plan = GridPlan(seed=3, feeders=2, start=start, days=121, resolution=timedelta(hours=1), substations=0)
    frame = SimulatedGrid(plan).frame().filter(pl.col("at") < now)
    folder = small_project(tmp_path / "grid", frame=frame)
    assert main(["run", "--project", str(folder)]) == 0
    words = [*PROGRAM, "up", "--port", "0", "--json", "--project", str(folder)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    try:
        text = ""
        while "}" not in text:
            line = process.stdout.readline()
            assert line, f"up ended with {process.wait()}"
            text += line
        yield folder, json.loads(text)["gateway"], process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


class Caller(threading.Thread):
    """Asks again and again on one connection until there is no answer; keeps the names of answered requests."""

    def __init__(self, address: str, body: bytes) -> None:
        super().__init__()
        self.address, self.body = address, body
        self.answered: list[str] = []

    def run(self) -> None:
        split = urlsplit(self.address)
        wire = http.client.HTTPConnection(str(split.hostname), split.port, timeout=60)
        try:
            while True:
                wire.request("POST", "/v2/models/forecast/infer", self.body, {"content-type": "application/json"})
                answer = wire.getresponse()
                answer.read()
                if answer.status == 200:
                    self.answered.append(str(answer.headers["x-request-id"]))
        except (OSError, http.client.HTTPException):
            pass
        finally:
            wire.close()


def columns(address: str) -> list[dict[str, Any]]:
    """Return what a row consists of, once the gateway serves."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(address + "/v2/models/forecast", timeout=60) as answer:  # noqa: S310 - ours
                return list(json.loads(answer.read())["inputs"])
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the gateway does not serve")


def one_row(inputs: list[dict[str, Any]]) -> bytes:
    """Return a request for area F01."""
    texts = {"area": "F01", "at": datetime.now(UTC).strftime("%Y-%m-%dT12:00:00Z")}
    tensors = [
        {"name": each["name"], "shape": [1], "datatype": each["datatype"], "data": [texts.get(each["name"], 1.0)]}
        for each in inputs
    ]
    return json.dumps({"inputs": tensors}).encode()


def logged(folder: Path) -> set[str]:
    """Return the names of all requests in the log, whether the controller has moved them or not."""
    predictions = folder / "state" / "predictions"
    table = PredictionTable(predictions)
    move_all(predictions / "log", table, datetime.now(UTC))
    return set(table.read()["request_id"])


def test_every_answered_request_is_in_the_log(started: tuple[Path, str, subprocess.Popen[str]]) -> None:
    folder, address, process = started
    body = one_row(columns(address))
    callers = [Caller(address, body) for _ in range(6)]
    for caller in callers:
        caller.start()
    while sum(len(caller.answered) for caller in callers) < 300:
        assert any(caller.is_alive() for caller in callers)
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=120) == 0
    for caller in callers:
        caller.join()
    answered = {name for caller in callers for name in caller.answered}
    assert len(answered) >= 300
    assert answered - logged(folder) == set()
