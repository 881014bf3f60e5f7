"""SIGTERM under load: whoever got an answer from a gateway of a real project finds it in the log."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import polars as pl
import pytest

from recloser.app.predictions.mover import move_all
from recloser.cli import main
from recloser.serving.log import AnswerRecord, read_segment, segments
from recloser.testing import small_project
from recloser.testing.projects import FIRST, QUICK

pytestmark = pytest.mark.chaos
PROGRAM = [sys.executable, "-c", "from recloser.cli.main import run; run()"]


@pytest.fixture
def started(tmp_path: Path) -> Iterator[tuple[Path, str, subprocess.Popen[str]]]:
    folder = small_project(tmp_path / "grid", settings=QUICK)
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


def one_row(address: str) -> bytes:
    """Return a request for area F01 with whatever columns the model wants."""
    split = urlsplit(address)
    wire = http.client.HTTPConnection(str(split.hostname), split.port, timeout=60)
    wire.request("GET", "/v2/models/forecast")
    inputs: list[dict[str, Any]] = json.loads(wire.getresponse().read())["inputs"]
    wire.close()
    texts = {"area": "F01", "at": "2026-03-02T14:00:00Z"}
    tensors = [
        {"name": each["name"], "shape": [1], "datatype": each["datatype"], "data": [texts.get(each["name"], 1.0)]}
        for each in inputs
    ]
    return json.dumps({"inputs": tensors}).encode()


def logged(folder: Path) -> set[str]:
    """Return the names of all requests in the log, moved ones too."""
    found: set[str] = set()
    for log in sorted((folder / "state").rglob("gateway-*")):
        if log.is_dir():
            for segment in segments(log):
                found |= {r.request_id for _, r in read_segment(segment).records if isinstance(r, AnswerRecord)}
    return found


def test_every_answered_request_is_in_the_log(started: tuple[Path, str, subprocess.Popen[str]]) -> None:
    folder, address, process = started
    callers = [Caller(address, one_row(address)) for _ in range(6)]
    for caller in callers:
        caller.start()
    while sum(len(caller.answered) for caller in callers) < 300:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=120) == 0
    for caller in callers:
        caller.join()
    answered = {name for caller in callers for name in caller.answered}
    assert len(answered) >= 300
    assert answered - logged(folder) == set()
