"""A project with an inlet of every kind, and its gateway on a real port."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvicorn

from recloser.app import Platform
from recloser.app.loop.control_loop import ControlLoop, LoopOptions
from recloser.app.processes.server import gateway_service
from recloser.ledger import Ledger
from recloser.serving.http import EventBuffer, build_app

SECRET = b"a secret that nobody guesses"
INLETS = """
[[triggers.inlets]]
name = "forge"
kind = "github"
secret_file = "forge.secret"
people = { ann-dev = "ann" }

[[triggers.inlets]]
name = "lake"
kind = "cloudevents"

[[triggers.inlets]]
name = "signed"
kind = "cloudevents"
secret_file = "forge.secret"
counts_as = "data"

[[triggers.inlets]]
name = "registry"
kind = "mlflow"
secret_env = "RECLOSER_TEST_SECRET"
events = ["model_version.created", "model_version_tag.set"]
"""


@pytest.fixture
def grid(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    settings = project / "recloser.toml"
    settings.write_text(settings.read_text(encoding="utf-8") + INLETS, encoding="utf-8")
    (project / "forge.secret").write_bytes(SECRET + b"\n")
    monkeypatch.setenv("RECLOSER_TEST_SECRET", SECRET.decode())
    return project


@pytest.fixture
def platform(grid: Path) -> Iterator[Platform]:
    with Platform.open(grid) as opened:
        yield opened


@pytest.fixture
def ledger(platform: Platform) -> Ledger:
    return platform.ledger


@pytest.fixture
def address(platform: Platform) -> Iterator[str]:
    """The address of the project's gateway; there is no route yet, and inlets need none."""
    service = gateway_service(platform, ControlLoop(platform, LoopOptions()), EventBuffer())
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(build_app(service), log_level="critical"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    wait(lambda: server.started)
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join(30)
    listening.close()


def wait(condition: Callable[[], object], seconds: float = 300.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.01)
