"""What every ledger promises, on SQLite and on a real PostgreSQL server."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from recloser.core import InvalidInput, Refused, Unavailable, canonical_json
from recloser.ledger import (
    RECORD_TYPES,
    ActRecord,
    DeliveryRecord,
    ForecastRecord,
    FreezeRecord,
    Ledger,
    NoticeRecord,
    PairedDayRecord,
    PinRecord,
    ReleaseRecord,
    RolloutRecord,
    RouteRecord,
    RunRecord,
    SignalRecord,
    StateRecord,
    StepRecord,
    TriggerRecord,
    TripRecord,
    VerdictRecord,
)

NOW = datetime(2020, 3, 1, 9, tzinfo=UTC)
LATER = NOW + timedelta(hours=5, microseconds=7)
FACTS = {"mape": 3.25, "ok": True, "areas": ["Zürich", "b"], "none": None, "deep": {"n": [1, 2.5, 1e-9]}}


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    with Ledger.open(ledger_url) as opened:
        yield opened


def forecast(key: str = "f1", area: str = "a", *, issued_at: datetime = NOW, void: bool = False) -> ForecastRecord:
    last = issued_at + timedelta(hours=39)
    return ForecastRecord(
        key=key,
        area=area,
        issued_at=issued_at,
        made_at=issued_at,
        first_target=issued_at + timedelta(hours=15),
        last_target=last,
        release="rel-1",
        served_by="rel-1",
        reason="champion",
        targets=["2020-03-02T00:00:00Z"],
        quantiles=[0.1, 0.5, 0.9],
        answers={"rel-1": [[1.5, 2.0, 3.25]], "rel-2": [[1.0, 2.0, None]]},
        void=void,
        void_at=LATER if void else None,
        void_reason="trip" if void else None,
        replaced_by=None,
    )


def pin(key: str = "p1", version: int = 3) -> PinRecord:
    return PinRecord(key, "samples", version, "d" * 64, "run-1", NOW)


ONE_OF_EACH = [
    RunRecord("run-1", "manual", "first", NOW, "done", NOW, LATER, "rel-1", "pass", FACTS),
    StepRecord("run-1/train", "run-1", "train", 2, "failed", 3, "e" * 64, None, {"what": "no"}, NOW, None),
    ReleaseRecord("rel-1", "a" * 64, "/packages/rel-1", "run-1", NOW, "candidate", None, FACTS),
    VerdictRecord("v-1", "rel-1", NOW, "hold", "no data", [{"name": "x", "verdict": "hold"}], "b" * 64),
    RolloutRecord("ro-1", "rel-2", "rel-1", "canary", LATER, NOW, None, 0.1, "started", FACTS, {}),
    RouteRecord("route", 7, None, "rel-2", 1.0, ["a", "b"], None, ["seasonal_naive"], LATER, "boot", NOW),
    forecast(void=True),
    PairedDayRecord("ro-1/2020-03-01", "ro-1", "2020-03-01", -1.5e-7, 48, NOW, FACTS),
    SignalRecord("s-1", NOW, "data_fault", "high", ["a"], NOW, "stuck", FACTS, None),
    TripRecord("t-1", NOW, "rel-2", "T1", "diverged", ["f1"]),
    TriggerRecord("g-1", NOW, "drift", "signal s-1", "skip", "cooling down", None),
    pin(),
    StateRecord("monitor/a", NOW, {"sum": 1.25}),
    ActRecord("act-1", NOW, "ro-1", "rel-2", "approve", "ann", "lead", "looks right", "c" * 64, LATER, followed=True),
    FreezeRecord("freeze-1", NOW, "ann", "storm", NOW, None, LATER, "ben", "over"),
    NoticeRecord("notice-1", NOW, "recall", "rel-2", FACTS),
    DeliveryRecord("notice-1/desk", "notice-1", "desk", NOW, "failing", 1, "503"),
]


def write(ledger: Ledger, *records: object, action: str = "test.put", subject: str = "x") -> None:
    with ledger.change(actor="test", now=NOW) as change:
        for record in records:
            change.put(record)
        change.note(action, subject, {"n": len(records)})


def test_one_of_each_record_type_is_tested() -> None:
    assert {type(record) for record in ONE_OF_EACH} == set(RECORD_TYPES)


def test_records_read_back_equal_and_survive_reopening(ledger_url: str) -> None:
    with Ledger.open(ledger_url) as ledger:
        write(ledger, *ONE_OF_EACH)
    with Ledger.open(ledger_url) as ledger:
        for record in ONE_OF_EACH:
            assert ledger.get(type(record), record.key) == record
            assert ledger.find(type(record)) == [record]
        assert ledger.get(RunRecord, "no such") is None
        assert ledger.verify().ok


def test_times_read_back_aware_and_utc(ledger: Ledger) -> None:
    write(ledger, forecast())
    read = ledger.get(ForecastRecord, "f1")
    assert read is not None
    assert read.last_target.tzinfo is UTC


def test_an_error_in_the_block_writes_nothing(ledger: Ledger) -> None:
    def broken() -> None:
        with ledger.change("test", NOW) as change:
            change.put(pin())
            change.note("pin.add", "p1")
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        broken()
    assert ledger.find(PinRecord) == []
    assert ledger.entries() == []


def test_writing_without_a_note_is_refused_and_writes_nothing(ledger: Ledger) -> None:
    with pytest.raises(InvalidInput, match="no audit note"), ledger.change("test", NOW) as change:
        change.put(pin())
    assert ledger.find(PinRecord) == []


def test_an_existing_key_refuses_the_whole_change(ledger: Ledger) -> None:
    write(ledger, pin("p2"))

    def conflict() -> None:
        with ledger.change("test", NOW) as change:
            change.put(pin("p0"))
            change.add_all([pin("p1"), pin("p2", 99), pin("p3")])
            change.note("pin.add", "all")

    with pytest.raises(Refused) as caught:
        conflict()
    assert caught.value.got == "p2"
    assert [record.key for record in ledger.find(PinRecord)] == ["p2"]
    assert len(ledger.entries()) == 1
    assert ledger.verify().ok


def test_versions_count_writes_and_guard_them(ledger: Ledger) -> None:
    assert ledger.version_of(PinRecord, "p1") == 0

    def swap(version: int, expected: int) -> None:
        with ledger.change("test", NOW) as change:
            change.put(pin(version=version), expected_version=expected)
            change.note("n", "s")

    swap(1, expected=0)
    write(ledger, pin(version=2))
    stored = ledger.stored(PinRecord, "p1")
    assert stored is not None
    assert (stored.record.version, stored.version) == (2, 2)
    swap(3, expected=2)
    for stale in (0, 1, 2, 4):
        with pytest.raises(Refused):
            swap(99, expected=stale)
    assert ledger.get(PinRecord, "p1") == pin(version=3)
    assert len(ledger.entries()) == 3


def test_writes_of_one_key_in_one_change_follow_each_other(ledger: Ledger) -> None:
    write(ledger, pin(version=1), forecast(), pin(version=2), pin(version=3))
    assert ledger.get(PinRecord, "p1") == pin(version=3)
    assert ledger.verify().ok


def test_find_filters_orders_and_limits(ledger: Ledger) -> None:
    days = [NOW + timedelta(days=day) for day in range(4)]
    write(ledger, *(forecast(f"{area}{day}", area, issued_at=days[day]) for area in "ba" for day in range(4)))
    write(ledger, forecast("a1", "a", issued_at=days[1], void=True))

    def keys(**filters: object) -> list[str]:
        return [record.key for record in ledger.find(ForecastRecord, **filters)]  # type: ignore[arg-type]

    assert keys() == ["a0", "a1", "a2", "a3", "b0", "b1", "b2", "b3"]
    assert keys(area="a", void=False, order_by="issued_at", descending=True) == ["a3", "a2", "a0"]
    assert keys(order_by="issued_at", limit=3) == ["a0", "b0", "a1"]
    assert keys(area="b", since=("issued_at", days[2])) == ["b2", "b3"]
    assert keys(area="b", until=("issued_at", days[1])) == ["b0", "b1"]
    assert keys(area="b", since=("issued_at", days[1]), until=("issued_at", days[2])) == ["b1", "b2"]
    assert keys(key=["b3", "a0", "none"]) == ["a0", "b3"]
    assert keys(area=[]) == []
    assert keys(void_at=LATER) == ["a1"]
    assert keys(void_at=None, issued_at=days[1]) == ["b1"]


@pytest.mark.parametrize("filters", [{"aera": "a"}, {"order_by": "isued_at"}, {"area": 3}, {"issued_at": "now"}])
def test_find_names_what_it_does_not_know(ledger: Ledger, filters: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        ledger.find(ForecastRecord, **filters)  # type: ignore[arg-type]


def test_unknown_types_are_refused(ledger: Ledger) -> None:
    @dataclass(frozen=True)
    class Stranger:
        key: str

    with pytest.raises(InvalidInput, match="not a record type"):
        write(ledger, Stranger("x"))
    with pytest.raises(InvalidInput):
        ledger.get(Stranger, "x")


def test_entries_are_chained_as_documented(ledger: Ledger) -> None:
    with ledger.change("rollout", NOW) as change:
        change.put(pin())
        change.note("rollout.trip", "rel-1", FACTS)
        change.note("forecast.recall", "f1")
    write(ledger, forecast())
    entries = ledger.entries()
    assert [(entry.seq, entry.actor, entry.action, entry.subject) for entry in entries] == [
        (1, "rollout", "rollout.trip", "rel-1"),
        (2, "rollout", "forecast.recall", "f1"),
        (3, "test", "test.put", "x"),
    ]
    assert entries[0].facts == FACTS
    assert [[record[:2] for record in entry.records] for entry in entries] == [
        [("pins", "p1")],
        [],
        [("forecasts", "f1")],
    ]
    previous = "0" * 64
    for entry in entries:
        at = entry.at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        whole = [entry.seq, at, entry.actor, entry.action, entry.subject, entry.facts, entry.records, previous]
        assert entry.previous == previous
        assert entry.hash == hashlib.sha256(canonical_json(whole)).hexdigest()
        previous = entry.hash
    assert [entry.seq for entry in ledger.entries(after=1, limit=1)] == [2]
    assert [entry.seq for entry in ledger.entries(subject="rel-1")] == [1]


def test_a_change_may_be_only_a_note_or_nothing(ledger: Ledger) -> None:
    with ledger.change("test", NOW) as change:
        change.note("gate.explain", "rel-1")
    with ledger.change("test", NOW):
        pass
    with pytest.raises(InvalidInput, match="over"):
        change.put(pin())
    assert [entry.records for entry in ledger.entries()] == [()]
    assert ledger.verify().ok


def test_threads_write_and_read_at_once_without_losing_anything(ledger: Ledger) -> None:
    write(ledger, StateRecord("counter", NOW, {"n": 0}))

    def increment() -> int:
        tries = 0
        for _ in range(8):
            while True:
                tries += 1
                stored = ledger.stored(StateRecord, "counter")
                assert stored is not None
                more = replace(stored.record, state={"n": stored.record.state["n"] + 1})
                try:
                    with ledger.change("test", NOW) as change:
                        change.put(more, expected_version=stored.version)
                        change.note("count", "counter")
                    break
                except Refused:
                    continue
        return tries

    stop = threading.Event()

    def watch() -> bool:
        ok = True
        while not stop.is_set():
            ok = ok and ledger.verify().ok
        return ok

    with ThreadPoolExecutor(5) as pool:
        watcher = pool.submit(watch)
        counters = [pool.submit(increment) for _ in range(4)]
        for counter in counters:
            counter.result(timeout=60)
        stop.set()
        assert watcher.result(timeout=60)
    final = ledger.get(StateRecord, "counter")
    assert final is not None
    assert final.state == {"n": 32}
    assert len(ledger.entries()) == 33


def test_threads_may_open_a_new_ledger_at_once(ledger_url: str) -> None:
    def open_and_write(number: int) -> None:
        with Ledger.open(ledger_url) as ledger:
            write(ledger, pin(f"p{number}"))

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(open_and_write, range(6)))
    with Ledger.open(ledger_url) as ledger:
        assert len(ledger.find(PinRecord)) == 6
        assert ledger.verify().ok


def test_a_hold_is_exclusive_and_ends_with_its_block(ledger: Ledger, ledger_url: str) -> None:
    with ledger.hold("run 1"):
        with pytest.raises(Unavailable, match="held"), ledger.hold("run 1"):
            pytest.fail("held twice")
        with ledger.hold("run 2"):
            pass
        with Ledger.open(ledger_url) as other, pytest.raises(Unavailable), other.hold("run 1"):
            pytest.fail("held twice")
    with ledger.hold("run 1"):
        pass
    with pytest.raises(OSError, match="mine"), ledger.hold("run 1"):
        raise OSError("mine")
    with ledger.hold("run 1"):
        pass


def test_the_newest_time_of_each_group_is_told_without_the_records(ledger: Ledger) -> None:
    day = timedelta(days=1)
    with ledger.change("test", NOW) as change:
        for number, area in enumerate(("a", "a", "b", "c", "d")):
            change.add(forecast(f"f{number}", area, issued_at=NOW + number * day, void=area == "c"))
        change.add(forecast("old", "e", issued_at=NOW - day))
        change.note("test", "forecasts")
    found = ledger.newest_by(ForecastRecord, "area", "issued_at", since=NOW, void=False)
    assert found == {"a": NOW + day, "b": NOW + 2 * day, "d": NOW + 4 * day}
    assert set(ledger.newest_by(ForecastRecord, "area", "issued_at", since=NOW - day)) == set("abcde")
    with pytest.raises(InvalidInput):
        ledger.newest_by(ForecastRecord, "region", "issued_at", since=NOW)
