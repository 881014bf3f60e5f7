"""A backup is whole, signed and of one moment; what is restored of it is the project, or nothing is there."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recloser.app import (
    check_installation,
    current_forecast,
    ingest_file,
    project_status,
    restore_backup,
    verify_backup,
    write_backup,
)
from recloser.app.logs.keeping import ProcessLog
from recloser.cli.main import main
from recloser.core import InvalidInput, Refused, Unavailable
from recloser.ledger import Ledger
from recloser.store import Store
from recloser.testing import COLUMNS, load_file, small_grid


def written(folder: Path, out: Path, *, private: bool = True) -> dict[str, Any]:
    return write_backup(folder, out=out, private=private, actor="tester")


def restored(file: Path, into: Path, key: str, ledger: str | None = None) -> dict[str, Any]:
    return restore_backup(file, into=into, keys=None, key_id=key, ledger=ledger, actor="tester")


def ledger_of(folder: Path) -> Ledger:
    return Ledger.open(f"sqlite:///{(folder / 'state' / 'ledger.db').resolve()}")


def states(folder: Path) -> dict[str, str]:
    """Return what the doctor says of each thing."""
    return {check["name"]: check["state"] for check in check_installation(folder)["checks"]}


def test_a_restored_project_answers_as_the_original(served: Path, tmp_path: Path) -> None:
    told = written(served, tmp_path / "grid.backup")
    back = restored(tmp_path / "grid.backup", tmp_path / "again", told["key"])
    assert (back["entries"], back["head"]) == (told["entries"], told["head"])
    assert current_forecast(tmp_path / "again", area=None, as_of=None) == current_forecast(
        served, area=None, as_of=None
    )
    assert project_status(tmp_path / "again")["route"] == project_status(served)["route"]
    assert states(tmp_path / "again") == states(served)
    names = {path.relative_to(served).as_posix() for path in served.rglob("*") if path.is_file()}
    kept = {path.relative_to(tmp_path / "again").as_posix() for path in (tmp_path / "again").rglob("*")}
    passing = ("writer.lock", "_last_checkpoint", ".db-wal", ".db-shm", ".hold")
    assert {name for name in names - kept if not name.endswith(passing)} == set()
    with ledger_of(served) as original, ledger_of(tmp_path / "again") as ledger:
        assert original.entries()[-1].action == "backup.write"
        assert ledger.entries()[-1].action == "backup.restore"
        assert ledger.entries(limit=told["entries"]) == original.entries(limit=told["entries"])


def test_a_restored_project_goes_on(served: Path, tmp_path: Path) -> None:
    key = written(served, tmp_path / "grid.backup")["key"]
    restored(tmp_path / "grid.backup", tmp_path / "again", key)
    more = small_grid(125).frame()
    ingest_file(tmp_path / "again", load_file(tmp_path / "more.parquet", more), COLUMNS)
    assert main(["run", "--project", str(tmp_path / "again"), "--json"], io.StringIO()) in {0, 1}
    assert main(["audit", "verify", "--project", str(tmp_path / "again")], io.StringIO()) == 0


def test_another_backup_is_not_in_a_backup(served: Path) -> None:
    first = written(served, served / "one.backup")
    second = written(served, served / "two.backup")
    assert second["files"] == first["files"]


def test_without_the_private_key_it_verifies_and_says_what_is_missing(served: Path, tmp_path: Path) -> None:
    told = written(served, tmp_path / "grid.backup", private=False)
    back = restored(tmp_path / "grid.backup", tmp_path / "again", told["key"])
    assert not back["private_key"]
    assert "Put the private signing key back" in back["sentence"]
    assert not (tmp_path / "again" / "state" / "keys" / "signing.pem").exists()
    assert b"PRIVATE KEY" not in (tmp_path / "grid.backup").read_bytes()


def test_files_have_the_permissions_they_had(served: Path, tmp_path: Path) -> None:
    for name, mode in (("consumer.secret", 0o600), ("notify.sh", 0o755), ("notes.md", 0o644), ("locked.csv", 0o400)):
        (served / name).write_text("x", encoding="utf-8")
        (served / name).chmod(mode)
    told = written(served, tmp_path / "grid.backup")
    restored(tmp_path / "grid.backup", tmp_path / "again", told["key"])
    modes = {
        name: (tmp_path / "again" / name).stat().st_mode & 0o777
        for name in ("consumer.secret", "notify.sh", "notes.md", "locked.csv")
    }
    assert modes == {"consumer.secret": 0o600, "notify.sh": 0o755, "notes.md": 0o644, "locked.csv": 0o600}


def test_the_archive_and_its_secrets_are_for_the_owner_only(served: Path, tmp_path: Path) -> None:
    told = written(served, tmp_path / "grid.backup")
    restored(tmp_path / "grid.backup", tmp_path / "again", told["key"])
    for path in (tmp_path / "grid.backup", tmp_path / "again" / "state" / "keys" / "signing.pem"):
        assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("place", [0.02, 0.3, 0.7, 0.999])
def test_one_changed_byte_is_refused(served: Path, tmp_path: Path, place: float) -> None:
    file = tmp_path / "grid.backup"
    key = written(served, file)["key"]
    content = bytearray(file.read_bytes())
    content[int(place * len(content))] ^= 1
    file.write_bytes(content)
    with pytest.raises(Refused):
        verify_backup(file, keys=None, key_id=key)
    with pytest.raises(Refused):
        restored(file, tmp_path / "again", key)
    assert not (tmp_path / "again").exists()


def test_a_bundle_is_no_backup_and_nobody_is_trusted_by_default(served: Path, tmp_path: Path) -> None:
    file = tmp_path / "grid.backup"
    key = written(served, file)["key"]
    with pytest.raises(InvalidInput, match="nobody is trusted"):
        verify_backup(file, keys=None, key_id=None)
    with pytest.raises(Refused):
        verify_backup(file, keys=None, key_id="key-0000000000000000")
    out = io.StringIO()
    assert main(["bundle", "verify", str(file), "--key-id", key, "--json"], out) == 1


def test_nothing_is_restored_over_what_is_there(served: Path, tmp_path: Path) -> None:
    key = written(served, tmp_path / "grid.backup")["key"]
    before = (served / "recloser.toml").read_bytes()
    with pytest.raises(InvalidInput, match="not empty"):
        restored(tmp_path / "grid.backup", served, key)
    assert (served / "recloser.toml").read_bytes() == before


def test_only_one_backup_at_a_time(served: Path, tmp_path: Path) -> None:
    with ledger_of(served) as ledger, ledger.hold("backup"), pytest.raises(Unavailable):
        written(served, tmp_path / "grid.backup")
    assert not (tmp_path / "grid.backup").exists()


def test_a_ledger_is_restored_into_a_database_of_ones_own(served: Path, tmp_path: Path) -> None:
    told = written(served, tmp_path / "grid.backup")
    url = f"sqlite:///{tmp_path / 'elsewhere.db'}"
    back = restored(tmp_path / "grid.backup", tmp_path / "again", told["key"], url)
    assert back["entries"] == told["entries"]
    assert not (tmp_path / "again" / "state" / "ledger.db").exists()
    with Ledger.open(url) as ledger:
        assert ledger.verify().ok
    with pytest.raises(Refused, match="not empty"):
        restored(tmp_path / "grid.backup", tmp_path / "third", told["key"], url)
    assert not (tmp_path / "third").exists()


@pytest.fixture
def busy(served: Path) -> Iterator[Path]:
    """A project that takes in data and logs all the while."""
    over = threading.Event()
    frame, base = small_grid(120).frame(), datetime(2020, 4, 1, tzinfo=UTC)
    store = Store.open(served / "state" / "store", timedelta(hours=1))

    def work() -> None:
        number = 0
        while not over.is_set():
            number += 1
            part = frame.filter(pl.col("at") == base + timedelta(hours=number % 300)).with_columns(
                value=pl.col("value") + number / 1000, available_at=pl.lit(base + timedelta(days=30, minutes=number))
            )
            store.append(part, source="busy")

    writer = threading.Thread(target=work)
    writer.start()
    try:
        yield served
    finally:
        over.set()
        writer.join()


def test_a_backup_of_a_project_at_work_is_whole(busy: Path, tmp_path: Path) -> None:
    told = written(busy, tmp_path / "grid.backup")
    restored(tmp_path / "grid.backup", tmp_path / "again", told["key"])
    store = Store.open(tmp_path / "again" / "state" / "store", timedelta(hours=1))
    assert store.version() >= 0
    assert store.read(areas=["F01"], as_of=datetime(2021, 1, 1, tzinfo=UTC)).frame.height > 0
    assert states(tmp_path / "again") == states(busy)


@pytest.mark.slow
@pytest.mark.parametrize("after", [0.05, 0.3, 0.8])
def test_a_killed_backup_leaves_no_archive_and_the_next_one_works(served: Path, tmp_path: Path, after: float) -> None:
    out = tmp_path / "grid.backup"
    words = ["backup", "--out", str(out), "--project", str(served), "--json"]
    child = subprocess.Popen(
        [sys.executable, "-c", f"import sys; from recloser.cli.main import main; sys.exit(main({words!r}))"],
        stdout=subprocess.DEVNULL,
    )
    staging = served / "state" / ".backup"
    while child.poll() is None and not staging.exists():
        time.sleep(0.005)
    time.sleep(after * 0.2)
    if child.poll() is None:
        os.kill(child.pid, signal.SIGKILL)
    child.wait()
    if out.exists():
        key = written(served, tmp_path / "other.backup")["key"]
        assert verify_backup(out, keys=None, key_id=key)["ok"]
    told = written(served, out)
    assert verify_backup(out, keys=None, key_id=told["key"])["head"] == told["head"]
    assert not staging.exists()


def test_what_processes_said_is_not_in_a_backup(served: Path, tmp_path: Path) -> None:
    ProcessLog(served / "state" / "logs", "controller", 1)("a line")
    told = written(served, tmp_path / "grid.backup")
    restored(tmp_path / "grid.backup", tmp_path / "again", told["key"])
    assert not (tmp_path / "again" / "state" / "logs").exists()
