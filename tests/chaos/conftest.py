"""What the tests that kill processes share: `recloser up` on a real project, seen and asked from outside."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from recloser.app import Platform
from recloser.app.processes.supervisor import Child, commands, stop, watch
from recloser.cli import main
from recloser.registry.golden import read_golden
from recloser.simulation import GridPlan, SimulatedGrid
from recloser.testing import QUICK, empty_project, small_project

PROGRAM = [sys.executable, "-c", "from recloser.cli.main import run; run()"]
PATIENCE_S = 240.0
KINDS = (
    "gateway",
    "controller",
    "recloser.console",
    "recloser.serving.foreign",
    "run",
    "detector",
    "link",
    "collector",
)


def wait_until(found: Callable[[], Any], what: str) -> Any:
    """Return the first true answer; the limit only keeps a broken program from hanging the tests."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        answer = found()
        if answer:
            return answer
        time.sleep(0.05)
    raise AssertionError(f"waited in vain: {what}")


def is_alive(pid: int) -> bool:
    """Tell whether the process runs; one that ended but was not collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def children_of(pid: int) -> dict[int, str]:
    """Return the living children of a process with what they are."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            parent = int(process.joinpath("stat").read_text().rsplit(")", 1)[1].split()[1])
            words = process.joinpath("cmdline").read_bytes().decode().split("\0")
        except (OSError, IndexError):
            continue
        if parent == pid and is_alive(int(process.name)):
            found |= {int(process.name): kind for kind in KINDS if kind in words}
    return found


class Up:
    """A running `recloser up`."""

    def __init__(self, folder: Path, environment: dict[str, str], tls: ssl.SSLContext | None = None) -> None:
        self.folder, self._tls = folder, tls
        words = [*PROGRAM, "up", "--port", "0", "--json", "--project", str(folder)]
        self.seen: set[int] = set()
        addresses: dict[str, Any] = {}
        while "gateway" not in addresses:  # somebody else may have taken the port between its choice and its use
            self.process = subprocess.Popen(
                words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
            )
            addresses = self._said()
        self.gateway, self.console = addresses["gateway"], addresses["console"]

    def _said(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        text = ""
        while "}" not in text:
            line = self.process.stdout.readline()
            assert line, f"up ended with {self.process.wait()}"
            text += line
        said = dict(json.loads(text))
        if "gateway" not in said:
            assert "cannot listen" in text, text
            self.process.stdout.close()
            self.process.wait()
        return said

    def ask(self, path: str, body: Any = None, tls: ssl.SSLContext | None = None) -> tuple[int, str]:
        """Return status and body of an answer; status 0 while nobody answers."""
        url = path if "://" in path else self.gateway + path
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, {"content-type": "application/json"})  # noqa: S310 - our own
        try:
            with urllib.request.urlopen(request, timeout=30, context=tls or self._tls) as answer:  # noqa: S310
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except (urllib.error.URLError, OSError):
            return 0, ""

    def get(self, path: str) -> str | None:
        """Return the body of a page, None while there is none."""
        status, text = self.ask(path)
        return text if status == 200 else None

    def route(self) -> dict[str, Any]:
        """Return what the gateway says of its route."""
        return dict(json.loads(wait_until(lambda: self.get("/v1/route"), "the route")))

    def pids(self, kind: str) -> list[int]:
        """Return the processes of a kind, sorted: children, and children of those."""
        first = children_of(self.process.pid)
        second: dict[int, str] = {}
        for pid in first:
            second |= children_of(pid)
        self.seen |= {*first, *second}
        return sorted(pid for pid, name in {**first, **second}.items() if name == kind)

    def below(self, pid: int) -> set[int]:
        """Return the children of one of the processes."""
        found = set(children_of(pid))
        self.seen |= found
        return found

    def close(self) -> None:
        """End everything that is left."""
        self.pids("gateway")
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        for pid in self.seen:
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="session")
def until() -> Callable[[Callable[[], Any], str], Any]:
    return wait_until


@pytest.fixture(scope="session")
def alive() -> Callable[[int], bool]:
    return is_alive


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Compiled modules are kept for the children, or each would compile all libraries again."""
    kept = {key: text for key, text in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    return {"PYTHONPYCACHEPREFIX": str(tmp_path_factory.getbasetemp() / "pyc"), **kept}


@pytest.fixture
def up(environment: dict[str, str]) -> Iterator[Callable[..., Up]]:
    """Start `recloser up` on a project; all of it is ended afterwards."""
    running: list[Up] = []

    def start(folder: Path, tls: ssl.SSLContext | None = None) -> Up:
        running.append(Up(folder, environment, tls))
        return running[-1]

    yield start
    for one in running:
        one.close()


@pytest.fixture(scope="session")
def _served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    plan = GridPlan(
        seed=3,
        feeders=2,
        start=now.replace(hour=0) - timedelta(days=120),
        days=121,
        resolution=timedelta(hours=1),
        substations=0,
    )
    frame = SimulatedGrid(plan).frame().filter(pl.col("at") < now)
    settings = QUICK.replace("[registry]", "allow_code = true\n\n[registry]")
    folder = small_project(tmp_path_factory.mktemp("served") / "grid", frame=frame, settings=settings)
    assert main(["run", "--project", str(folder)]) == 0
    return folder


@pytest.fixture
def served(_served: Path, tmp_path: Path) -> Path:
    """A project of one's own whose history reaches to the present hour, with a model that serves."""
    return Path(shutil.copytree(_served, tmp_path / "grid"))


@pytest.fixture
def platform(served: Path) -> Iterator[Platform]:
    """That project, opened for a look at its ledger from outside."""
    with Platform.open(served) as opened:
        yield opened


@pytest.fixture
def request_body(platform: Platform) -> dict[str, Any]:
    """A request for inference that the champion can answer: one row of each area, as MLflow writes it."""
    champion = platform.champion()
    assert champion is not None
    rows = read_golden(champion.package).rows.drop_nulls(["scale_mw", *champion.features.names])
    rows = rows.unique("area", keep="first", maintain_order=True)
    rows = rows.select("area", pl.col("at").dt.strftime("%Y-%m-%dT%H:%M:%SZ"), "scale_mw", *champion.features.names)
    return {"dataframe_split": {"columns": rows.columns, "data": [list(row) for row in rows.iter_rows()]}}


LINKS = """
[links]
store_seconds = 0.5
first_wait_seconds = 0.1
longest_wait_seconds = 0.5
settle_seconds = 0
least_covered = 0.01

[[links.devices]]
name = "{name}"
protocol = "{protocol}"
points = "{name}.csv"
{keys}
"""


def link_project(folder: Path, name: str, protocol: str, keys: str, points: str) -> Path:
    """Return a project with one device: the keys of its table and the text of its registry."""
    empty_project(folder, ("F01",), QUICK + LINKS.format(name=name, protocol=protocol, keys=keys))
    text = (folder / "recloser.toml").read_text(encoding="utf-8")
    (folder / "recloser.toml").write_text(text.replace("[project]\n", "[project]\nresolution_minutes = 1\n", 1))
    (folder / f"{name}.csv").write_text(points, encoding="utf-8")
    return folder


class LinkProcesses:
    """The link of a device and the collector of its project under the supervisor's own rules."""

    def __init__(self, folder: Path, device: str) -> None:
        self.folder = folder
        found = commands(folder, "127.0.0.1", 0, None, [device])
        self.children = [Child(name, found[name]) for name in (f"link {device}", "collector")]

    def run(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for child in self.children:
                watch(child, lambda _line: None)
            time.sleep(0.05)

    def wait(self, found: Callable[[], Any], what: str) -> None:
        until = time.monotonic() + PATIENCE_S
        while not found():
            assert time.monotonic() < until, f"waited in vain: {what}"
            self.run(0.1)

    def kill(self, child: Child) -> None:
        if child.process is not None:
            os.kill(child.process.pid, signal.SIGKILL)
            child.process.wait()


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def link_kit() -> SimpleNamespace:
    """What makes a project with one device, and what runs its processes."""
    return SimpleNamespace(project=link_project, processes=LinkProcesses)


@pytest.fixture
def link_processes(tmp_path: Path) -> Callable[..., AbstractContextManager[LinkProcesses]]:
    """What gives the processes of a project with one device, ended when they are left."""

    @contextmanager
    def make(name: str, protocol: str, keys: str, points: str) -> Iterator[LinkProcesses]:
        processes = LinkProcesses(link_project(tmp_path / "grid", name, protocol, keys, points), name)
        try:
            yield processes
        finally:
            stop(processes.children)

    return make
