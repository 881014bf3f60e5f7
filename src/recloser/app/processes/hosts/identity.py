"""Owns the name of a gateway process among those of all hosts. Knows no route."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

HOST = "RECLOSER_HOST"
"""Environment variable with the name of this host where its own is not unique."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Which gateway process this is.

    Attributes:
        host: name of the host, one per machine or container.
        port: that it serves; several `up` of one host differ in it.
        worker: its name among those that share the port.
        pid: of the process, on its host.
        started: when the process began, in ticks of its host's clock since boot; tells it from a later one of the same
            pid. 0 where the system does not say.
    """

    host: str
    port: int
    worker: str
    pid: int
    started: int

    @classmethod
    def here(cls, worker: str = "1", port: int = 0) -> Identity:
        """Return the identity of this process."""
        return cls(host_name(), port, worker, os.getpid(), started_at(os.getpid()))

    @property
    def seat(self) -> str:
        """Return what a process that is started anew in its place has too: host, port and worker."""
        return f"{self.host}_{self.port}_{self.worker}"

    def __str__(self) -> str:
        """Return worker and host, for people."""
        return f"{self.worker} on {self.host}"


def host_name(environ: Mapping[str, str] = os.environ) -> str:
    """Return the name of this host, of letters, digits, dots and dashes."""
    return re.sub(r"[^A-Za-z0-9.-]", "-", environ.get(HOST) or socket.gethostname()) or "host"


def started_at(pid: int) -> int:
    """Return when a process of this host began, in ticks since boot; 0 if there is none, or the system does not say."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        return int(text.rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0


def alive(pid: int, started: int = 0) -> bool:
    """Tell whether a process of this host runs, and is the one that began then (0: whichever has the pid)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return not started or started_at(pid) in {0, started}
