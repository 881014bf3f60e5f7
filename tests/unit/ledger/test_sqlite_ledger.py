"""What is particular to a ledger in a SQLite file: its settings, and what goes wrong with files."""

from __future__ import annotations

import os
import resource
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from recloser.core import InvalidInput, RecloserError, Unavailable
from recloser.ledger import ForecastRecord, FreezeRecord, Ledger, PinRecord
from recloser.ledger.database import REVISION

NOW = datetime(2020, 3, 1, 9, tzinfo=UTC)
ROOT = os.geteuid() == 0


def url(folder: Path, more: str = "") -> str:
    return f"sqlite:///{folder}/ledger.db{more}"


def write(ledger: Ledger, key: str, owner: str = "o") -> None:
    with ledger.change("test", NOW) as change:
        change.put(PinRecord(key, "t", 1, "d", owner, NOW))
        change.note("pin.add", key)


def test_the_file_uses_the_write_ahead_log_and_leaves_nothing_else(tmp_path: Path) -> None:
    with Ledger.open(url(tmp_path)) as ledger:
        write(ledger, "p1")
        with ledger.hold("run 1"):
            pass
    raw = sqlite3.connect(tmp_path / "ledger.db")
    assert raw.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert raw.execute("SELECT version_num FROM ledger_version").fetchone() == (REVISION,)
    raw.close()
    assert [path.name for path in tmp_path.iterdir()] == ["ledger.db"]


def test_the_named_revision_is_the_newest_migration() -> None:
    folder = Path(sys.modules[Ledger.__module__].__file__ or "").parent / "migrations" / "versions"
    assert max(path.name for path in folder.glob("*.py")).startswith(REVISION)


def test_a_ledger_of_the_first_version_is_migrated_and_keeps_its_chain(tmp_path: Path) -> None:
    script = (Path(__file__).parent / "fixtures" / "ledger-0001.sql").read_text(encoding="utf-8")
    raw = sqlite3.connect(tmp_path / "ledger.db")
    raw.executescript(script)
    assert raw.execute("SELECT version_num FROM ledger_version").fetchone() == ("0001",)
    raw.close()
    freeze = FreezeRecord("freeze-1", NOW, "ann", "storm", NOW, None, None, None, None)
    with Ledger.open(url(tmp_path)) as ledger:
        assert ledger.get(PinRecord, "p1") == PinRecord("p1", "t", 1, "d", "o", NOW)
        assert (ledger.verify().ok, ledger.verify().entries) == (True, 2)
        with ledger.change("ann", NOW) as change:
            change.add(freeze)
            change.note("freeze.add", freeze.key)
        assert ledger.find(FreezeRecord) == [freeze]
        assert (ledger.verify().ok, ledger.verify().entries) == (True, 3)


def test_opening_and_migrating_says_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Ledger.open(url(tmp_path)).close()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "ledger.db",
        "mysql://x/y",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///rel.db",
        "sqlite:////no/such/folder/ledger.db",
    ],
)
def test_unusable_urls_are_explained(bad: str) -> None:
    with pytest.raises(InvalidInput):
        Ledger.open(bad)


def test_a_folder_or_another_file_is_no_ledger(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").mkdir()
    with pytest.raises(InvalidInput, match="cannot be opened"):
        Ledger.open(url(tmp_path))
    (tmp_path / "notes.txt").write_text("not a database, but long enough to look like one: " * 40)
    with pytest.raises(InvalidInput, match="not a database"):
        Ledger.open(f"sqlite:///{tmp_path}/notes.txt")


@pytest.mark.skipif(ROOT, reason="root may read everything")
def test_an_unreadable_file_is_explained(tmp_path: Path) -> None:
    Ledger.open(url(tmp_path)).close()
    (tmp_path / "ledger.db").chmod(0)
    with pytest.raises(InvalidInput, match="cannot be opened"):
        Ledger.open(url(tmp_path))


def test_a_database_that_stays_locked_is_unavailable(tmp_path: Path) -> None:
    with Ledger.open(url(tmp_path, "?timeout=0.05")) as ledger:
        other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="locked"):
            write(ledger, "p1")
        assert ledger.find(PinRecord) == []  # reading goes on
        other.execute("ROLLBACK")
        other.close()
        write(ledger, "p1")
        assert ledger.verify().ok


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_takes_no_more_is_unavailable_and_harms_nothing(tmp_path: Path) -> None:
    with Ledger.open(url(tmp_path)) as ledger:
        written = []

        def fill() -> None:
            for number in range(1000):
                write(ledger, f"p{number}", owner="o" * 20_000)
                written.append(f"p{number}")

        with file_size_limit(600_000), pytest.raises(Unavailable):
            fill()
        assert written
        assert sorted(written) == [record.key for record in ledger.find(PinRecord)]
        write(ledger, "q")
    with Ledger.open(url(tmp_path)) as ledger:
        assert ledger.verify().ok


@pytest.mark.parametrize("damage", ["x'c328ff'", "x'00'", "12", "NULL"])
def test_values_of_any_type_put_in_by_hand_are_found(tmp_path: Path, damage: str) -> None:
    with Ledger.open(url(tmp_path)) as ledger:
        write(ledger, "p1")
        write(ledger, "p2")
    raw = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    raw.execute("PRAGMA ignore_check_constraints = ON")
    raw.execute("PRAGMA writable_schema = ON")
    raw.execute("UPDATE sqlite_schema SET sql = replace(sql, 'owner TEXT NOT NULL', 'owner TEXT') WHERE name = 'pins'")
    raw.execute("PRAGMA writable_schema = RESET")
    raw.execute(f"UPDATE pins SET owner = CAST({damage} AS TEXT) WHERE key = 'p2'")  # noqa: S608 - constants
    raw.close()
    with Ledger.open(url(tmp_path)) as ledger:
        found = ledger.verify()
        assert (found.ok, found.first_bad, found.entries) == (False, 2, 2)
        assert ledger.get(PinRecord, "p1") is not None


def test_a_dropped_table_is_refused(tmp_path: Path) -> None:
    Ledger.open(url(tmp_path)).close()
    raw = sqlite3.connect(tmp_path / "ledger.db")
    raw.execute("DROP TABLE pins")
    raw.close()
    with Ledger.open(url(tmp_path)) as ledger, pytest.raises(RecloserError, match="gone"):
        ledger.verify()


def test_a_ledger_carried_over_a_fork_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Ledger.open(url(tmp_path)) as ledger:
        monkeypatch.setattr(os, "getpid", lambda: -1)
        with pytest.raises(InvalidInput, match="fork"):
            ledger.find(PinRecord)
        with pytest.raises(InvalidInput, match="fork"), ledger.hold("run 1"):
            pass


def test_forecasts_of_a_fleet_are_written_and_found_by_index(tmp_path: Path) -> None:
    answers = {model: [[1.0, 2.0, 3.0]] * 48 for model in ("rel-1", "rel-2")}
    fleet = [
        ForecastRecord(
            f"f{n}", f"a{n}", NOW, NOW, NOW, NOW, "r", "r", "", [], [0.5], answers, False, None, None, None
        )
        for n in range(24)
    ]  # fmt: skip
    with Ledger.open(url(tmp_path)) as ledger:
        with ledger.change("serve", NOW) as change:
            change.add_all(fleet)
            change.note("forecast.issue", "fleet")
        assert ledger.find(ForecastRecord, area="a7", void=False, order_by="issued_at", descending=True) == [fleet[7]]
        assert len(ledger.entries()[0].records) == 24
    raw = sqlite3.connect(tmp_path / "ledger.db")
    plan = "EXPLAIN QUERY PLAN SELECT * FROM forecasts WHERE "
    hot = raw.execute(plan + "area = 'a' AND void = 0 ORDER BY issued_at DESC").fetchall()
    recall = raw.execute(plan + "last_target >= '2020'").fetchall()
    raw.close()
    assert "ix_forecasts_area_void_issued_at" in hot[0][3]
    assert "TEMP B-TREE" not in str(hot)
    assert "ix_forecasts_last_target" in recall[0][3]
