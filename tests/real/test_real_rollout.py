"""The bounded rollout benchmark on the real data sets: it trains, draws and prints every table."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"


@pytest.mark.skipif(not DATA.exists(), reason="the real data sets are not beside the project")
def test_the_quick_benchmark_compares_every_rule(tmp_path: Path) -> None:
    script = ROOT / "benchmarks" / "rollout" / "run.py"
    paths = os.pathsep.join([str(ROOT / "src"), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, str(script), "--quick", "--answers", str(tmp_path / "answers.npz")],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    tables = done.stdout.split("## ")[1:]
    assert [table.splitlines()[0] for table in tables] == [
        "One area, candidate retrained (1 pairs)",
        "One area, candidate alike (1 pairs)",
        "One area, candidate unlike (1 pairs)",
        "Gross faults, caught by the label-free guard on the first forecast",
    ]
    for table in tables[:3]:
        first = table.split("| rule", maxsplit=2)[1]
        rows = {line.split(" | ")[0].strip("| "): line.split(" | ")[1] for line in first.splitlines() if " | " in line}
        assert float(rows["static threshold, MAE of a day > 1.2 x historical"].rstrip(" %")) >= 90.0
        assert float(rows["ours: strict betting ends it"].rstrip(" %")) <= 15.0
    assert "| x 1000 | 100.0 % |" in tables[3]
