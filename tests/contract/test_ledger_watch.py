"""Whoever watches a ledger hears of every change, by whomever, and of nothing else; on SQLite and on PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from recloser.core import InvalidInput, Unavailable
from recloser.ledger import Ledger, StateRecord

NOW = datetime(2020, 3, 1, 9, tzinfo=UTC)


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    with Ledger.open(ledger_url) as opened:
        yield opened


def write(ledger: Ledger, key: str) -> None:
    with ledger.change("test", NOW) as change:
        change.put(StateRecord(key, NOW, {}))
        change.note("test", key)


def heard(watch: object) -> bool:
    """Ask until there is something; a notification may take a moment to arrive."""
    pause = threading.Event()
    return any(watch.changed() or pause.wait(0.02) for _ in range(500))  # type: ignore[attr-defined]


def test_a_watch_hears_of_each_change_once(ledger: Ledger, ledger_url: str) -> None:
    with closing(ledger.watch()) as watch, Ledger.open(ledger_url) as other:
        assert watch.changed()
        assert not watch.changed()
        for writer in (ledger, other, ledger):
            write(writer, "k")
            assert heard(watch)
            assert not watch.changed()
        assert ledger.get(StateRecord, "k") is not None
        with pytest.raises(InvalidInput), other.change("test", NOW) as change:  # a record without a note
            change.put(StateRecord("k", NOW, {}))
        assert not watch.changed()


def test_a_watch_that_was_closed_begins_anew(ledger: Ledger) -> None:
    watch = ledger.watch()
    assert watch.changed()
    watch.close()
    write(ledger, "k")
    assert watch.changed()
    assert not watch.changed()
    watch.close()
    watch.close()


def test_a_ledger_that_is_gone_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    with Ledger.open(f"sqlite:///{tmp_path}/state/ledger.db") as opened:
        watch = opened.watch()
        assert watch.changed()
        watch.close()
        (tmp_path / "state").rename(tmp_path / "moved")
        with pytest.raises(Unavailable):
            watch.changed()
        (tmp_path / "moved").rename(tmp_path / "state")
        assert watch.changed()
        watch.close()
