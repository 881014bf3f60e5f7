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
        super().__init__(daemon=True)
        self.address, self.body = address, body
        self.answered: list[str] = []
        self.refused = b""

    def run(self) -> None:
        split = urlsplit(self.address)
        wire = http.client.HTTPConnection(str(split.hostname), split.port, timeout=60)
        try:
            while True:
                wire.request("POST", "/v2/models/forecast/infer", self.body, {"content-type": "application/json"})
                answer = wire.getresponse()
                content = answer.read()
                if answer.status != 200:
                    self.refused = content
                    return
                self.answered.append(str(answer.headers["x-request-id"]))
        except (OSError, http.client.HTTPException):
            pass
        finally:
            wire.close()


def get(address: str) -> Any:
    with urllib.request.urlopen(address, timeout=60) as answer:  # noqa: S310 - our own server
        return json.loads(answer.read())


def peak_mw(address: str) -> float:
    """Return what area F01 can carry at most, once the gateway has learned it and follows a route."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            limits = [row["limits_mw"] for row in get(address + "/v1/areas")["areas"] if row["area"] == "F01"]
            if limits[0] is not None and get(address + "/v1/route")["champion"] is not None:
                return float(limits[0][1])
        except OSError:
            pass
        time.sleep(0.1)
    raise AssertionError("the gateway does not serve")


def one_row(address: str) -> bytes:
    """Return a usual request for area F01."""
    usual = {"area": "F01", "at": datetime.now(UTC).strftime("%Y-%m-%dT12:00:00Z"), "scale_mw": peak_mw(address) / 2}
    tensors = [
        {"name": each["name"], "shape": [1], "datatype": each["datatype"], "data": [usual.get(each["name"], 1.0)]}
        for each in get(address + "/v2/models/forecast")["inputs"]
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
    body = one_row(address)
    callers = [Caller(address, body) for _ in range(6)]
    for caller in callers:
        caller.start()
    while sum(len(caller.answered) for caller in callers) < 300:
        assert [caller.refused for caller in callers if caller.refused] == []
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=120) == 0
    for caller in callers:
        caller.join()
    answered = {name for caller in callers for name in caller.answered}
    assert len(answered) >= 300
    assert answered - logged(folder) == set()
