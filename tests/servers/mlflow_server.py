"""MLflow's own tracking server with accounts (basic-auth) as a process, with or without TLS."""

from __future__ import annotations

import importlib.util
import os
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

PATIENCE_S = 240.0
ADMIN, PASSWORD = "recloser", "pass word of 12+"
NEEDED = ("flask", "flask_cors", "flask_wtf", "graphene", "fastapi")


def missing() -> list[str]:
    """Return the modules that the server needs and that are not installed."""
    return [name for name in NEEDED if importlib.util.find_spec(name) is None]


class MlflowServer:
    """A server on a port of 127.0.0.1 that stays the same over `start` and `stop`.

    Args:
        folder: of its databases and artifacts.
        tls: certificate and key; None: plain HTTP.
        artifacts: where it keeps them; None: in the folder.
        environment: of the process, besides ours.
    """

    def __init__(
        self,
        folder: Path,
        tls: tuple[Path, Path] | None = None,
        artifacts: str | None = None,
        environment: dict[str, str] | None = None,
    ) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.uri = f"{'http' if tls is None else 'https'}://127.0.0.1:{self.port}"
        self._folder, self._tls, self._artifacts = folder, tls, artifacts or str(folder / "artifacts")
        self._more = environment or {}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        accounts = self._folder / "accounts.ini"
        accounts.write_text(
            "[mlflow]\ndefault_permission = NO_PERMISSIONS\n"
            f"database_uri = sqlite:///{self._folder}/accounts.db\n"
            f"admin_username = {ADMIN}\nadmin_password = {PASSWORD}\n"
            "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
        )
        words = [sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth", "--workers", "1"]
        words += ["--host", "127.0.0.1", "--port", str(self.port), "--artifacts-destination", self._artifacts]
        words += ["--backend-store-uri", f"sqlite:///{self._folder}/tracking.db"]
        if self._tls is not None:
            words += ["--uvicorn-opts", f"--ssl-certfile {self._tls[0]} --ssl-keyfile {self._tls[1]}"]
        kept = {name: text for name, text in os.environ.items() if not name.startswith("MLFLOW")}
        environment = kept | {
            "MLFLOW_AUTH_CONFIG_PATH": str(accounts),
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "a key for tests",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DO_NOT_TRACK": "true",
        }
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                words, stdout=log, stderr=log, env=environment | self._more, cwd=self._folder
            )
        deadline = time.monotonic() + PATIENCE_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError((self._folder / "log").read_text())
            time.sleep(0.1)

    def _answers(self) -> bool:
        anyone = ssl.create_default_context()
        anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=10, context=anyone) as answer:  # noqa: S310 - ours
                return bool(answer.status == 200)
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False

    def stop(self) -> None:
        """End it and its workers."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(PATIENCE_S)
