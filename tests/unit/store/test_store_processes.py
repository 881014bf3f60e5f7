"""Several processes at once lose nothing; a killed one leaves a whole store."""

import signal
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from store_writer import begun, go

from recloser.core import Sample, Unavailable, sample_frame
from recloser.store import Store
from recloser.store.lock import writer_lock

HOUR = timedelta(hours=1)
T0 = datetime(2020, 1, 1, tzinfo=UTC)
LATER = datetime(2030, 1, 1, tzinfo=UTC)

OPENING = """
from pathlib import Path
from recloser.store.maintenance import Upkeep
store = Store.open(Path(sys.argv[4]), timedelta(hours=1))
"""
TIDYING = """
    if batches < 1000 and number == 3 and area == "p0":
        store.maintain([], t0, Upkeep(small_files=2))
"""


def start(folder: Path, area: str, batches: int, size: int) -> "subprocess.Popen[str]":
    return begun(OPENING, [str(folder)], area, batches, size, TIDYING)


def test_concurrent_appends_and_maintenance_lose_nothing(tmp_path: Path) -> None:
    writers = [start(tmp_path, f"p{i}", 6, 50) for i in range(2)]
    for writer in writers:
        go(writer)
    for writer in writers:
        writer.communicate(timeout=60)
        assert writer.returncode == 0
    frame = Store.open(tmp_path, HOUR).read(as_of=LATER).frame
    counts = dict(frame.group_by("area").len().iter_rows())
    assert counts == {"p0": 300, "p1": 300, "shared": 6}


@pytest.mark.chaos
def test_kill_9_leaves_whole_batches_and_the_repeat_completes(tmp_path: Path) -> None:
    steps = 4
    writer = start(tmp_path, "k", 10_000, 200)
    go(writer)
    assert writer.stdout is not None
    for _ in range(steps):
        writer.stdout.readline()
    writer.send_signal(signal.SIGKILL)
    told, _ = writer.communicate()
    confirmed = steps + told.count("\n")
    store = Store.open(tmp_path, HOUR)
    rows = store.read(["k"], as_of=LATER).frame.height
    assert rows % 200 == 0
    assert rows // 200 in (confirmed, confirmed + 1)
    rest = start(tmp_path, "k", 7, 200)
    go(rest)
    rest.communicate(timeout=60)
    assert store.read(["k"], as_of=LATER).frame.height == max(rows, 1400)
    shared = store.read(["shared"], as_of=LATER).frame
    assert shared.height == max(rows // 200, 7)


def test_a_writer_that_hangs_is_named_not_waited_for(tmp_path: Path) -> None:
    with (
        writer_lock(tmp_path),
        pytest.raises(Unavailable, match="another process"),
        writer_lock(tmp_path, patience_s=0.05),
    ):
        pass
    sample = Sample("a", "load_mw", T0, T0 + HOUR, 1.0)
    assert Store.open(tmp_path, HOUR).append(sample_frame([sample]), "x").accepted == 1
