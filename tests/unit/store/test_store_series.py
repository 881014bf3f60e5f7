"""Appending and reading: duplicates, corrections, late rows, as-of reads by time and version, exactly once."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recloser.core import InvalidInput, Quality, Refused, Sample, Unavailable, sample_frame
from recloser.store import Snapshot, Store
from recloser.store.batch import clean_batch
from recloser.store.resolution import resolve, valid_rows

T0 = datetime(2020, 1, 31, tzinfo=UTC)
HOUR = timedelta(hours=1)
LATER = datetime(2030, 1, 1, tzinfo=UTC)


def row(step: int, value: float | None, known: int | None = None, area: str = "a", quality: int = 0) -> Sample:
    available = T0 + (step + 1 if known is None else known) * HOUR
    return Sample(area, "load_mw", T0 + step * HOUR, available, value, Quality(quality))


def values(store: Store, as_of: datetime = LATER, version: int | None = None) -> list[float | None]:
    return store.read(as_of=as_of, version=version).latest()["value"].to_list()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", HOUR)


def test_an_empty_store_answers(store: Store) -> None:
    assert store.version() == -1
    assert store.areas() == []
    assert store.quantities() == []
    assert store.extent("load_mw") is None
    assert store.read(as_of=LATER).frame.is_empty()
    with pytest.raises(InvalidInput, match="empty"):
        store.snapshot(None, None, None, None, LATER)


def test_repetition_is_dropped_and_a_correction_keeps_the_old_value(store: Store) -> None:
    first = store.append(sample_frame([row(0, 1.0), row(1, 2.0)]), "scada")
    again = store.append(sample_frame([row(0, 1.0), row(1, 2.0)]), "scada")
    late = store.append(sample_frame([row(0, 1.0, known=9), row(1, 5.0, known=9)]), "settlement")
    assert (first.accepted, first.duplicates, first.corrected) == (2, 0, 0)
    assert (again.accepted, again.duplicates, again.version) == (0, 2, first.version)
    assert (late.accepted, late.duplicates, late.corrected) == (1, 1, 1)
    assert values(store) == [1.0, 5.0]
    assert values(store, T0 + 8 * HOUR) == [1.0, 2.0]
    assert values(store, version=first.version) == [1.0, 2.0]
    assert store.revisions("a", "load_mw", T0 + HOUR)["value"].to_list() == [2.0, 5.0]


def test_a_quality_flag_is_a_revision(store: Store) -> None:
    store.append(sample_frame([row(0, 1.0)]), "scada")
    flagged = store.append(sample_frame([row(0, 1.0, known=5, quality=Quality.STUCK)]), "check:stuck")
    assert (flagged.accepted, flagged.corrected, flagged.flagged) == (1, 1, 1)
    panel = store.read(as_of=LATER)
    assert panel.wide()["load_mw"].to_list() == [None]
    assert panel.at_time(T0 + 4 * HOUR).wide()["load_mw"].to_list() == [1.0]


def test_at_one_instant_the_later_append_is_valid_and_an_old_file_never_undoes_it(store: Store) -> None:
    store.append(sample_frame([row(0, 1.0)]), "file:old.csv")
    assert store.append(sample_frame([row(0, 3.0)]), "file:new.csv").corrected == 1
    assert store.append(sample_frame([row(0, 1.0)]), "file:old.csv").duplicates == 1
    assert values(store) == [3.0]
    assert store.revisions("a", "load_mw", T0)["value"].to_list() == [1.0, 3.0]


def test_a_late_row_fills_the_past_without_touching_the_present(store: Store) -> None:
    store.append(sample_frame([row(0, 2.0, known=5)]), "x")
    late = store.append(sample_frame([row(0, 1.0, known=1)]), "x")
    assert (late.accepted, late.corrected) == (1, 0)
    assert values(store) == [2.0]
    assert values(store, T0 + 3 * HOUR) == [1.0]


def test_a_sequence_is_stored_once(store: Store) -> None:
    assert store.append(sample_frame([row(0, 1.0)]), "scada", sequence=7).accepted == 1
    repeated = store.append(sample_frame([row(0, 9.0)]), "scada", sequence=7)
    assert (repeated.accepted, repeated.duplicates) == (0, 1)
    assert store.append(sample_frame([row(0, 9.0)]), "other", sequence=7).accepted == 1
    assert store.append(sample_frame([row(1, 1.0)]), "scada", sequence=8).accepted == 1


def test_windows_areas_and_months(store: Store) -> None:
    batch = [row(step, float(step), area=area) for step in range(48) for area in ("a", "b", "c")]
    store.append(sample_frame(batch), "x")
    panel = store.read(["a", "c", "nowhere"], ["load_mw"], T0 + 20 * HOUR, T0 + 30 * HOUR, as_of=LATER)
    assert panel.frame["area"].unique().sort().to_list() == ["a", "c"]
    assert panel.frame.filter(pl.col("area") == "c")["value"].to_list() == [float(i) for i in range(20, 30)]
    assert store.read([], as_of=LATER).frame.is_empty()
    assert store.extent("load_mw") == (T0, T0 + 47 * HOUR)
    assert store.extent("temperature_c") is None
    assert store.areas() == ["a", "b", "c"]
    assert store.quantities() == ["load_mw"]
    assert panel.frame.columns == ["area", "quantity", "at", "available_at", "value", "quality", "source"]


def test_another_resolution_or_a_foreign_table_is_refused(store: Store, tmp_path: Path) -> None:
    store.append(sample_frame([row(0, 1.0)]), "x")
    with pytest.raises(InvalidInput, match="resolution"):
        Store.open(tmp_path / "store", timedelta(minutes=30))
    log = tmp_path / "store" / "samples" / "_delta_log" / "00000000000000000000.json"
    log.write_text(log.read_text().replace('\\"format\\": 1', '\\"format\\": 99'))
    with pytest.raises(Refused, match="release"):
        Store.open(tmp_path / "store", HOUR)


def test_versions_outside_are_refused(store: Store) -> None:
    store.append(sample_frame([row(0, 1.0)]), "x")
    for version in (-1, 99):
        with pytest.raises(InvalidInput, match="no such version"):
            store.read(as_of=LATER, version=version)


def test_damaged_and_missing_files_are_named(store: Store, tmp_path: Path) -> None:
    store.append(sample_frame([row(step, 1.0) for step in range(9)]), "x")
    (data,) = (tmp_path / "store" / "samples").rglob("*.parquet")
    whole = data.read_bytes()
    data.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Unavailable, match="damaged"):
        store.read(as_of=LATER)
    data.unlink()
    with pytest.raises(Unavailable, match="missing"):
        store.read(as_of=LATER)


@pytest.mark.parametrize("damage", ["empty", "half", "gone", "no log"])
def test_a_damaged_log_is_never_taken_for_less_data(store: Store, tmp_path: Path, damage: str) -> None:
    for step in range(3):
        store.append(sample_frame([row(step, 1.0)]), "x")
    log = tmp_path / "store" / "samples" / "_delta_log"
    entry = log / "00000000000000000002.json"
    if damage == "no log":
        log.rename(tmp_path / "lost")
    elif damage == "gone":
        entry.unlink()
    else:
        entry.write_bytes(entry.read_bytes()[: 0 if damage == "empty" else 99])
    for call in (lambda s: s.read(as_of=LATER), lambda s: s.append(sample_frame([row(9, 1.0)]), "x")):
        with pytest.raises(Unavailable, match="cannot be read"):
            call(Store.open(tmp_path / "store", HOUR))


def test_a_changed_value_is_found_by_the_digest(store: Store, tmp_path: Path) -> None:
    store.append(sample_frame([row(step, 1.0 + step) for step in range(9)]), "x")
    snapshot = Snapshot.from_dict(store.snapshot(["a"], None, None, None, LATER).to_dict())
    assert store.open_snapshot(snapshot).frame.height == 9
    (data,) = (tmp_path / "store" / "samples").rglob("*.parquet")
    frame = pl.read_parquet(data, hive_partitioning=False)
    frame.with_columns(pl.when(pl.col("value") == 4.0).then(4.25).otherwise("value").alias("value")).write_parquet(data)
    with pytest.raises(Refused, match="not what the snapshot saw"):
        store.open_snapshot(snapshot)


def test_a_snapshot_outlives_later_appends(store: Store) -> None:
    store.append(sample_frame([row(0, 1.0), row(1, 2.0)]), "x")
    snapshot = store.snapshot(None, None, None, None, LATER)
    store.append(sample_frame([row(0, 7.0), row(2, 2.0)]), "x")
    assert store.open_snapshot(snapshot).frame["value"].to_list() == [1.0, 2.0]
    assert store.snapshot(None, None, None, None, LATER).digest != snapshot.digest


ROWS = st.builds(
    row,
    step=st.integers(0, 1),
    value=st.sampled_from([1.0, 2.0, 3.0]),
    known=st.integers(1, 4),
    quality=st.sampled_from([0, int(Quality.QUESTIONABLE)]),
)
BATCHES = st.lists(
    st.lists(ROWS, min_size=1, max_size=6, unique_by=lambda r: (r.at, r.available_at)), min_size=1, max_size=5
)


@settings(deadline=None, max_examples=40)
@given(BATCHES)
def test_as_of_reads_agree_with_a_plain_model(batches: list[list[Sample]]) -> None:
    """The documented rule, row by row in plain Python, gives at every instant what the vectorised one gives."""
    stored: pl.DataFrame | None = None
    model: list[Sample] = []
    for batch in batches:
        resolved = resolve(clean_batch(sample_frame(batch), HOUR, "x"), stored)
        stored = resolved.rows if stored is None else pl.concat([stored, resolved.rows])
        before = list(model)
        for new in sorted(batch, key=lambda r: (r.at, r.available_at)):
            said = [(r.at, r.available_at, r.value, r.quality) for r in before]
            if (new.at, new.available_at, new.value, new.quality) in said:
                continue
            valid = _valid(model, new.at, new.available_at)
            if valid is None or (valid.value, valid.quality) != (new.value, new.quality):
                model.append(new)
        assert resolved.rows.height + resolved.duplicates == len(batch)
    assert stored is not None
    assert stored.height == len(model)
    shown = valid_rows(stored.sample(fraction=1.0, shuffle=True, seed=3))
    for known in range(6):
        seen = shown.filter(pl.col("available_at") <= T0 + known * HOUR).unique("at", keep="last", maintain_order=True)
        for step in range(2):
            at = T0 + step * HOUR
            expected = _valid(model, at, T0 + known * HOUR)
            got = seen.filter(pl.col("at") == at).select("value", "quality").rows()
            assert got == ([] if expected is None else [(expected.value, int(expected.quality))])


def _valid(model: list[Sample], at: datetime, as_of: datetime) -> Sample | None:
    """Return the last said of those with the latest available_at."""
    known = [r for r in model if r.at == at and r.available_at <= as_of]
    newest = max((r.available_at for r in known), default=None)
    return [r for r in known if r.available_at == newest][-1] if known else None


@settings(deadline=None, max_examples=6)
@given(BATCHES, st.randoms(use_true_random=False))
def test_files_leave_no_trace_in_the_digest(tmp_path_factory: pytest.TempPathFactory, batches, random) -> None:
    """One append or many, compacted or not: equal statements give the equal digest."""
    unique = list({(r.at, r.available_at): r for batch in batches for r in batch}.values())
    unique.sort(key=lambda r: (r.at, r.available_at))
    one = Store.open(tmp_path_factory.mktemp("one"), HOUR)
    one.append(sample_frame(unique), "x")
    many = Store.open(tmp_path_factory.mktemp("many"), HOUR)
    cut = random.randint(0, len(unique))
    for part in (unique[:cut], unique[cut:]):
        if part:
            many.append(sample_frame(part), "x")
    digests = {s.snapshot(None, None, None, None, LATER).digest for s in (one, many)}
    assert len(digests) == 1
