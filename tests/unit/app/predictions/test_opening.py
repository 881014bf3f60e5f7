"""The gateway's log of a project, and its upkeep by the controller."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from recloser.app.platform import Platform
from recloser.app.predictions.mover import Moved
from recloser.app.predictions.opening import PredictionUpkeep, gateway_log, log_policy
from recloser.serving.log import segments
from recloser.store import PredictionTable
from recloser.testing import empty_project


def project(tmp_path: Path, settings: str = "") -> Path:
    return empty_project(tmp_path / "grid", settings=settings)


def test_settings_reach_the_log(tmp_path: Path) -> None:
    text = '[gateway.log]\ninputs = "full"\nsync = "each"\nsegment_mb = 0.5\nsegment_seconds = 5\nqueue_mb = 2\n'
    with Platform.open(project(tmp_path, text)) as platform:
        policy = log_policy(platform)
    assert (policy.inputs, policy.sync, policy.segment_bytes) == ("full", "each", 524_288)
    assert (policy.segment_age_s, policy.queue_bytes) == (5.0, 2 * 1024 * 1024)


def test_a_project_may_want_no_log(tmp_path: Path) -> None:
    with Platform.open(project(tmp_path, "[gateway.log]\nenabled = false\n")) as platform:
        assert gateway_log(platform) is None
        assert not (platform.layout.predictions / "log").exists()


def test_each_gateway_process_has_a_log_of_its_own(tmp_path: Path) -> None:
    with Platform.open(project(tmp_path)) as platform:
        logs = [gateway_log(platform) for _ in range(3)]
        names = sorted(path.name for path in (platform.layout.predictions / "log").iterdir())
        assert names == ["gateway-0", "gateway-1", "gateway-2"]
        for log in logs:
            assert log is not None
            assert log.close()
        again = gateway_log(platform)
        assert again is not None
        assert again.close()
        assert len(list((platform.layout.predictions / "log").iterdir())) == 3


def test_the_controller_moves_what_is_sealed_once_a_minute_and_notes_gaps(
    tmp_path: Path, logged: SimpleNamespace
) -> None:
    with Platform.open(project(tmp_path)) as platform:
        folder = platform.layout.predictions / "log" / "gateway-0"
        upkeep, now = PredictionUpkeep(platform), logged.NOW
        assert upkeep.tick(now) == Moved()
        logged.write(folder, range(10))
        assert upkeep.tick(now + timedelta(seconds=30)) == Moved()
        moved = upkeep.tick(now + timedelta(seconds=61))
        assert moved.rows == 30
        assert moved.gaps == 0
        table = PredictionTable(platform.layout.predictions)
        assert table.read().height == 30
        assert [entry for entry in platform.ledger.entries() if entry.action == "predictions.gap"] == []
        logged.write(folder, range(10, 20))
        first = segments(folder)[0]
        content = bytearray(first.path.read_bytes())
        content[len(content) // 2] ^= 1
        first.path.write_bytes(content)
        assert upkeep.tick(now + timedelta(days=1)).damaged == 1
        [entry] = [entry for entry in platform.ledger.entries() if entry.action == "predictions.gap"]
        assert dict(entry.facts) == {"gaps": 1, "damaged": 1}


@pytest.mark.slow
@pytest.mark.chaos
def test_killed_at_any_moment_of_a_commit(tmp_path: Path, logged: SimpleNamespace) -> None:
    import subprocess
    import sys

    root, table = tmp_path / "log", PredictionTable(tmp_path / "table")
    script = Path(__file__).with_name("moving.py")
    for round_ in range(8):
        logged.write(root / "gateway-0", range(round_ * 12, round_ * 12 + 12))
        command = [sys.executable, str(script), str(tmp_path), "say", "0"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()  # it is about to commit
        time.sleep(0.004 * round_)
        process.kill()
        process.wait()
        process.stdout.close()
    from recloser.app.predictions.mover import move_all

    move_all(root, table, logged.NOW)
    stored = table.read(["a"])
    assert stored["request_id"].n_unique() == 96
    assert stored.height == 2 * 96
