"""The page about events, command by command in real processes; detector, link and collector killed in an event.

From frames on a socket to readings in the store and an event in the ledger: what a kill leaves open is closed, the
event that still goes on is found again, no reading is doubled, and the hole is a recorded gap.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recloser.app import Platform
from recloser.app.project.layout import Layout
from recloser.ledger import SignalRecord
from recloser.store import ReadingTable

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

PAGE = (Path(__file__).parents[2] / "docs" / "events.md").read_text(encoding="utf-8")
TRAIN, SIMULATE, UP, PEOPLE = re.findall(r"^```bash\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)
PROGRAM = [sys.executable, "-c", "from recloser.cli.main import run; run()"]
PAGE_PORT, STALE, ENOUGH = "4712", 65_536, 200
SMALL = """
[registry]
kind = "folder"

[gateway.sla]           # a machine that is busy with other tests keeps no promise of speed
requests_per_second = 2.0
p50_ms = 60000.0
p99_ms = 60000.0
p999_ms = 60000.0
start_seconds = 600.0
"""


class Walk:
    """Somebody who types what the page says, in a folder of his own."""

    def __init__(self, folder: Path, port: int, environment: dict[str, str]) -> None:
        self.folder, self.port, self.environment = folder, port, environment
        self.names: dict[str, str] = {}

    @property
    def project(self) -> Path:
        return self.folder / "pmu"

    def words(self, line: str) -> list[str]:
        """Return the words of a line, the names that the page leaves open filled in."""
        first, *words = shlex.split(line)
        assert first == "recloser"
        return [self.names.get(word, word) for word in words]

    def type(self, line: str) -> Any:
        """Run a line with --json and return what it says."""
        words = [*PROGRAM, *self.words(line), "--json"]
        done = subprocess.run(
            words, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False, timeout=3600
        )
        assert done.returncode == 0, f"{line}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        return json.loads(done.stdout)

    def events(self) -> list[SignalRecord]:
        with Platform.open(self.project) as platform:
            return platform.ledger.find(SignalRecord, signal_class="grid_event", order_by="at")

    def readings(self, kind: str) -> pl.DataFrame:
        return ReadingTable(Layout(self.project).links).read("pdc", kind=kind)


@pytest.fixture
def walk(tmp_path: Path, free_port: int, environment: dict[str, str]) -> Walk:
    found = Walk(tmp_path, free_port, environment)
    found.names[PAGE_PORT] = str(free_port)
    return found


@pytest.fixture
def stream(walk: Walk) -> Iterator[Callable[[], None]]:
    """Start the simulated PDC of the page; it is ended afterwards."""
    running: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        words = [*PROGRAM, *walk.words(SIMULATE)]
        quiet = subprocess.DEVNULL
        running.append(subprocess.Popen(words, cwd=walk.folder, env=walk.environment, stdout=quiet, stderr=quiet))

    yield start
    for process in running:
        process.kill()
        process.wait()


def train(walk: Walk) -> None:
    """Do the first block, with less to learn from than the page's project has."""
    made, ran, explained, told = TRAIN.strip().splitlines()
    walk.type(made)
    path = walk.project / "recloser.toml"
    text = path.read_text(encoding="utf-8")
    for old, new in {
        "train_scenes = 40": "train_scenes = 12\ntest_scenes = 15\nleast_covered = 0.0005",
        f"port = {PAGE_PORT}": f"port = {walk.port}",
    }.items():
        assert text.count(old) == 1
        text = text.replace(old, new)
    path.write_text(text + SMALL, encoding="utf-8")
    document = walk.type(ran)
    assert document["verdict"] == "pass"
    walk.names["RELEASE"] = document["candidate"]
    assert "windows" in {check["name"] for check in walk.type(explained)["checks"]}
    assert walk.type(told)["route"]["champion"] == document["candidate"]


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def going_on(walk: Walk) -> list[SignalRecord]:
    return [event for event in walk.events() if event.areas == ["islanding"] and event.closed_at is None]


def people_say(walk: Walk, event: SignalRecord) -> None:
    """Do the last block; the time of the event that was missed is a past one wherever the test runs."""
    listed, true, false, missed = PEOPLE.strip().splitlines()
    assert event.key in {row["event"] for row in walk.type(listed)["events"]}
    walk.names["EVENT"] = event.key
    assert walk.type(true)["label"] == "islanding"
    assert walk.type(false)["label"] == "none"
    start = datetime.now(UTC) - timedelta(hours=2)
    named = dict(zip(re.findall(r"20\d\d-\S+Z", missed), (start, start + timedelta(seconds=20)), strict=True))
    walk.names |= {word: f"{at:%Y-%m-%dT%H:%M:%SZ}" for word, at in named.items()}
    assert walk.type(missed)["missed"]


def test_the_page_works_and_kills_in_an_event_lose_nothing_silently(
    walk: Walk, stream: Callable[[], None], up: Callable[..., Any], until: Callable[[Callable[[], Any], str], Any]
) -> None:
    train(walk)
    stream()
    until(lambda: listens(walk.port), "the simulated PDC")
    assert shlex.split(UP) == ["recloser", "up", "--project", "pmu"]
    running = up(walk.project)
    until(lambda: going_on(walk), "an event")
    until(lambda: walk.readings("reading").height > ENOUGH, "readings in the store")
    (before,) = going_on(walk)
    for kind in ("detector", "link", "collector"):
        (old,) = running.pids(kind)
        os.kill(old, signal.SIGKILL)
        until(lambda kind=kind, old=old: set(running.pids(kind)) - {old}, f"another {kind}")
    (again,) = until(lambda: [one for one in going_on(walk) if one.key != before.key], "the event, found again")
    closed = next(one for one in walk.events() if one.key == before.key)
    assert closed.evidence["ended_by"] == "the detector began anew"
    assert (again.evidence["release"], again.areas) == (walk.names["RELEASE"], ["islanding"])
    until(lambda: walk.readings("gap").height, "the gap")
    seen = walk.readings("reading").height
    until(lambda: walk.readings("reading").height > seen + ENOUGH, "readings after the kills")
    rows = walk.readings("reading").filter(pl.col("quality") & STALE == 0)
    assert rows.select("point", "at_ns").is_duplicated().sum() == 0, "a reading is doubled"
    no_hole_without_gap(rows, walk.readings("gap"))
    people_say(walk, again)
    with Platform.open(walk.project) as platform:
        assert platform.ledger.verify().ok


def no_hole_without_gap(rows: pl.DataFrame, gaps: pl.DataFrame) -> None:
    """Frames come thirty a second; where ten in a row are missing a gap must be told."""
    times = rows.filter(pl.col("point") == rows["point"][0])["at_ns"].sort().to_list()
    told = gaps.select("at_ns", "end_ns").rows()
    for earlier, later in pairwise(times):
        if later - earlier > 10 * 1_000_000_000 / 30:
            assert any(start <= later and earlier <= end for start, end in told), (earlier, later, told)
