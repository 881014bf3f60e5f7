"""Hosts of one machine, each in a network namespace of its own on one switch; a cable can be pulled. Needs root."""

from __future__ import annotations

import ctypes
import http.client
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

IP = shutil.which("ip") or shutil.which("ip", path="/usr/sbin:/sbin")
NET = 0x40000000  # CLONE_NEWNET
PATIENCE_S = 120.0


def why_not() -> str:
    """Return why there can be no namespaces here, or an empty text."""
    if IP is None:
        return "the program 'ip' is not installed (Debian: apt-get install iproute2)"
    if os.geteuid() != 0:
        return "network namespaces need root"
    name = f"rcl-try-{os.getpid()}"
    if subprocess.run([IP, "netns", "add", name], capture_output=True, check=False).returncode:
        return "network namespaces cannot be made here"
    try:
        words = [IP, "-n", name, "link", "add", "a", "type", "veth", "peer", "name", "b"]
        done = subprocess.run(words, capture_output=True, check=False)
        return "" if done.returncode == 0 else "virtual cables cannot be made here"
    finally:
        subprocess.run([IP, "netns", "delete", name], capture_output=True, check=False)


class Network:
    """A switch in a namespace of its own, whose address is `hub`, and hosts that are plugged into it."""

    def __init__(self) -> None:
        self._mark = f"rcl{os.getpid() % 100000}"
        self._hosts: dict[str, str] = {}
        self.hub = "10.77.0.1"
        self.switch = f"{self._mark}-hub"
        self._ip("netns", "add", self.switch)
        self._ip("-n", self.switch, "link", "set", "lo", "up")
        self._ip("-n", self.switch, "link", "add", "switch", "type", "bridge")
        self._ip("-n", self.switch, "address", "add", f"{self.hub}/24", "dev", "switch")
        self._ip("-n", self.switch, "link", "set", "switch", "up")

    def _ip(self, *words: str) -> None:
        done = subprocess.run([str(IP), *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"

    def add(self, name: str) -> str:
        """Add a host and return the name of its namespace."""
        space = f"{self._mark}-{name}"
        number = len(self._hosts) + 2
        self._ip("netns", "add", space)
        self._hosts[name] = space
        self._ip("-n", space, "link", "set", "lo", "up")
        self._ip("-n", space, "link", "add", "eth", "type", "veth", "peer", "name", f"to-{name}", "netns", self.switch)
        self._ip("-n", space, "address", "add", f"10.77.0.{number}/24", "dev", "eth")
        self._ip("-n", space, "link", "set", "eth", "up")
        self._ip("-n", self.switch, "link", "set", f"to-{name}", "up")
        self.plug(name)
        return space

    def pull(self, name: str) -> None:
        """Let every packet from and to a host vanish without a word; its own link stays up, as with a dead switch."""
        self._ip("-n", self.switch, "link", "set", f"to-{name}", "nomaster")

    def plug(self, name: str) -> None:
        """Connect a host again."""
        self._ip("-n", self.switch, "link", "set", f"to-{name}", "master", "switch")

    def words(self, name: str, command: list[str]) -> list[str]:
        """Return the command line that runs a command on a host; the process has the same pid and parent."""
        return [str(IP), "netns", "exec", self._hosts.get(name, self.switch), *command]

    def start(self, name: str, command: list[str], environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
        """Start a process on a host."""
        with log.open("ab") as file:
            return subprocess.Popen(
                self.words(name, command), env={**environment, "RECLOSER_HOST": name}, stdout=file, stderr=file
            )

    def ask(self, name: str, port: int, path: str, body: Any = None) -> tuple[int, str]:
        """Ask a server on a host from that host itself; status 0 while nobody answers."""
        try:
            with entered(self._hosts[name]):
                link = socket.create_connection(("127.0.0.1", port), timeout=30)
        except OSError:
            return 0, ""
        talk = http.client.HTTPConnection("127.0.0.1", port)
        talk.sock = link
        try:
            data = None if body is None else json.dumps(body)
            talk.request("GET" if body is None else "POST", path, data, {"content-type": "application/json"})
            answer = talk.getresponse()
            return answer.status, answer.read().decode()
        except (OSError, http.client.HTTPException):
            return 0, ""
        finally:
            talk.close()

    def close(self) -> None:
        """Take everything away."""
        for space in [*self._hosts.values(), self.switch]:
            subprocess.run([str(IP), "netns", "delete", space], capture_output=True, check=False)


@contextmanager
def entered(space: str) -> Iterator[None]:
    """Let this thread be in a namespace; sockets that it opens stay there."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/thread-self/ns/net").open("rb") as own, Path(f"/var/run/netns/{space}").open("rb") as other:
        if libc.setns(other.fileno(), NET):
            raise OSError(ctypes.get_errno(), "cannot enter the namespace", space)
        try:
            yield
        finally:
            libc.setns(own.fileno(), NET)
