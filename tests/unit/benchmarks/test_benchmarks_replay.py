"""Unknown history of one's own is replayed by the benchmark's one command, and again from where it was stopped."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from recloser.testing import QUICK, load_file, small_grid

RUN = Path(__file__).resolve().parents[3] / "benchmarks" / "replay" / "run.py"
COLUMNS = "--area area --time at --load load_mw --temperature temperature_c"
PLACE = "--area F02 --time-zone Europe/Amsterdam --country NL"


def test_a_file_of_ones_own_by_one_command(tmp_path: Path) -> None:
    file = load_file(tmp_path / "hidden.csv", small_grid(150).frame())
    settings = tmp_path / "more.toml"
    settings.write_text(QUICK, encoding="utf-8")
    words = [sys.executable, str(RUN), "--file", str(file), "--init", PLACE, "--ingest", COLUMNS]
    words += ["--settings", str(settings), "--out", str(tmp_path / "out"), "--from", "2020-05-12", "--to", "2020-05-16"]
    first = subprocess.run([*words, "--policy", "never"], check=False, capture_output=True, text=True)
    assert first.returncode == 0, first.stderr
    assert "$ recloser replay --from 2020-05-12" in first.stdout
    assert "| never | " in first.stdout
    assert re.search(r"\| weekly naive \| \d+\.\d\d \|", first.stdout), first.stdout
    again = subprocess.run([*words, "--policy", "never"], check=False, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert "goes on where an earlier replay" in again.stdout + again.stderr


def test_a_set_that_is_not_there_is_skipped(tmp_path: Path) -> None:
    words = [sys.executable, str(RUN), "--set", "eia", "--data", str(tmp_path), "--out", str(tmp_path / "out")]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    assert done.stdout.startswith("skipped: ")
