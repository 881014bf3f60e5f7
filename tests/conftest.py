"""What tests of several rooms share: services that are really there."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import mlflow_server as mlflow_process
import pytest
import s3_server
from hypothesis import settings as hypothesis_settings
from mlflow_server import MlflowServer
from s3_server import S3Server

BROKER = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
PATIENCE_S = 120.0
hypothesis_settings.register_profile("patient", deadline=None)  # how fast the machine is decides no test
hypothesis_settings.load_profile("patient")


class Mosquitto:
    """A mosquitto of its own on a free port of 127.0.0.1; it keeps sessions and messages when stopped or killed.

    `port` stays the same over `start`, `stop` (in order) and `kill` (as kill -9). `start` may be told lines of
    mosquitto.conf; those about a listener (TLS) belong to its only one.
    """

    def __init__(self, program: str, folder: Path) -> None:
        self._program, self._folder = program, folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *lines: str) -> None:
        """Start it and wait until it listens; without lines everybody may come."""
        settings = [
            *(["user root"] if os.geteuid() == 0 else []),  # else it gives up its rights, and its folder with them
            "persistence true",
            f"persistence_location {self._folder}/",
            "autosave_interval 1",
            "autosave_on_changes true",
            "max_queued_messages 0",
            f"listener {self.port} 127.0.0.1",
            *(lines or ("allow_anonymous true",)),
        ]
        (self._folder / "mosquitto.conf").write_text("\n".join(settings) + "\n", encoding="utf-8")
        with (self._folder / "log").open("ab") as log:
            words = [self._program, "-c", str(self._folder / "mosquitto.conf")]
            self._process = subprocess.Popen(words, stdout=log, stderr=log)
        deadline = time.monotonic() + PATIENCE_S
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError((self._folder / "log").read_text())
            time.sleep(0.01)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        """End it in order: it writes what it keeps."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE_S)

    def kill(self) -> None:
        """End it as kill -9 does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE_S)


@pytest.fixture
def mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    """A broker that runs."""
    if BROKER is None:
        pytest.skip("mosquitto is not installed (Debian: apt-get install mosquitto)")
    broker = Mosquitto(BROKER, tmp_path_factory.mktemp("mosquitto"))
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()


@pytest.fixture
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An S3-compatible service that runs, with the bucket 'grid'."""
    if not s3_server.available():
        pytest.skip("moto's server is not installed (pip install 'recloser[dev]')")
    pytest.importorskip("obstore", reason="needs the extra s3")
    server = S3Server(tmp_path_factory.mktemp("s3"))
    try:
        yield server
    finally:
        server.close()


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """MLflow's own server with accounts, on plain HTTP."""
    missing = mlflow_process.missing()
    if missing:
        pytest.skip(f"MLflow's server needs {', '.join(missing)} (pip install 'recloser[dev]')")
    server = MlflowServer(tmp_path_factory.mktemp("mlflow-server"))
    server.start()
    try:
        yield server
    finally:
        server.stop()
