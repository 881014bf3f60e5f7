"""Compaction leaves the content alone; vacuum never touches a pinned version; an unpinned one is refused clearly."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recloser.core import InvalidInput, Refused, Sample, sample_frame
from recloser.store import Store
from recloser.store.maintenance import Upkeep

T0 = datetime(2020, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
LATER = datetime(2030, 1, 1, tzinfo=UTC)
AT_ONCE = Upkeep(small_files=2, grace_hours=0)


def day(number: int, value: float = 1.0) -> list[Sample]:
    start = T0 + timedelta(days=number)
    return [
        Sample(area, "load_mw", start + i * HOUR, start + (i + 1) * HOUR, value + i)
        for area in ("a", "b")
        for i in range(24)
    ]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store.open(tmp_path, HOUR)
    for number in range(5):
        store.append(sample_frame(day(number)), "x")
    store.append(sample_frame(day(2, 50.0)), "correction")
    return store


def test_compaction_keeps_content_digest_and_corrections(store: Store) -> None:
    before = store.snapshot(None, None, None, None, LATER)
    result = store.maintain([before.version], LATER, AT_ONCE)
    assert (result.compacted, result.files_before, result.files_after) == (1, 6, 1)
    after = store.snapshot(None, None, None, None, LATER)
    assert after.digest == before.digest
    assert after.version > before.version
    assert store.revisions("a", "load_mw", T0 + timedelta(days=2))["value"].to_list() == [1.0, 50.0]
    assert store.append(sample_frame(day(2, 50.0)), "again").duplicates == 48
    assert store.open_snapshot(before).frame.height == 240


def test_a_pinned_version_survives_and_an_unpinned_one_is_refused(store: Store, tmp_path: Path) -> None:
    pinned = store.snapshot(["a"], None, None, None, LATER)
    store.append(sample_frame(day(6)), "x")
    store.maintain([], LATER, AT_ONCE)  # compaction makes the old files unneeded...
    assert store.version() > pinned.version
    with pytest.raises(Refused, match="no longer be read") as caught:
        store.open_snapshot(pinned)
    assert "Pin versions" in caught.value.explain()
    kept = store.snapshot(["a"], None, None, None, LATER)
    for number in range(7, 10):
        store.append(sample_frame(day(number)), "x")
        result = store.maintain([kept.version], LATER, AT_ONCE)
    assert result.kept == (kept.version,)
    assert store.open_snapshot(kept).frame.height == 6 * 24
    files = list((tmp_path / "samples").rglob("*.parquet"))
    assert len([f for f in files if "_delta_log" not in f.parts]) == 2  # the kept and the latest


def test_a_pin_that_is_already_broken_stops_the_vacuum(store: Store, tmp_path: Path) -> None:
    version = store.version()
    next((tmp_path / "samples").rglob("*.parquet")).unlink()
    with pytest.raises(Refused, match="already lost"):
        store.maintain([version], LATER, AT_ONCE)
    with pytest.raises(InvalidInput, match="no such version"):
        store.maintain([99], LATER, AT_ONCE)


def test_young_unneeded_files_stay_for_readers_at_work(store: Store) -> None:
    old = store.version()
    result = store.maintain([], LATER, Upkeep(small_files=2))
    assert result.compacted == 1
    assert result.removed == 0
    assert store.read(as_of=LATER, version=old).frame.height == 240


def test_maintenance_of_nothing_does_nothing(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "new", HOUR)
    assert store.maintain([], LATER).version == -1
    store.append(sample_frame(day(0)), "x")
    result = store.maintain([], LATER)
    assert (result.compacted, result.removed, store.version()) == (0, 0, 1)


def test_versions_survive_many_checkpoints(tmp_path: Path) -> None:
    store = Store.open(tmp_path, HOUR)
    for number in range(45):  # two checkpoints
        store.append(sample_frame(day(0)[number : number + 1]), "x")
    assert list((tmp_path / "samples" / "_delta_log").glob("*.checkpoint*.parquet"))
    assert [store.read(as_of=LATER, version=v).frame.height for v in (1, 19, 21, 45)] == [1, 19, 21, 45]
    assert Store.open(tmp_path, HOUR).version() == 45
