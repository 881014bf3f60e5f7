"""A process that dies inside a write: the change is whole or not there, and the next controller comes to the same end.

Two ways to die: between two statements of the transaction (SIGKILL, in a process of its own), and between two pages of
the write-ahead log that reach the disk (the file cut off at each of them, and within one).
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from recloser.ledger import ForecastRecord, Ledger, NoticeRecord, ReleaseRecord, RolloutRecord, RouteRecord, TripRecord
from recloser.rollout import Evidence, RolloutController

HEADER, FRAME_HEADER = 32, 24
DRIVER = Path(__file__).parent / "torn_drive.py"


def told(ledger: Ledger) -> dict[str, Any]:
    """Return what a trip changes."""
    assert ledger.verify().ok
    rollouts = {record.release: record.state for record in ledger.find(RolloutRecord)}
    route = ledger.get(RouteRecord, "route")
    return {
        "rollout": rollouts["rel-2"],
        "release": ledger.get(ReleaseRecord, "rel-2").state,
        "canary": route.canary,
        "trips": len(ledger.find(TripRecord)),
        "recalls": len(ledger.find(NoticeRecord, kind="recall")),
        "void": len(ledger.find(ForecastRecord, void=True)),
        "forecasts": len(ledger.find(ForecastRecord)),
    }


def pages(wal: bytes) -> int:
    """Return the size of a frame of a write-ahead log."""
    return FRAME_HEADER + struct.unpack(">I", wal[8:12])[0]


def test_a_trip_cut_off_at_each_page_of_the_log(canary: Any, tmp_path: Path) -> None:
    for number in range(3):
        canary.serve("rel-2", f"area-{number}")
    database, log = tmp_path / "ledger.db", tmp_path / "ledger.db-wal"
    before, main, size = told(canary.ledger), database.read_bytes(), log.stat().st_size
    canary.source.by_release["rel-2"] = Evidence(divergence=2)
    canary.controller.tick(canary.source)
    after, wal = told(canary.ledger), log.read_bytes()
    assert database.read_bytes() == main  # the change is in the log alone
    assert (before["rollout"], after["rollout"], after["void"]) == ("canary", "tripped", 3)
    cuts = [*range(size, len(wal) + 1, pages(wal)), size + pages(wal) // 2, len(wal) - 1]
    assert len(cuts) > 5
    assert (size - HEADER) % pages(wal) == 0
    for cut in cuts:
        folder = tmp_path / f"cut-{cut}"
        folder.mkdir()
        (folder / "ledger.db").write_bytes(main)
        (folder / "ledger.db-wal").write_bytes(wal[:cut])
        with Ledger.open(f"sqlite:///{folder}/ledger.db") as torn:
            assert told(torn) == (after if cut == len(wal) else before)
            again = RolloutController(torn, canary.router, canary.clock, lambda _: "", canary.settings)
            again.tick(canary.source)
            assert told(torn) == after


@pytest.mark.slow
def test_a_trip_killed_before_each_of_its_statements(canary: Any, tmp_path: Path) -> None:
    """SIGKILL between BEGIN and COMMIT; the parent opens what is left and goes on."""
    canary.serve("rel-2")
    canary.ledger.close()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OPENBLAS_NUM_THREADS": "1"}
    words = [sys.executable, str(DRIVER), str(tmp_path / "ledger.db"), canary.clock.now().isoformat()]
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=1200, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert found["killed"] >= 8
    assert found["torn"] == []
    assert found["ends"] == [["tripped", "tripped", None, 1]]
