"""Owns a real MQTT broker for tests: a mosquitto process on a free port. Never for use in operation."""

from __future__ import annotations

import getpass
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

PATIENCE_S = 120.0
PLACES = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")


def mosquitto_program(name: str = "mosquitto") -> str | None:
    """Return where a program of mosquitto is, None if it is not installed."""
    found = shutil.which(name)
    return found or next((f"{place}/{name}" for place in PLACES if Path(place, name).exists()), None)


class Mosquitto:
    """A broker that can be killed and started again on its port; what it keeps survives in its folder.

    Args:
        folder: for its files; made if it is missing.
        users: name -> password; without any everybody is let in.
        rights: lines of its access list, such as 'user ann' and 'topic read recloser/#'.
        tls: authority, certificate and key; then only encrypted connections are let in.
        client_certificates: whether callers must show a certificate of that authority.
    """

    def __init__(
        self,
        folder: Path,
        *,
        users: Mapping[str, str] | None = None,
        rights: Sequence[str] = (),
        tls: tuple[Path, Path, Path] | None = None,
        client_certificates: bool = False,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.host = "127.0.0.1"
        self.port = _free_port()
        self._log = folder / "mosquitto.log"
        self._process: subprocess.Popen[bytes] | None = None
        lines = [
            f"user {getpass.getuser()}",  # root would else become who cannot read our files
            f"listener {self.port} {self.host}",
            f"allow_anonymous {'false' if users else 'true'}",
            "persistence true",
            f"persistence_location {folder}/",
            "autosave_interval 1",
            "autosave_on_changes true",
        ]
        if users:
            lines.append(f"password_file {_passwords(folder, users)}")
        if rights:
            access = folder / "access"
            access.write_text("\n".join(rights) + "\n", encoding="utf-8")
            access.chmod(0o600)
            lines.append(f"acl_file {access}")
        if tls is not None:
            authority, certificate, key = tls
            lines += [f"cafile {authority}", f"certfile {certificate}", f"keyfile {key}"]
            lines.append(f"require_certificate {'true' if client_certificates else 'false'}")
        self._settings = folder / "mosquitto.conf"
        self._settings.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def start(self) -> None:
        """Start the broker and wait until it listens.

        Raises:
            RuntimeError: mosquitto is not installed or ended.
        """
        program = mosquitto_program()
        if program is None:
            raise RuntimeError("mosquitto is not installed")
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([program, "-c", self._settings], stdout=log, stderr=log)  # noqa: S603 - a fixed program
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline and self._process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex((self.host, self.port)) == 0:
                    return
            time.sleep(0.02)
        raise RuntimeError(f"mosquitto does not listen: {self._log.read_text(encoding='utf-8')[-2000:]}")

    def kill(self) -> None:
        """End the broker at once, as a power failure would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _passwords(folder: Path, users: Mapping[str, str]) -> Path:
    path, program = folder / "passwords", mosquitto_program("mosquitto_passwd")
    if program is None:
        raise RuntimeError("mosquitto_passwd is not installed")
    path.write_text("", encoding="utf-8")
    path.chmod(0o600)
    for name, password in users.items():
        words = [program, "-b", str(path), name, password]
        subprocess.run(words, check=True, capture_output=True)  # noqa: S603 - a fixed program
    return path
