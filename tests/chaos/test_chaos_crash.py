"""The controller killed with SIGKILL at every durable transition of a whole life; in `make test` at each kind of them.

`make chaos` (RECLOSER_FULL=1) kills a life of its own at every crash point of every transition. Otherwise one life is
killed at each kind of transition and place, where it comes first, and goes on from there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from recloser.app import Platform
from recloser.rollout import RolloutState
from recloser.testing.puppets import puppet_release, put_on_trial

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

FULL = bool(os.environ.get("RECLOSER_FULL"))
DRIVERS = Path(__file__).parent / "crash"
BRIEFLY = ("replace state/cuts",)
"""The steps of a gateway at which `make test` kills it."""
STEPS = (
    "replace state/cuts",
    "fsync state/cuts",
    "a route is followed",
    "fdatasync",
    "replace state/gateways",
    "rename",
)
LIFE = ("rollout.champion", "rollout.shadow", "rollout.canary", "rollout.promote", "rollout.lease", "rollout.trip")
PEOPLE = ("rollout.awaiting_approval", "rollout.approve", "rollout.rollback")
WORK = ("trigger.start", "run.start", "step.done", "forecast.issue", "days.close", "data.check", "calibration.online")


def driven(program: str, words: list[Any], environment: dict[str, str]) -> dict[str, Any]:
    """Let a driver work in a process of its own, which forks before it has threads, and return what it says."""
    command = [sys.executable, str(DRIVERS / program), *map(str, words)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=7200, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_killed_at_every_durable_transition(tmp_path: Path, environment: dict[str, str]) -> None:
    found = driven("crash_drive.py", [tmp_path, "full" if FULL else "kill"], environment)
    assert found["failures"] == []
    assert found["kills"] == (found["points"] if FULL else found["places"])
    # The life that all this is about: it is not a quiet one.
    actions = " ".join(found["kinds"])
    assert [action for action in (*LIFE, *PEOPLE, *WORK) if action not in actions] == []
    assert {kind.split()[0] for kind in found["kinds"]} == {"ledger", "rename", "replace", "store", "unlink"}
    assert found["rollouts"] == ["champion", "rolled_back", "tripped", "tripped"]
    assert found["trips"] == ["T0", "T0", "operator"]
    assert found["void"] == 6


def test_a_gateway_killed_at_each_durable_step_loses_neither_trip_nor_logged_answer(
    served: Path, platform: Platform, request_body: dict[str, Any], tmp_path: Path, environment: dict[str, str]
) -> None:
    """A trip that was told is on the disk, a canary cut off stays so, no route gives it more than the ledger's."""
    with (served / "recloser.toml").open("a", encoding="utf-8") as file:
        file.write('\n[gateway.log]\nsync = "each"\n')
    strings, body, work = tmp_path / "strings", tmp_path / "body", tmp_path / "work"
    strings.write_text("honest")
    body.write_text(json.dumps(request_body))
    work.mkdir()
    lease = platform.clock.now() + timedelta(hours=12)
    put_on_trial(platform, puppet_release(platform, strings), RolloutState.CANARY, lease_until=lease)
    platform.close()
    found = driven("crash_gateway.py", [work, served, strings, body, *([] if FULL else BRIEFLY)], environment)
    assert found["failures"] == []
    assert found["kills"] == (found["points"] if FULL else 2 * len(BRIEFLY))
    assert all(any(word in kind for kind in found["kinds"]) for word in STEPS)


@pytest.mark.skipif(not FULL, reason="a life of minutes: make chaos")
@pytest.mark.parametrize("fault", ["lock", "disk"])
def test_a_ledger_locked_or_a_disk_full_from_each_kind_of_transition_on(
    fault: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    """The process ends with an error of ours, and the next one comes to the same state."""
    found = driven("crash_drive.py", [tmp_path, fault], environment)
    assert found["failures"] == []
    assert found["kills"] > 80


@pytest.mark.skipif(not FULL, reason="lives of minutes: make chaos")
def test_clocks_that_jump_labels_twice_in_any_order_and_a_broken_champion(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    found = driven("crash_faults.py", [tmp_path], environment)
    calm, clock, labels, broken = (found[name] for name in ("calm", "clock", "labels", "broken"))
    assert [life["codes"] for life in found.values()] == [[0]] * 4
    for what in ("actions", "rollouts", "trips", "issues", "days"):
        assert labels[what] == calm[what], what
        assert clock[what] == calm[what], what
    assert broken["rollouts"] == [["champion", 0.0], ["tripped", 0.0]]
    assert broken["trips"] == ["T0"]
    assert broken["issues"] == 10  # not one forecast was left out
