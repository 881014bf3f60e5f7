"""Hosts of one machine, each in a network namespace of its own on one switch; a cable can be pulled. Needs root.

The switch is a process that hands frames from one tap device to another: it needs no kernel module but tun, and what it
does not hand on is gone without a word, as with a dead cable far away.
"""

from __future__ import annotations

import ctypes
import fcntl
import http.client
import json
import os
import selectors
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

IP = shutil.which("ip") or shutil.which("ip", path="/usr/sbin:/sbin")
NET = 0x40000000  # CLONE_NEWNET
TUNSETIFF, TAP_WITHOUT_HEADER = 0x400454CA, 0x1002
FRAME = 65536
HUB = "hub"


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
        os.close(plugged(name))
    except OSError as error:
        return f"tap devices cannot be made here: {error}"
    finally:
        subprocess.run([IP, "netns", "delete", name], capture_output=True, check=False)
    return ""


def plugged(space: str) -> int:
    """Return the other end of a new network card `eth` in a namespace."""
    with entered(space):
        handle = os.open("/dev/net/tun", os.O_RDWR)
        try:
            fcntl.ioctl(handle, TUNSETIFF, struct.pack("16sH22x", b"eth", TAP_WITHOUT_HEADER))
        except OSError:
            os.close(handle)
            raise
    return handle


class Network:
    """A switch, a host `hub` with the address `hub`, and further hosts."""

    def __init__(self, names: Sequence[str]) -> None:
        self._mark = f"rcl{os.getpid() % 100000}"
        self.hub = "10.77.0.1"
        self._hosts: dict[str, str] = {}
        cables: dict[str, int] = {}
        for number, name in enumerate((HUB, *names), start=1):
            space = self._hosts[name] = f"{self._mark}-{name}"
            self._ip("netns", "add", space)
            cables[name] = plugged(space)
            self._ip("-n", space, "link", "set", "lo", "up")
            self._ip("-n", space, "address", "add", f"10.77.0.{number}/24", "dev", "eth")
            self._ip("-n", space, "link", "set", "eth", "up")
        words = [sys.executable, __file__, *(f"{name}={cable}" for name, cable in cables.items())]
        self._switch = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=cables.values())
        for cable in cables.values():
            os.close(cable)

    def _ip(self, *words: str) -> None:
        done = subprocess.run([str(IP), *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"

    def _tell(self, word: str, name: str) -> None:
        assert self._switch.stdin is not None
        assert self._switch.stdout is not None
        self._switch.stdin.write(f"{word} {name}\n".encode())
        self._switch.stdin.flush()
        assert self._switch.stdout.readline() == b"done\n"

    def pull(self, name: str) -> None:
        """Let every packet from and to a host vanish without a word; its own network card stays up."""
        self._tell("pull", name)

    def plug(self, name: str) -> None:
        """Connect a host again."""
        self._tell("plug", name)

    def words(self, name: str, command: list[str]) -> list[str]:
        """Return the command line that runs a command on a host; the process has the same pid and parent."""
        return [str(IP), "netns", "exec", self._hosts[name], *command]

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
        self._switch.kill()
        self._switch.wait()
        for stream in (self._switch.stdin, self._switch.stdout):
            if stream is not None:
                stream.close()
        for space in self._hosts.values():
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


def switch(cables: dict[str, int]) -> None:
    """Hand frames on by the addresses that were seen behind each cable, until the one who started it is gone."""
    names = {cable: name for name, cable in cables.items()}
    pulled: set[str] = set()
    behind: dict[bytes, int] = {}
    watch = selectors.DefaultSelector()
    for cable in names:
        watch.register(cable, selectors.EVENT_READ)
    watch.register(sys.stdin, selectors.EVENT_READ)
    while True:
        for key, _ in watch.select():
            if key.fd == sys.stdin.fileno():
                word, _, name = sys.stdin.readline().strip().partition(" ")
                if not word:
                    return
                (pulled.add if word == "pull" else pulled.discard)(name)
                sys.stdout.write("done\n")
                sys.stdout.flush()
                continue
            frame = os.read(key.fd, FRAME)
            if names[key.fd] in pulled:
                continue
            behind[frame[6:12]] = key.fd
            known = behind.get(frame[:6])
            for cable in [known] if known is not None else names:
                if cable != key.fd and names[cable] not in pulled:
                    os.write(cable, frame)


if __name__ == "__main__":
    switch({name: int(cable) for name, _, cable in (word.partition("=") for word in sys.argv[1:])})
