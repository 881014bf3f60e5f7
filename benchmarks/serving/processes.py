"""Processes of their own: servers (start, ready, CPU, memory, end), the load generator, and `wrk` as a second one."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import msgspec
from load import Job, Outcome, get, put

HERE = Path(__file__).parent
PATIENCE_S = 180.0


def free_port() -> int:
    """Return a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def family(pid: int) -> list[int]:
    """Return a process and its descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int(entry.joinpath("stat").read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, IndexError):
            continue
        children.setdefault(parent, []).append(int(entry.name))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found


def cpu_s(pid: int) -> float:
    """Return the CPU seconds that a process, its living descendants and those they waited for have used."""
    total = 0.0
    for one in family(pid):
        try:
            words = Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        total += sum(map(int, words[11:15])) / os.sysconf("SC_CLK_TCK")
    return total


def memory_mb(pid: int) -> float:
    """Return the memory that a process and its descendants hold: private, and their share of what is shared."""
    total = 0.0
    for one in family(pid):
        try:
            text = Path(f"/proc/{one}/smaps_rollup").read_text()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) / 1024.0
    return total


@contextmanager
def started(
    command: Sequence[str], port: int, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the block ends; it listens when the block begins."""
    with launched(command, environment) as process:
        wait_for(process, port)
        yield process


@contextmanager
def launched(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the block ends; what it says on its way is shown only if it fails to start."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command, env={**os.environ, **(environment or {})}, stdout=subprocess.DEVNULL, stderr=said
        )
        try:
            yield process
        except SystemExit:
            said.seek(0)
            sys.stderr.write(said.read().decode(errors="replace")[-3000:])
            raise
        finally:
            end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a server and whatever of its descendants is left."""
    left = family(process.pid)
    process.terminate()
    try:
        process.wait(15.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pid in left[1:]:
        if Path(f"/proc/{pid}").exists():
            os.kill(pid, 9)


def wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    """Return when the server accepts connections."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"the server ended with code {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), 1.0).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise SystemExit("the server did not get ready")


def wait_for_answer(process: subprocess.Popen[bytes], port: int, text: bytes) -> None:
    """Return when the server answers a request with 200: a port that is open is not yet a model that is loaded."""
    deadline, first = time.monotonic() + PATIENCE_S, b""
    while time.monotonic() < deadline:
        wait_for(process, port)
        try:
            with socket.create_connection(("127.0.0.1", port), 5.0) as connection:
                connection.sendall(text)
                first = connection.recv(4096)
        except OSError:
            continue
        if first[9:12] == b"200":
            return
        time.sleep(0.02)
    raise SystemExit(f"the server does not answer: {first!r}")


class Generator:
    """The load generator in a process of its own, kept for all jobs; use it in a `with` block."""

    def __enter__(self) -> Self:
        command = [sys.executable, str(HERE / "load.py")]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate()

    def do(self, job: Job) -> Outcome:
        """Let it do a job and return what it met."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        put(self._process.stdin, job)
        text = get(self._process.stdout)
        if not text:
            raise SystemExit("the load generator ended")
        return msgspec.msgpack.decode(text, type=Outcome)


@dataclass(frozen=True, slots=True)
class Wrk:
    """What `wrk` says of a closed loop.

    Attributes:
        bad: answers without 2xx.
        broken: connections and requests that failed.
        said: all of it.
    """

    per_s: float
    count: int
    bad: int
    broken: int
    said: str


def wrk(job: Job, more: str = "") -> Wrk | None:
    """Drive a server with `wrk` by the requests of a job and more Lua; None where it is not installed."""
    if shutil.which("wrk") is None:
        return None
    with tempfile.TemporaryDirectory() as place:
        script = Path(place) / "requests.lua"
        quoted = ",\n".join('"' + "".join(f"\\{byte:03d}" for byte in text) + '"' for text in job.requests)
        script.write_text(
            f"local requests = {{{quoted}}}\nlocal k = 0\n"
            "request = function()\n  k = k % #requests + 1\n  return requests[k]\nend\n" + more
        )
        words = ["-t1", f"-c{job.connections}", f"-d{max(round(job.seconds), 1)}s", "--timeout", "20s"]
        command = ["wrk", *words, "-s", str(script), f"http://127.0.0.1:{job.port}/"]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    per_s, count = re.search(r"Requests/sec:\s+([\d.]+)", said), re.search(r"(\d+) requests in", said)
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", said)
    assert per_s, said
    assert count, said
    broken = sum(map(int, errors.groups())) if errors else 0
    return Wrk(float(per_s[1]), int(count[1]), int(bad[1]) if bad else 0, broken, said)


def ours(port: int, *options: str) -> list[str]:
    """Return the command of one of our servers."""
    return [sys.executable, str(HERE / "server.py"), *options, "--port", str(port)]
