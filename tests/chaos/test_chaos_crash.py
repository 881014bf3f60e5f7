"""The controller killed with SIGKILL at every durable transition of a whole life, and at each kind of them in `make test`.

`make chaos` (RECLOSER_FULL=1) kills a life of its own at every crash point of every transition. Otherwise one life is
killed at each kind of transition and place, where it comes first, and goes on from there.
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

FULL = bool(os.environ.get("RECLOSER_FULL"))
DRIVER = Path(__file__).parent / "crash" / "crash_drive.py"
LIFE = ("rollout.champion", "rollout.shadow", "rollout.canary", "rollout.promote", "rollout.lease", "rollout.trip")
PEOPLE = ("rollout.awaiting_approval", "rollout.approve", "rollout.rollback")
WORK = ("trigger.start", "run.start", "step.done", "forecast.issue", "days.close", "data.check", "calibration.online")


def driven(folder: Path, mode: str, environment: dict[str, str]) -> dict[str, Any]:
    """Let the driver work in a process of its own, which forks before it has threads, and return what it says."""
    command = [sys.executable, str(DRIVER), str(folder), mode]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=7200, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_killed_at_every_durable_transition(tmp_path: Path, environment: dict[str, str]) -> None:
    found = driven(tmp_path, "full" if FULL else "kinds", environment)
    assert found["failures"] == []
    assert found["kills"] == (found["points"] if FULL else found["places"])
    # The life that all this is about: it is not a quiet one.
    actions = " ".join(found["kinds"])
    assert [action for action in (*LIFE, *PEOPLE, *WORK) if action not in actions] == []
    assert {kind.split()[0] for kind in found["kinds"]} == {"ledger", "rename", "replace", "store", "unlink"}
    assert found["rollouts"] == ["champion", "rolled_back", "tripped", "tripped"]
    assert found["trips"] == ["T0", "T0", "operator"]
    assert found["void"] == 6
