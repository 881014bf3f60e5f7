"""The ledger in memory answers and refuses as the SQL ledger does, over random histories."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recloser.core import InvalidInput, RecloserError, Refused, Unavailable, VirtualClock
from recloser.ledger import Leadership, Ledger, PairedDayRecord, RouteRecord, StateRecord, TripRecord
from recloser.testing import MemoryLedger

T0 = datetime(2020, 3, 1, 9, tzinfo=UTC)
TIMES = [T0 + timedelta(hours=h) for h in range(3)]
TEXTS = ["", "a", "b", "ä", "Z", "z", "\U0001f50c"]
TYPES: tuple[type[Any], ...] = (StateRecord, RouteRecord, PairedDayRecord, TripRecord)
keys = st.sampled_from(["k", "l", "ä", "Z"])
texts = st.sampled_from(TEXTS)
times = st.sampled_from(TIMES)
numbers = st.none() | st.integers(-2, 2) | st.floats(allow_nan=True)
data = st.dictionaries(st.sampled_from(["a", "b"]), numbers, max_size=2)
records = st.one_of(
    st.builds(StateRecord, keys, times, data),
    st.builds(
        RouteRecord,
        keys,
        st.integers(-1, 9),
        st.none() | texts,
        st.none() | texts,
        st.sampled_from([0.0, 0.5, 1.0, float("nan")]),
        st.lists(texts, max_size=2),
        st.none(),
        st.lists(texts, max_size=2),
        st.none() | times,
        texts,
        times,
    ),
    st.builds(PairedDayRecord, keys, texts, texts, st.sampled_from([-0.1, 0.0, 2.5]), st.integers(0, 3), times, data),
    st.builds(TripRecord, keys, times, texts, texts, texts, st.lists(texts, max_size=2)),
)
writes = st.tuples(st.sampled_from(["put", "add", "swap"]), records, st.integers(0, 2))
histories = st.lists(st.tuples(st.lists(writes, max_size=4), st.integers(0, 2), times), max_size=12)
FILTERS: tuple[dict[str, Any], ...] = (
    {},
    {"order_by": "at", "descending": True},
    {"since": ("at", TIMES[1]), "limit": 2},
    {"at": TIMES[:2]},
    {"champion": None},
    {"champion": ["a", None], "order_by": "lease_until"},
    {"order_by": "champion", "limit": 0},
    {"order_by": "share", "descending": True, "since": ("epoch", 2)},
    {"rollout": "a", "order_by": "difference"},
    {"nonsense": 1},
    {"epoch": "three"},
    {"since": ("lease_until", TIMES[1])},
)


def written(ledger: Ledger, block: tuple[Any, ...]) -> str:
    """Carry one change out; return how it ended."""
    rows, notes, at = block
    try:
        with ledger.change("ann", at) as change:
            for mode, record, version in rows:
                if mode == "add":
                    change.add(record)
                else:
                    change.put(record, expected_version=version if mode == "swap" else None)
            for number in range(notes):
                change.note(f"test.{number}", "ä", {"n": number})
    except RecloserError as error:
        return type(error).__name__
    return "written"


def answered(ask: Any) -> Any:
    try:
        return ask()
    except RecloserError as error:
        return type(error).__name__


def all_of(ledger: Ledger) -> list[Any]:
    """Return what a reader can see."""
    found: list[Any] = [ledger.entries(), ledger.entries(after=1, limit=2), ledger.entries(subject="ä")]
    found += [ledger.verify(), ledger.length(), ledger.latest(2), ledger.latest(9, before=3, without=["test.1"])]
    for kind in TYPES:
        found += [answered(lambda kind=kind, one=one: ledger.find(kind, **one)) for one in FILTERS]
        found += [(ledger.stored(kind, key), ledger.get(kind, key), ledger.version_of(kind, key)) for key in "klä"]
    return found


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty SQLite ledger, to be copied: making one takes longer than a history."""
    path = tmp_path_factory.mktemp("empty") / "ledger.db"
    with Ledger.open(f"sqlite:///{path}"):
        pass
    return path


@given(history=histories)
@settings(max_examples=600 if os.environ.get("RECLOSER_FULL") else 60, deadline=None)
def test_it_answers_and_refuses_as_sqlite_does(empty: Path, history: list[Any]) -> None:
    with TemporaryDirectory() as folder:
        shutil.copy(empty, folder)
        self_same(Path(folder) / empty.name, history)


def self_same(path: Path, history: list[Any]) -> None:
    with Ledger.open(f"sqlite:///{path}") as real:
        fake = MemoryLedger()
        for block in history:
            assert written(fake, block) == written(real, block)
        assert repr(all_of(fake)) == repr(all_of(real))  # repr: a NaN that came back as null is equal to itself


def test_a_moment_may_be_kept_and_set_again() -> None:
    ledger = MemoryLedger()
    assert written(ledger, ([("put", StateRecord("k", T0, {"n": 1}), 0)], 1, T0)) == "written"
    kept, seen = ledger.moment, all_of(ledger)
    assert written(ledger, ([("put", StateRecord("k", T0, {"n": 2}), 0)], 1, T0)) == "written"
    assert ledger.get(StateRecord, "k").state == {"n": 2}
    ledger.moment = kept
    assert all_of(ledger) == seen
    assert ledger.verify().ok


@pytest.mark.parametrize("where", ["before", "after"])
def test_a_crash_at_a_write_leaves_all_of_it_or_nothing(where: str) -> None:
    ledger = MemoryLedger()

    def die(at: str, _change: object) -> None:
        if at == where:
            raise KeyboardInterrupt

    ledger.on_write(die)
    rows = [("add", StateRecord("k", T0, {}), 0), ("add", TripRecord("k", T0, "r", "T0", "why", []), 0)]
    with pytest.raises(KeyboardInterrupt):
        written(ledger, (rows, 1, T0))
    ledger.on_write(None)
    assert [ledger.version_of(kind, "k") for kind in (StateRecord, TripRecord)] == [where == "after"] * 2
    assert len(ledger.entries()) == (where == "after")


def lives_of_leaders(ledger: Ledger) -> list[Any]:
    """Two leaders, the first of which wakes up too late."""
    clock = VirtualClock(T0)
    found: list[Any] = []
    with Leadership(ledger, "loop", "one", clock, timedelta(minutes=1)) as first:
        found.append(written(first.ledger, ([], 1, T0)))
        found.append(answered(lambda: Leadership(ledger, "loop", "two", clock, timedelta(minutes=1)).__enter__()))
        with ledger.change("thief", T0) as change:
            state = ledger.get(StateRecord, "leader/loop")
            change.put(replace(state, state={**state.state, "epoch": 9}))
            change.note("steal", "loop")
        found.append(written(first.ledger, ([], 1, T0)))
        found.append(first.keep())
    return [*found, ledger.entries()]


def test_leaders_and_holds_are_the_same(tmp_path: Path) -> None:
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db") as real:
        assert lives_of_leaders(MemoryLedger()) == lives_of_leaders(real)
    fake = MemoryLedger()
    with fake.hold("loop"), pytest.raises(Unavailable), fake.hold("loop"):
        raise AssertionError("held twice")
    with fake.hold("loop"):
        pass


def test_what_it_cannot_do_it_says() -> None:
    with pytest.raises(InvalidInput, match="cannot be watched"):
        MemoryLedger().watch()
    assert issubclass(Refused, RecloserError)
