"""`recloser run` killed in the middle of training and started again; every crash point is in `test_chaos_crash.py`."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from recloser.testing import small_project

pytestmark = pytest.mark.chaos

PROGRAM = [sys.executable, "-c", "from recloser.cli.main import run; run()"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_project(tmp_path_factory.mktemp("chaos") / "grid")


def test_sigkill_of_the_program_in_the_middle_of_training(
    project: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    """The same with the real program and a real SIGKILL, sent when the ledger says that the model is being trained."""
    import shutil

    folder = Path(shutil.copytree(project, tmp_path / "grid"))
    command = [*PROGRAM, "run", "--project", str(folder), "--json"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    try:
        wait_for_step(folder, "train", process)
    finally:
        process.kill()
        process.wait()
    first = subprocess.run(command, check=False, capture_output=True, text=True, timeout=600, env=environment)
    assert first.returncode == 0, first.stderr
    again = subprocess.run(command, check=False, capture_output=True, text=True, timeout=600, env=environment)
    assert json.loads(first.stdout) == json.loads(again.stdout)
    assert json.loads(first.stdout)["verdict"] == "pass"


def wait_for_step(folder: Path, name: str, process: subprocess.Popen[bytes]) -> None:
    """Return as soon as the ledger holds the step, by looking at the database from outside."""
    database = folder / "state" / "ledger.db"
    while process.poll() is None:
        if database.exists():
            with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as view:
                tables = [row[0] for row in view.execute("select name from sqlite_master where type = 'table'")]
                steps = next((table for table in tables if "step" in table), None)
                found = [] if steps is None else view.execute(f"select name from {steps}").fetchall()  # noqa: S608
            view.close()
            if (name,) in found:
                return
        time.sleep(0.002)
    raise AssertionError(f"the run ended before the step {name} began")
