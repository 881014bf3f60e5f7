"""A full disk: the one act that must work does, on the space kept for it; nothing is half-written."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from recloser.app import Platform, operator_rollback
from recloser.app.loop.control_loop import ControlLoop, LoopOptions
from recloser.app.project.ballast import BALLAST, SIZE, SPARE, keep_ballast
from recloser.app.project.layout import Layout
from recloser.app.verbs import rollback_in
from recloser.core import Unavailable, VirtualClock
from recloser.ledger import RouteRecord
from recloser.testing.lives import lived_project

pytestmark = [pytest.mark.chaos, pytest.mark.slow]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    size = f"size={SPARE + 4 * SIZE}"
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(place)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"no disk can be made here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(disk: Path) -> Path:
    """Take all that is free."""
    path = disk / "fill"
    with path.open("ab", buffering=0) as file:
        for size in (1_000_000, 4096, 1):
            try:
                while file.write(b"0" * size) == size:
                    pass
            except OSError:
                continue
    return path


def test_a_command_stops_a_model_on_a_full_disk_though_nobody_has_the_ledger_open(disk: Path) -> None:
    folder, _ = lived_project(disk / "grid", days=2)
    layout = Layout(folder)
    keep_ballast(layout)
    filled = fill(disk)
    (layout.state / BALLAST).rename(layout.state / "another")  # as if there were none
    with pytest.raises(Unavailable):
        operator_rollback(folder, to=None, reason="it looks wrong", actor="ann")
    (layout.state / "another").rename(layout.state / BALLAST)
    done = operator_rollback(folder, to=None, reason="it looks wrong", actor="ann")
    assert done["to"] is None
    filled.unlink()
    with Platform.open(folder) as platform:
        route = platform.ledger.get(RouteRecord, "route")
        assert route is not None
        assert route.champion is None
        assert platform.ledger.verify().ok


def _back_and_forth(loop: ControlLoop, release: str) -> None:
    """Roll back and return until there is no space for it."""
    for _ in range(1000):
        rollback_in(loop, to=release, reason="back" * 400, actor="ann")
        rollback_in(loop, to=None, reason="away" * 400, actor="ann")


def test_a_model_is_stopped_on_a_full_disk_and_the_space_is_taken_again_when_there_is_some(disk: Path) -> None:
    folder, now = lived_project(disk / "grid", days=2)
    clock = VirtualClock(now)
    with Platform.open(folder, clock=clock) as platform:
        kept = platform.layout.state / BALLAST
        loop = ControlLoop(platform, LoopOptions())
        loop.advance()
        keep_ballast(platform.layout)
        assert kept.stat().st_blocks * 512 >= SIZE
        filled = fill(disk)
        before = platform.ledger.get(RouteRecord, "route")
        assert before is not None
        assert before.champion is not None
        done = rollback_in(loop, to=None, reason="it looks wrong", actor="ann")
        assert (done["from"], done["to"]) == (before.champion, None)
        assert done["recalled"]
        assert not kept.exists()
        assert platform.ledger.verify().ok
        keep_ballast(platform.layout)
        assert not kept.exists()  # who runs short of space gets none of it taken
        fill(disk)
        clock.advance_to(now.replace(minute=now.minute + 1))
        with pytest.raises(Unavailable):
            _back_and_forth(loop, before.champion)
        filled.unlink()
        keep_ballast(platform.layout)
        assert kept.exists()
        assert platform.ledger.verify().ok
