"""Whoever watches a ledger hears of every change, by whomever, and of nothing else; on SQLite and on PostgreSQL."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from recloser.core import InvalidInput, Unavailable
from recloser.ledger import Ledger, LedgerWatch, StateRecord

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


def cut_off(url: str, watch: LedgerWatch) -> None:
    """End the connection that a watch listens on: by the server where there is one, else under its hands."""
    if url.startswith("sqlite"):
        watch._link.close()
        return
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        words = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN %'"
        ended = [row[0] for row in connection.execute(sa.text(words))]
    engine.dispose()
    assert ended == [True]


def noticed(watch: LedgerWatch) -> bool:
    """Ask until there is something, as those who watch do: trouble is asked past."""
    pause = threading.Event()
    for _ in range(500):
        try:
            if watch.changed():
                return True
        except Unavailable:
            pass
        pause.wait(0.02)
    return False


def test_a_lost_connection_is_noticed_and_nothing_written_meanwhile_or_after_is_missed(
    ledger: Ledger, ledger_url: str
) -> None:
    with closing(ledger.watch()) as watch, Ledger.open(ledger_url) as other:
        assert watch.changed()
        cut_off(ledger_url, watch)
        write(other, "meanwhile")
        assert noticed(watch), "what was written while nobody listened"
        assert not watch.changed()
        write(other, "after")
        assert noticed(watch), "it listens again"
        assert not watch.changed()


def test_a_change_of_another_process_is_noticed(ledger: Ledger, ledger_url: str) -> None:
    program = (
        "import sys; from datetime import UTC, datetime; from recloser.ledger import Ledger\n"
        "with Ledger.open(sys.argv[1]) as ledger, ledger.change('test', datetime(2020, 3, 1, tzinfo=UTC)) as change:\n"
        "    change.note('test', 'elsewhere')\n"
    )
    with closing(ledger.watch()) as watch:
        assert watch.changed()
        assert not watch.changed()
        subprocess.run([sys.executable, "-c", program, ledger_url], check=True)
        assert noticed(watch)


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
