"""`recloser replay` killed at any moment and started again goes on, to the same report as if nothing had happened."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from replay_process import Replay

from recloser.testing import small_project

pytestmark = pytest.mark.chaos

WINDOW = ["--from", "2020-04-05", "--to", "2020-04-25", "--policy", "recloser", "--policy", "never"]
KILLS = 6
CANDIDATE = """
[[candidate]]
at = 2020-04-09T06:00:00Z
reason = "as asked for"
"""


@pytest.fixture(scope="module")
def replay(environment: dict[str, str]) -> Replay:
    return Replay(WINDOW, environment)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = small_project(tmp_path_factory.mktemp("chaos") / "grid")
    (folder / "scenario.toml").write_text(CANDIDATE, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def calm(project: Path, tmp_path_factory: pytest.TempPathFactory, replay: Replay) -> dict[str, Any]:
    return replay.finished(project, tmp_path_factory.mktemp("calm"))


def history_written(out: Path) -> bool:
    return (out / "work" / "recorded.parquet").exists()


def forecasts(out: Path, least: int) -> bool:
    """Tell whether the ledger of a policy holds so many forecasts."""
    return counted(out) >= least


def counted(out: Path) -> int:
    """Return how many forecasts the ledger of a policy holds, by looking at it from outside."""
    database = out / "work" / "recloser" / "state" / "ledger.db"
    if not database.exists():
        return 0
    view = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        tables = [row[0] for row in view.execute("select name from sqlite_master where type = 'table'")]
        table = next((name for name in tables if name.startswith("forecast")), None)
        return 0 if table is None else int(view.execute(f"select count(*) from {table}").fetchone()[0])  # noqa: S608
    except sqlite3.OperationalError:
        return 0  # being made
    finally:
        view.close()


MOMENTS: dict[str, Callable[[Path], bool]] = {
    "history written": history_written,
    "first forecasts": lambda out: forecasts(out, 2),
    "half way": lambda out: forecasts(out, 14),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_and_started_again(
    moment: str, project: Path, calm: dict[str, Any], tmp_path: Path, replay: Replay
) -> None:
    command = replay.words(project, tmp_path / "out")
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=replay.environment)
    try:
        while not MOMENTS[moment](tmp_path / "out"):
            assert process.poll() is None, "the replay ended before the moment came"
            time.sleep(0.005)
    finally:
        process.kill()
        process.wait()
    assert not (tmp_path / "out" / "report.json").exists()
    assert replay.finished(project, tmp_path / "out") == calm
    assert calm["policies"]["recloser"]["total"]["n"] > 600
    assert len(calm["policies"]["recloser"]["runs"]) == 2


def test_killed_again_and_again(project: Path, calm: dict[str, Any], tmp_path: Path, replay: Replay) -> None:
    """Each life adds a few forecasts and is killed; the next begins where it ended."""
    out, killed = tmp_path / "out", 0

    def went_on() -> bool:
        """What a child of the life before still wrote is not this one's."""
        return killed == 0 or "[recloser] goes on where an earlier replay" in log.read_text(encoding="utf-8")

    while killed < KILLS:
        least = counted(out) + 5  # an odd number of two areas' forecasts, so that some kills come within a day
        log = tmp_path / f"life {killed}"
        with log.open("w", encoding="utf-8") as told:
            process = subprocess.Popen(
                replay.words(project, out), stdout=subprocess.DEVNULL, stderr=told, env=replay.environment
            )
            try:
                while process.poll() is None and not (went_on() and forecasts(out, least)):
                    time.sleep(0.003)
            finally:
                process.kill()
                process.wait()
        assert went_on()
        killed += 1
    assert replay.finished(project, out) == calm
    report, costs = (json.loads((out / name).read_text(encoding="utf-8")) for name in ("report.json", "costs.json"))
    assert report["cpu_s"] >= costs["policies"]["recloser"]["cpu_s"] > 0.0, "all lives' CPU time"


def test_the_project_itself_was_only_read(project: Path, calm: dict[str, Any]) -> None:
    from recloser.app import Platform

    assert calm["policies"]
    with Platform.open(project) as platform:
        assert [entry.action for entry in platform.ledger.entries()] == ["store.ingest"]
        assert platform.champion() is None
