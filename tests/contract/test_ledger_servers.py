"""Servers as their owners set them up: schemas beside each other, other defaults, other encodings."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from recloser.core import Conflict, InvalidInput, Unavailable
from recloser.ledger import Ledger, StateRecord

pytestmark = pytest.mark.services
NOW = datetime(2020, 3, 1, 9, tzinfo=UTC)


def write(ledger: Ledger, key: str) -> None:
    with ledger.change("test", NOW) as change:
        change.put(StateRecord(key, NOW, {"text": "\u2013 € ü"}))
        change.note("test", key)


@pytest.fixture
def server(postgresql_cluster: Any) -> Iterator[psycopg.Connection]:
    place = f"host={postgresql_cluster.folder} user=postgres dbname=postgres"
    with psycopg.connect(place, autocommit=True) as connection:
        yield connection


def database(server: psycopg.Connection, name: str, more: str = "") -> str:
    server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
    server.execute(f"CREATE DATABASE {name} {more}".encode())
    return f"postgresql+psycopg://postgres@/{name}?host={server.info.host}"


def test_ledgers_in_two_schemas_of_a_database_leave_each_other_alone(postgresql_cluster: Any) -> None:
    with Ledger.open(postgresql_cluster.new_place()) as one, Ledger.open(postgresql_cluster.new_place()) as two:
        with one.hold("controller"), two.hold("controller"), pytest.raises(Unavailable), one.hold("controller"):
            raise AssertionError("one name was held twice")
        with closing(one.watch()) as watch, closing(two.watch()) as other:
            assert watch.changed()
            assert other.changed()
            write(one, "a")
            assert any(watch.changed() or threading.Event().wait(0.02) for _ in range(500))
            assert not other.changed()


def test_the_schema_that_a_database_has_by_itself_keeps_its_lock_and_its_channel(server: psycopg.Connection) -> None:
    url = database(server, "of_before")
    with (
        psycopg.connect(f"host={server.info.host} user=postgres dbname=of_before", autocommit=True) as before,
        Ledger.open(url) as ledger,
    ):
        before.execute("LISTEN recloser_ledger")
        write(ledger, "a")
        assert list(before.notifies(timeout=10, stop_after=1))
        key = -4519607186551441464  # the first eight bytes of SHA-256 of the name
        before.execute("SELECT pg_advisory_lock(%s)", [key])
        with pytest.raises(Unavailable), ledger.hold("controller"):
            raise AssertionError("an older process would hold it too")


@pytest.mark.parametrize("level", ["serializable", "repeatable read"])
def test_writers_take_turns_whatever_the_server_s_default_isolation_is(level: str, server: psycopg.Connection) -> None:
    url = database(server, "isolated")
    server.execute(f"ALTER DATABASE isolated SET default_transaction_isolation = '{level}'".encode())
    failed: list[Exception] = []
    with Ledger.open(url) as ledger:

        def many(writer: int) -> None:
            for number in range(10):
                try:
                    write(ledger, f"{writer}/{number}")
                except Exception as error:  # noqa: BLE001 - told to the test's own thread
                    failed.append(error)

        threads = [threading.Thread(target=many, args=(writer,)) for writer in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        assert len(ledger.find(StateRecord)) == 40
        assert ledger.verify().ok


@pytest.mark.parametrize("state", ["40001", "40P01"])
def test_a_change_that_the_server_ends_for_another_one_is_to_be_decided_again(
    state: str, server: psycopg.Connection
) -> None:
    with (
        Ledger.open(database(server, "contended")) as ledger,
        psycopg.connect(f"host={server.info.host} user=postgres dbname=contended", autocommit=True) as other,
    ):
        ends = f"BEGIN RAISE EXCEPTION 'ended for another one' USING ERRCODE = '{state}'; END"
        other.execute(f"CREATE FUNCTION ends() RETURNS trigger LANGUAGE plpgsql AS $${ends}$$".encode())
        other.execute("CREATE TRIGGER ends BEFORE INSERT ON states EXECUTE FUNCTION ends()")
        with pytest.raises(Conflict, match="ended for another one"):
            write(ledger, "a")
        other.execute("DROP TRIGGER ends ON states")
        write(ledger, "a")
        assert len(ledger.entries()) == 1


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_that_cannot_hold_every_text_is_refused(encoding: str, server: psycopg.Connection) -> None:
    url = database(server, "narrow", f"ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    with pytest.raises(InvalidInput, match=rf"encoding {encoding}.*UTF8"):
        Ledger.open(url)


def test_a_client_of_another_encoding_is_none(server: psycopg.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    with Ledger.open(database(server, "wide")) as ledger:
        write(ledger, "a")
        found = ledger.get(StateRecord, "a")
    assert found is not None
    assert found.state == {"text": "\u2013 € ü"}


def test_a_schema_that_is_not_there_is_told(server: psycopg.Connection) -> None:
    url = f"postgresql+psycopg://postgres@/postgres?host={server.info.host}&options=-csearch_path%3Dnowhere"
    with pytest.raises(InvalidInput, match="no such schema"):
        Ledger.open(url)


def test_a_server_that_takes_no_writes_is_told_as_one(server: psycopg.Connection) -> None:
    url = database(server, "still")
    Ledger.open(url).close()
    server.execute("ALTER DATABASE still SET default_transaction_read_only = on")
    with Ledger.open(url) as ledger, pytest.raises(Unavailable, match=r"takes no writes.*standby"):
        write(ledger, "a")
