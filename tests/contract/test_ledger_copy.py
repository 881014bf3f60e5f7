"""A copy of a ledger is equal to it, from either database into either, also while it is written to."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from recloser.core import Refused
from recloser.ledger import Ledger, PinRecord, StateRecord

NOW = datetime(2020, 3, 1, 9, tzinfo=UTC)


def pin(key: str, owner: str = "because") -> PinRecord:
    return PinRecord(key, "samples", 1, "sha256", owner, NOW)


@pytest.fixture
def filled(ledger_url: str) -> Iterator[Ledger]:
    with Ledger.open(ledger_url) as opened:
        for number in range(1, 4):
            with opened.change("tester", NOW) as change:
                change.put(StateRecord("cursor", NOW, {"number": number, "word": "Zürich", "deep": [1, None, 2.5]}))
                change.add(pin(f"pin-{number}"))
                change.note("test.write", f"subject-{number}", {"number": number})
        yield opened


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.services)])
def empty(request: Any, tmp_path: Path) -> Iterator[Ledger]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'copy.db'}"
    else:
        url = request.getfixturevalue("postgresql_cluster").new_place()
    with Ledger.open(url) as opened:
        yield opened


def test_a_copy_has_the_same_entries_records_and_versions(filled: Ledger, empty: Ledger) -> None:
    found = filled.copy_to(empty)
    assert found == filled.verify() == empty.verify()
    assert empty.entries() == filled.entries()
    assert empty.find(PinRecord) == filled.find(PinRecord)
    assert empty.stored(StateRecord, "cursor") == filled.stored(StateRecord, "cursor")


def test_a_copy_goes_on_by_itself(filled: Ledger, empty: Ledger) -> None:
    filled.copy_to(empty)
    with empty.change("tester", NOW) as change:
        change.put(StateRecord("cursor", NOW, {"number": 4}), expected_version=3)
        change.note("test.write", "subject-4", {})
    assert empty.verify().ok
    assert empty.verify().entries == filled.verify().entries + 1


def test_nothing_is_copied_over_what_is_there(filled: Ledger, empty: Ledger) -> None:
    with empty.change("tester", NOW) as change:
        change.note("test.write", "another", {})
    before = empty.verify()
    with pytest.raises(Refused, match="not empty"):
        filled.copy_to(empty)
    assert empty.verify() == before


def test_a_copy_is_of_one_moment(filled: Ledger, empty: Ledger) -> None:
    over, begun = threading.Event(), threading.Event()

    def write() -> None:
        number = 100
        while not over.is_set():
            with filled.change("writer", NOW) as change:
                change.add_all([pin(f"pin-{number}-{k}", "busy") for k in range(20)])
                change.note("test.busy", str(number), {})
            number += 1
            begun.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert begun.wait(60)
        found = filled.copy_to(empty)
    finally:
        over.set()
        writer.join()
    assert found.ok
    busy = [entry for entry in empty.entries() if entry.action == "test.busy"]
    assert busy
    assert len(empty.find(PinRecord, owner="busy")) == 20 * len(busy)


def test_a_damaged_ledger_is_not_copied(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with Ledger.open(f"sqlite:///{path}") as opened, Ledger.open(f"sqlite:///{tmp_path / 'copy.db'}") as target:
        with opened.change("tester", NOW) as change:
            change.add(pin("pin-1"))
            change.note("test.write", "subject", {})
        with sqlite3.connect(path) as raw:
            raw.execute("UPDATE pins SET owner = 'other'")
        raw.close()
        with pytest.raises(Refused, match="does not verify"):
            opened.copy_to(target)
        assert target.verify().entries == 0
        assert target.find(PinRecord) == []
