"""A real Chromium and the console's real process over a project that has lived; skipped where there is no Chromium."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.error import URLError

import pytest

from recloser.core import format_utc
from recloser.testing.lives import lived_project

sys.path.insert(0, str(Path(__file__).parent))  # tests are not a package
from chromium import PATIENCE_S, Browser, Page, chromium, find_chromium

Opened = Callable[..., AbstractContextManager["Console"]]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests; every page has cookies of its own."""
    program = find_chromium()
    if program is None:
        pytest.skip("no Chromium is installed (Debian: apt-get install chromium)")
    with chromium(program) as found:
        yield found


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A tab of 1366 x 768; whatever it loads comes from the console, and nothing breaks its content policy."""
    with browser.page() as found:
        yield found
        strangers = [url for url in found.requests if not url.startswith(("http://127.0.0.1:", "about:", "data:"))]
        assert strangers == []
        assert [text for text in found.problems if "Content Security Policy" in text] == []


@pytest.fixture(scope="session")
def _lived(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, datetime]:
    return lived_project(tmp_path_factory.mktemp("lived") / "grid")


@pytest.fixture
def lived(_lived: tuple[Path, datetime], tmp_path: Path) -> tuple[Path, datetime]:
    """A copy of one's own of a project with ten issues, and the instant it stands at."""
    return Path(shutil.copytree(_lived[0], tmp_path / "grid")), _lived[1]


@pytest.fixture(scope="session")
def _rivals(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, datetime]:
    return lived_project(tmp_path_factory.mktemp("rivals") / "grid", rival_after=4)


@pytest.fixture
def rivals(_rivals: tuple[Path, datetime], tmp_path: Path) -> tuple[Path, datetime]:
    """The same with a second release that is a canary for one of two areas."""
    return Path(shutil.copytree(_rivals[0], tmp_path / "rivals")), _rivals[1]


@dataclass
class Console:
    """A console process and where it listens."""

    url: str
    process: subprocess.Popen[bytes]

    def stop(self) -> None:
        """End the process as a crash would."""
        self.process.kill()
        self.process.wait()


@pytest.fixture
def console() -> Opened:
    """Return what runs a console process: `with console(folder, at) as found`."""
    return running


@contextmanager
def running(folder: Path, at: datetime | None, port: int = 0) -> Iterator[Console]:
    """Run the console's own process, as `recloser up` starts it, and wait until it answers."""
    port = port or _free_port()
    words = [str(folder), "127.0.0.1", str(port), str(os.getpid()), "-" if at is None else format_utc(at)]
    process = subprocess.Popen([sys.executable, "-m", "recloser.console", *words])
    found = Console(f"http://127.0.0.1:{port}", process)
    try:
        _answering(found)
        yield found
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answering(found: Console) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        assert found.process.poll() is None, "the console has ended"
        try:
            with urllib.request.urlopen(f"{found.url}/static/icon.svg", timeout=PATIENCE_S):  # noqa: S310
                return
        except (URLError, ConnectionError):
            time.sleep(0.05)
    raise TimeoutError("the console does not answer")
