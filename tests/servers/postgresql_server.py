"""A PostgreSQL server that tests start and stop."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import psycopg


def binaries() -> Path | None:
    """Return the folder of the newest installed server's programs, None without any."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


class Cluster:
    """A private PostgreSQL cluster on a Unix socket, owned by a user who is not root.

    Args:
        binaries: folder of the server's programs.
        address: where it listens besides, for hosts of its /24; empty: nowhere.
        words: makes the command line that starts the server, such as one in a network namespace.
    """

    def __init__(
        self, binaries: Path, address: str = "", words: Callable[[list[str]], list[str]] = lambda command: command
    ) -> None:
        self._binaries, self._address, self._words = binaries, address, words
        self.folder = Path(tempfile.mkdtemp(prefix="rcl-pg-", dir="/tmp"))
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
        self._numbers = itertools.count(1)
        self._run("initdb", "-D", f"{self.folder}/data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
        if address:
            with (self.folder / "data" / "pg_hba.conf").open("a") as file:
                file.write(f"host all all {address}/24 trust\n")

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._binaries / program), *arguments]
        if os.geteuid() == 0:
            command = ["runuser", "-u", "postgres", "--", *command]
        command = self._words(command) if program == "pg_ctl" else command
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=60, cwd="/")

    def start(self) -> None:
        options = f"-c listen_addresses='{self._address}' -c unix_socket_directories='{self.folder}' -c fsync=off"
        log = f"{self.folder}/log"
        self._run("pg_ctl", "-D", f"{self.folder}/data", "-w", "-o", options, "-l", log, "start")

    def stop(self, mode: str = "fast") -> None:
        self._run("pg_ctl", "-D", f"{self.folder}/data", "-w", "-m", mode, "stop")

    def new_place(self) -> str:
        """Return the URL of a schema of its own; a database for each test would be thousands of files."""
        name = f"ledger_{next(self._numbers)}"
        with psycopg.connect(f"host={self.folder} user=postgres dbname=postgres", autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {name}".encode())
        return f"postgresql+psycopg://postgres@/postgres?host={self.folder}&options=-csearch_path%3D{name}"
