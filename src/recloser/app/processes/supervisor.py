"""Owns the processes of `recloser up`: starts gateway, controller, links and the rest, and restarts what dies.

Does no work itself.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from recloser.app.foreign import ONE_THREAD
from recloser.app.logs.keeping import ProcessLog, beside, forget_logs
from recloser.app.logs.told import told
from recloser.app.platform import Platform
from recloser.app.processes.reports import forget_reports
from recloser.app.processes.server import LISTENING, WORKER, listen
from recloser.app.security.gatekeeping import scheme_of
from recloser.core import format_utc
from recloser.serving.grpc import require_grpc

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 30.0
HEALTHY_S = 20.0
GRACE_S = 8.0
STREAMING = {"collector", "detector"}


@dataclass
class Child:
    """One supervised process; `environment` is added to ours, `inherited` are descriptors it gets."""

    name: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    inherited: tuple[int, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    wait_s: float = FIRST_WAIT_S
    due: float = 0.0
    restarts: int = field(default=0)

    def start(self) -> None:
        """Start it in its own session, so that one Ctrl-C reaches only the supervisor."""
        environment = {**os.environ, **self.environment}
        self.process = subprocess.Popen(  # noqa: S603 - our own program
            self.command, start_new_session=True, env=environment, pass_fds=self.inherited
        )
        self.started = time.monotonic()


def run_up(
    folder: Path,
    *,
    host: str | None,
    port: int | None,
    say: Callable[[str], None],
    at: datetime | None = None,
    ready: Callable[[dict[str, str]], None] = lambda _addresses: None,
) -> int:
    """Run gateway, controller, console and links until told to stop; what dies is restarted after a growing wait.

    Args:
        folder: project.
        host: where the gateway listens, None for the project file's.
        port: the same; the console listens one port above.
        say: told of starts and restarts.
        at: the clock stands at this instant and no controller runs: a finished replay is shown.
        ready: told {"gateway": url, "console": url} before the processes start.

    Raises:
        InvalidInput: no project.
        Unavailable: a port is taken, or gRPC is wanted and not installed.
    """
    with Platform.open(folder) as platform:
        gateway = platform.project.gateway
        devices = [device.name for device in platform.project.links.devices]
        detects = platform.project.events is not None and platform.project.events.device is not None
        layout = platform.layout
    where, first = host or gateway.host, gateway.port if port is None else port
    shared = listen(where, first)
    first = shared.getsockname()[1]
    forget_reports(layout.state, first)
    listen(where, first + 1).close()
    if gateway.grpc_port:
        require_grpc()
        listen(where, gateway.grpc_port).close()
    words = commands(folder, where, first, at, devices)
    if detects and at is None:
        words["detector"] = [*words["controller"][:3], "detector", *words["controller"][4:]]
    children = family(words, gateway.workers, shared)
    address = f"{scheme_of(gateway.tls)}://{where}:{first}"
    pages = f"{scheme_of(gateway.tls)}://{where}:{first + 1}"
    ready({"gateway": address, "console": pages})
    log = ProcessLog(layout.logs if at is None else None, "supervisor", os.getpid())
    forget_logs(layout.logs, time.time())
    say = beside(say, log)
    say(told(f"gateway {address}  console {pages}  (stop with Ctrl-C)"))
    try:
        return supervise(children, say)
    finally:
        shared.close()


def supervise(children: list[Child], say: Callable[[str], None]) -> int:
    """Keep processes running until this one is told to stop (SIGTERM, SIGINT); return the exit code."""
    ended = threading.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, lambda *_: ended.set())
    try:
        while not ended.is_set():
            for child in children:
                watch(child, say)
            ended.wait(0.25)
    finally:
        stop(children)
    say(told("stopped"))
    return 0


def family(commands: dict[str, list[str]], workers: int, shared: socket.socket) -> list[Child]:
    """Return the processes to run; several gateways share one socket, so that one that restarts is not missed.

    A single gateway listens for itself (`shared` is closed): while it is away, callers are told at once. Gateways and
    what follows streams calculate in one thread: for small arrays more of them only wait for each other.
    """
    if workers == 1:
        shared.close()
    children = []
    for name, command in commands.items():
        if name != "gateway":
            steady = name in STREAMING or name.startswith("link ")
            children.append(Child(name, command, dict.fromkeys(ONE_THREAD, "1") if steady else {}))
            continue
        for number in range(1, workers + 1):
            environment = dict.fromkeys(ONE_THREAD, "1") | {WORKER: str(number)}
            if workers == 1:
                children.append(Child(name, command, environment))
            else:
                environment[LISTENING] = str(shared.fileno())
                children.append(Child(f"{name} {number}", command, environment, (shared.fileno(),)))
    return children


def commands(
    folder: Path, host: str, port: int, at: datetime | None, devices: Sequence[str] = ()
) -> dict[str, list[str]]:
    """Return the command line of each process.

    The last words are the supervisor's pid, the fixed clock or '-', and of a link its device. Without devices no
    process fills the store with what they say.
    """
    tail = [str(os.getpid()), "-" if at is None else format_utc(at)]
    process = [sys.executable, "-m", "recloser.app"]
    found = {
        "gateway": [*process, "gateway", str(folder), host, str(port), *tail],
        "controller": [*process, "controller", str(folder), host, str(port), *tail],
        "watchman": [*process, "watchman", str(folder), host, str(port), *tail],
        "console": pages_command(folder, host, port + 1, at),
    }
    if at is not None:
        del found["controller"], found["watchman"]
        return found
    for device in devices:
        found[f"link {device}"] = [*process, "link", str(folder), host, str(port), *tail, device]
    if devices:
        found["collector"] = [*process, "collector", str(folder), host, str(port), *tail]
    return found


def pages_command(folder: Path, host: str, port: int, at: datetime | None) -> list[str]:
    """Return the command line of the console's process."""
    tail = [str(os.getpid()), "-" if at is None else format_utc(at)]
    return [sys.executable, "-m", "recloser.console", str(folder), host, str(port), *tail]


def watch(child: Child, say: Callable[[str], None]) -> None:
    """Start the child if it is not running and its wait is over."""
    now = time.monotonic()
    if child.process is None:
        if now >= child.due:
            child.start()
        return
    code = child.process.poll()
    if code is None:
        return
    if now - child.started > HEALTHY_S:
        child.wait_s = FIRST_WAIT_S
    child.restarts += 1
    say(told(f"{child.name} ended with code {code}; restarting in {child.wait_s:.1f} s", "error"))
    child.process, child.due = None, now + child.wait_s
    child.wait_s = min(child.wait_s * 2.0, LONGEST_WAIT_S)


def stop(children: list[Child]) -> None:
    """End all children: asked first, killed after a grace time."""
    alive = [child.process for child in children if child.process is not None and child.process.poll() is None]
    for process in alive:
        process.terminate()
    deadline = time.monotonic() + GRACE_S
    for process in alive:
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
