"""A store keeps its promises wherever it lies: in a folder, and in a bucket of an S3-compatible service."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from s3_server import KEY, SECRET, S3Server

from recloser.core import InvalidInput, Refused, Sample, Unavailable, sample_frame
from recloser.store import PREDICTION_SCHEMA, PredictionTable, Store
from recloser.store.maintenance import Upkeep
from recloser.store.places import Bucket, BucketAccess, Folder, Place

T0 = datetime(2020, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
LATER = datetime(2030, 1, 1, tzinfo=UTC)


def day(number: int, value: float = 1.0, area: str = "a") -> pl.DataFrame:
    start = T0 + timedelta(days=number)
    return sample_frame(
        [Sample(area, "load_mw", start + i * HOUR, start + (i + 1) * HOUR, value + i) for i in range(24)]
    )


@pytest.fixture(params=["folder", pytest.param("bucket", marks=pytest.mark.services)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "folder":
        return Folder(tmp_path / "store")
    server: S3Server = request.getfixturevalue("s3")
    return Bucket("s3://grid/north/recloser", BucketAccess(server.endpoint, "us-east-1", KEY, SECRET))


def test_an_empty_place_is_an_empty_store(place: Place) -> None:
    store = Store.open(place, HOUR)
    assert (store.version(), store.areas(), store.extent("load_mw")) == (-1, [], None)
    assert store.read(as_of=LATER).frame.is_empty()
    assert PredictionTable(place).sequence("s") is None


def test_what_was_appended_is_read_by_another_and_told_as_known(place: Place) -> None:
    store, other = Store.open(place, HOUR), Store.open(place, HOUR)
    assert store.append(day(0), "x", 1).accepted == 24
    assert other.append(day(0), "x", 1).duplicates == 24  # the same batch again
    assert other.append(day(0), "y").duplicates == 24  # the same rows from elsewhere
    correction = day(0, 50.0).with_columns(available_at=pl.col("available_at") + timedelta(days=3))
    assert other.append(correction, "y").corrected == 24
    then = store.read(as_of=T0 + timedelta(days=2)).frame
    now = store.read(as_of=LATER).frame
    assert (then["value"].sum(), now.filter(pl.col("available_at") > T0 + timedelta(days=2)).height) == (300.0, 24)
    assert store.extent("load_mw") == (T0, T0 + 23 * HOUR)
    assert store.revisions("a", "load_mw", T0)["value"].to_list() == [1.0, 50.0]


def test_two_handles_that_looked_at_the_same_version_lose_and_double_nothing(place: Place) -> None:
    one, two = Store.open(place, HOUR), Store.open(place, HOUR)
    for number in range(4):
        one.append(day(number), "x", number)
        two.append(pl.concat([day(number), day(number, area="b")]), "y", number)
    frame = Store.open(place, HOUR).read(as_of=LATER).frame
    assert dict(frame.group_by("area").len().iter_rows()) == {"a": 96, "b": 96}


def test_maintenance_keeps_what_is_pinned_and_its_digest(place: Place) -> None:
    store = Store.open(place, HOUR)
    for number in range(5):
        store.append(day(number), "x")
    before = store.snapshot(None, None, None, None, LATER)
    result = store.maintain([before.version], LATER, Upkeep(small_files=2, grace_hours=1))
    assert (result.compacted, result.files_before, result.files_after) == (1, 5, 1)
    assert store.snapshot(None, None, None, None, LATER).digest == before.digest
    assert Store.open(place, HOUR).open_snapshot(before).frame.height == 120


def test_a_table_of_another_resolution_or_program_is_refused(place: Place) -> None:
    Store.open(place, HOUR).append(day(0), "x")
    with pytest.raises(InvalidInput, match="another resolution"):
        Store.open(place, timedelta(minutes=30))
    with pytest.raises(Refused, match="not written by this release"):
        PredictionTable(_renamed(place)).append(_logged(1), "s", 1)


def _renamed(place: Place) -> Place:
    """Return a place in which the table of series has the name of the one of predictions."""
    store = Store.open(place.child("other"), HOUR)
    store._table.place = place.child("predictions")
    store._table._latest = None
    store.append(day(0), "x")
    return place


def _logged(sequence: int) -> pl.DataFrame:
    cells = {"kind": "answer", "stream": "s", "sequence": sequence, "made_at": T0, "area": "a", "mw": [1.0]}
    return pl.DataFrame([{name: cells.get(name) for name in PREDICTION_SCHEMA}], schema=PREDICTION_SCHEMA)


def test_logged_rows_are_stored_once_by_whoever_brings_them(place: Place) -> None:
    table, other = PredictionTable(place), PredictionTable(place)
    assert table.append(_logged(1), "s", 1)
    assert not other.append(_logged(1), "s", 1)
    assert other.append(_logged(2), "s", 2)
    assert table.append(_logged(1), "t", 1)
    assert table.tidy() == 1
    assert other.read()["sequence"].to_list() == [1, 1, 2]


def test_data_without_its_log_is_no_empty_store(place: Place) -> None:
    store = Store.open(place, HOUR)
    store.append(day(0), "x")
    _remove_log(place.child("samples"))
    with pytest.raises(Unavailable, match="without the log"):
        Store.open(place, HOUR)


def _remove_log(table: Place) -> None:
    for name in table.sizes("_delta_log"):
        if isinstance(table, Folder):
            (table.path / name).unlink()
        elif isinstance(table, Bucket):
            table._obstore.delete(table._client, name)
