"""Windows that were looked at: kept whole, read once, tidied; labels of people turn them into truth."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from recloser.app.events.labels import CLASS, Told, add_missed, events_between, label_event, labelled
from recloser.app.events.recipe import own_windows
from recloser.app.events.windows import DRILL, LIVE, SEEN_SCHEMA, WindowStore
from recloser.core import InvalidInput
from recloser.features.phasors import PHASOR_FEATURES
from recloser.ledger import Ledger, SignalRecord

T0 = datetime(2026, 3, 1, 12, tzinfo=UTC)
KINDS = ("islanding", "line_trip")


def windows(start: datetime, count: int, origin: str = LIVE, event: str | None = None) -> pl.DataFrame:
    at = [start + timedelta(seconds=k) for k in range(count)]
    columns = {name: [float(k) for k in range(count)] for name in PHASOR_FEATURES}
    return pl.DataFrame({"at": at, "origin": origin, "event": event, **columns}, schema=SEEN_SCHEMA)


def test_windows_are_read_by_time_each_once_over_midnight(tmp_path: Path) -> None:
    store, late = WindowStore(tmp_path), datetime(2026, 3, 1, 23, 59, 50, tzinfo=UTC)
    store.append(windows(late, 20))
    WindowStore(tmp_path).append(windows(late + timedelta(seconds=15), 10))  # another process, five of them again
    store.append(windows(late, 3, DRILL, "islanding"))
    found = store.read(late, late + timedelta(seconds=60))
    assert found.filter(pl.col("origin") == LIVE).height == 25
    assert found.height == 28
    assert store.days() == [date(2026, 3, 1), date(2026, 3, 2)]
    assert store.read(late, late + timedelta(seconds=5)).filter(pl.col("origin") == LIVE).height == 5
    assert store.read(T0 - timedelta(days=3), T0).is_empty()


def test_a_draft_that_a_kill_left_is_not_read(tmp_path: Path) -> None:
    store = WindowStore(tmp_path)
    store.append(windows(T0, 5))
    (tmp_path / "2026-03-01" / ".120100-1-1.parquet").write_bytes(b"half")
    assert store.read(T0, T0 + timedelta(minutes=5)).height == 5


def test_tidying_merges_past_days_and_gives_up_old_ones(tmp_path: Path) -> None:
    store = WindowStore(tmp_path)
    for minute in range(60):
        store.append(windows(T0 + timedelta(minutes=minute), 2))
    store.append(windows(T0 - timedelta(days=40), 2))
    before = store.read(T0, T0 + timedelta(days=1))
    store.tidy(date(2026, 3, 2), keep_days=30)
    assert len(list((tmp_path / "2026-03-01").iterdir())) == 1
    assert store.read(T0, T0 + timedelta(days=1)).equals(before)
    assert store.days() == [date(2026, 3, 1)]


def test_windows_show_what_people_said_and_nothing_where_nobody_can_say() -> None:
    seen = pl.concat([windows(T0, 60), windows(T0, 2, DRILL, "line_trip")])
    begun, over = T0 + timedelta(seconds=20), T0 + timedelta(seconds=30)
    unsaid = Told("e", "islanding", begun, over, None)
    found = labelled(seen, [unsaid], 10.0)
    assert found["label"].to_list()[17:42] == ["none"] + [None] * 23 + ["none"]
    assert found["label"].to_list()[-2:] == ["line_trip"] * 2
    said = Told("e", "islanding", begun, over, "islanding")
    found = labelled(seen, [said], 10.0)["label"].to_list()
    assert found[20:31] == ["islanding"] * 11
    assert found[18:20] == [None, None]
    trip = Told("e", "islanding", begun, over, "line_trip")  # no lasting event: only its first seconds show it
    assert labelled(seen, [trip], 10.0)["label"].to_list()[20:27] == ["line_trip"] * 6 + [None]
    assert labelled(seen, [Told("e", "islanding", begun, over, "none")], 10.0)["label"].to_list()[:60] == ["none"] * 60


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db") as opened:
        yield opened


def test_people_label_events_and_add_missed_ones(ledger: Ledger, tmp_path: Path) -> None:
    record = SignalRecord(
        "event-1", T0, CLASS, "event", ["islanding"], T0 - timedelta(seconds=2), "told", {"probability": 0.9}, None
    )
    with ledger.change("detector", T0) as change:
        change.add(record)
        change.note("event.begin", record.key)
    assert label_event(ledger, "event-1", "none", kinds=KINDS, name="ann", now=T0).label == "none"
    assert label_event(ledger, "event-1", "line_trip", kinds=KINDS, name="bob", now=T0).label == "line_trip"
    with pytest.raises(InvalidInput, match="event-1"):
        label_event(ledger, "event-2", "none", kinds=KINDS, name="ann", now=T0)
    with pytest.raises(InvalidInput, match="kind of event"):
        label_event(ledger, "event-1", "earthquake", kinds=KINDS, name="ann", now=T0)
    span = (T0 + timedelta(minutes=1), T0 + timedelta(minutes=2))
    later = T0 + timedelta(hours=1)
    add_missed(ledger, span, "islanding", kinds=KINDS, name="ann", now=later)
    with pytest.raises(InvalidInput, match="span"):
        add_missed(ledger, (span[1], span[0]), "islanding", kinds=KINDS, name="ann", now=later)
    assert [one.label for one in events_between(ledger, T0 - timedelta(hours=1), later)] == ["line_trip", "islanding"]
    assert [entry.action for entry in ledger.entries(subject="event-1")] == [
        "event.begin",
        "event.label",
        "event.label",
    ]

    store = WindowStore(tmp_path / "windows")
    store.append(windows(T0 - timedelta(minutes=10), 1800))
    own = own_windows(store, ledger, 10.0)
    counts = dict(own.group_by("label").len().iter_rows())
    assert counts["islanding"] == 61  # lasts as long as it was said to last
    assert counts["line_trip"] >= 5
    assert 0 < counts["none"] < 20  # one quiet window in many
    assert own["scene"].unique().to_list() == [T0.date().toordinal()]


def test_windows_of_nobody_s_events_are_no_training_data(ledger: Ledger, tmp_path: Path) -> None:
    store = WindowStore(tmp_path / "windows")
    store.append(windows(T0, 100))
    assert own_windows(store, ledger, 10.0).is_empty()
