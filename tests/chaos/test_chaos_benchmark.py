"""The bounded serving benchmark: every server of ours and the echo, started, loaded in both ways and ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.chaos
ROOT = Path(__file__).parents[2]
OURS = ["ours: guard", "ours: guard, split", "ours: guard, split, log", "ours: guard, split, log, shadow"]


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("benchmark")
    script = ROOT / "benchmarks" / "serving" / "run.py"
    paths = os.pathsep.join([str(ROOT / "src"), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, str(script), "--quick", "--folder", str(folder), "--json", str(folder / "found.json")],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout, json.loads((folder / "found.json").read_text())


def of_kind(found: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [record for record in found["records"] if record["kind"] == kind]


def test_every_server_answered_every_request_of_the_closed_loops(said: tuple[str, dict[str, Any]]) -> None:
    records = of_kind(said[1], "closed json")
    assert list(dict.fromkeys(record["server"] for record in records)) == ["echo", *OURS]
    assert len(records) == 5 * 4
    assert all(record["requests"] > 0 and record["cpu_us"] >= 0 for record in records)
    assert {record["server"] for record in of_kind(said[1], "closed binary")} == {OURS[2]}


@pytest.mark.parametrize("kind", ["open even", "open random", "overload"])
def test_every_request_of_the_open_loops_is_accounted_for(said: tuple[str, dict[str, Any]], kind: str) -> None:
    records = [record for record in of_kind(said[1], kind) if record["server"] in OURS]
    assert {record["server"] for record in records} == set(OURS)
    for record in records:
        assert set(record["statuses"]) <= {"200", "503"}
        assert (record["broken"], record["unanswered"]) == (0, 0)
        assert sum(record["statuses"].values()) == record["sent"]
        assert record["accepted_share"] > 0


def test_each_target_is_judged_or_said_not_to_be_measured(said: tuple[str, dict[str, Any]]) -> None:
    text, found = said
    targets = {verdict["target"]: verdict["met"] for verdict in found["verdicts"]}
    assert targets["CPU per request / mlflow"] is None
    assert targets["CPU per request / echo"] in (True, False)
    assert targets["p99 / p50 in an open loop"] in (True, False)
    assert all(target in text for target in targets)
