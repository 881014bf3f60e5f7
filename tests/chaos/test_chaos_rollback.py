"""Every way of stopping a release, once, through a real gateway of two workers under load: nobody goes without answer.

How long each takes is measured by `benchmarks/rollback/run.py`, of which this is one round; no time is asserted here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.chaos, pytest.mark.slow]
ROOT = Path(__file__).parents[2]
WAYS = ("guard", "controller", "command", "post", "reject", "lease", "older", "ladder")


@pytest.fixture(scope="module")
def rounds(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> dict[str, dict[str, Any]]:
    found = tmp_path_factory.mktemp("rollback") / "found.json"
    script = ROOT / "benchmarks" / "rollback" / "run.py"
    words = ["--repetitions", "1", "--workers", "2", "--rate", "20", "--patient", "--json", str(found)]
    paths = os.pathsep.join([str(ROOT / "src"), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, str(script), *words],
        env={**environment, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=3600,
        check=False,
    )
    assert found.exists(), done.stdout[-2000:] + done.stderr[-2000:]
    return {one["way"]: one for one in json.loads(found.read_text(encoding="utf-8"))}


@pytest.mark.parametrize("way", WAYS)
def test_no_request_is_dropped(rounds: dict[str, dict[str, Any]], way: str) -> None:
    assert rounds[way]["sent"] > 0
    assert rounds[way]["dropped"] == 0


@pytest.mark.parametrize("way", [way for way in WAYS if way not in ("lease", "ladder")])
def test_the_former_champion_serves_alone_again_without_a_canary(rounds: dict[str, dict[str, Any]], way: str) -> None:
    (after,) = rounds[way]["after"]
    assert (after["champion"], after["canary"]) == (rounds[way]["good"], None)
    assert after["served_by"] == ["champion"]
    assert rounds[way]["alarms"] == [0]
    assert "alarm" not in after["notices"]


def test_at_the_end_of_the_lease_the_gateway_alone_returns_to_the_champion(rounds: dict[str, dict[str, Any]]) -> None:
    (after,) = rounds["lease"]["after"]
    assert after["served_by"] == ["champion"]


def test_a_retained_release_serves_again_without_a_canary_of_its_own(rounds: dict[str, dict[str, Any]]) -> None:
    (after,) = rounds["older"]["after"]
    begun = {"rollout.shadow", "rollout.canary", "rollout.promote", "rollout.staged", "run.start"}
    assert "rollout.rollback" in after["actions"]
    assert begun.isdisjoint(after["actions"])


def test_with_both_bad_the_ladder_serves_and_one_alarm_is_told(rounds: dict[str, dict[str, Any]]) -> None:
    (after,) = rounds["ladder"]["after"]
    assert (after["champion"], after["canary"]) == (None, None)
    assert [name.partition(":")[0] for name in after["served_by"]] == ["fallback"]
    assert rounds["ladder"]["alarms"] == [1]
    assert after["notices"].count("alarm") == 1
