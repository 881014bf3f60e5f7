"""Owns the connection: URLs, SQLite and PostgreSQL settings, migrations and the conversion of database errors."""

from __future__ import annotations

import fcntl
import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import event, exc

from recloser.core import InvalidInput, RecloserError, Refused, Unavailable

REVISION = "0002"
WAIT_S = 30
# A server that a cut cable hides is noticed within seconds, by us and by the server: libpq's words, and the server's.
NOTICED = {"connect_timeout": 4, "keepalives_idle": 4, "keepalives_interval": 2, "keepalives_count": 3}
NOTICED |= {"tcp_user_timeout": 8000}
_NOTICED_THERE = (
    "SET tcp_keepalives_idle = 4; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3; "
    "SET tcp_user_timeout = 8000"
)
_MIGRATIONS = Path(__file__).parent / "migrations"
_VERSION_TABLE = "ledger_version"
_ALEMBIC = threading.Lock()  # Alembic keeps the migration that runs in a global of its own
_MIGRATION_LOCK = 0x52434C52  # any constant: names the PostgreSQL advisory lock that serialises migrations
PUBLIC = "public"
"""The schema that a PostgreSQL ledger has by itself. Locks and notifications are of a whole database, ledgers of a
schema: those of another schema bear its name; those of this one are named as before there were others."""
SCHEMA = sa.func.coalesce(sa.func.current_schema(), PUBLIC)


def connect(url: str) -> sa.Engine:
    """Return an engine whose database exists and has the tables of this version.

    Raises:
        InvalidInput: an unusable URL, a missing folder, not a database, no permission.
        Unavailable: the database or its driver is not there now.
        Refused: the ledger was written by a newer version.
    """
    place = _place(url)
    where = "ledger " + place.render_as_string(hide_password=True)
    with converted(where):
        engine = _sqlite(place) if place.get_backend_name() == "sqlite" else _postgresql(place)
        try:
            _require_utf8(engine, where)
            _migrate(engine, place, where)
        except BaseException:
            engine.dispose()
            raise
    return engine


def _place(url: str) -> sa.URL:
    try:
        place = sa.make_url(url)
    except exc.ArgumentError as error:
        raise InvalidInput(
            "not a database URL",
            expected="sqlite:////absolute/path/ledger.db or postgresql+psycopg://user@host/name",
            where="ledger",
        ) from error
    name = place.get_backend_name()
    if name not in {"sqlite", "postgresql"}:
        raise InvalidInput("not a database the ledger knows", got=name, expected="sqlite or postgresql", where="ledger")
    if name == "sqlite":
        if place.database in {None, "", ":memory:"} or str(place.database).startswith("file:"):
            raise InvalidInput("a ledger needs a file", expected="sqlite:////absolute/path/ledger.db", where="ledger")
        if not Path(str(place.database)).is_absolute():
            raise InvalidInput(
                "a relative path would be another ledger in each working directory",
                got=str(place.database),
                expected="sqlite:////absolute/path/ledger.db (four slashes)",
                where="ledger",
                next_step="Write the whole path.",
            )
        folder = Path(str(place.database)).absolute().parent
        if not folder.is_dir():
            raise InvalidInput(
                "the folder of the ledger does not exist", got=str(folder), where="ledger", next_step="Create it."
            )
    return place


def _sqlite(place: sa.URL) -> sa.Engine:
    wait = {} if "timeout" in place.query else {"timeout": WAIT_S}
    engine = sa.create_engine(place, connect_args=wait, pool_size=8, max_overflow=24)

    @event.listens_for(engine, "connect")
    def _settings(connection: Any, _: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, so that DDL is part of the transaction too
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        writing = connection.get_execution_options().get("writing", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine


def _postgresql(place: sa.URL) -> sa.Engine:
    try:
        engine = sa.create_engine(
            place,
            pool_pre_ping=True,
            pool_size=8,
            max_overflow=24,
            connect_args=link_options(place),
            # Writers take turns by the lock on the head; what a server has as its default would fail the later one.
            isolation_level="READ COMMITTED",
        )
    except ModuleNotFoundError as error:
        raise Unavailable(
            "the PostgreSQL driver is not installed",
            got=error.name,
            where="ledger",
            next_step="pip install 'recloser[postgres]'",
        ) from error

    @event.listens_for(engine, "connect")
    def _settings(connection: Any, _: object) -> None:
        connection.execute(f"SET lock_timeout = '{WAIT_S}s'")
        connection.execute(_NOTICED_THERE)
        connection.commit()

    return engine


def link_options(place: sa.URL) -> dict[str, Any]:
    """Return how a connection notices that its server is out of reach, unless the URL says so; it speaks UTF-8."""
    if place.get_backend_name() != "postgresql":
        return {}
    return {**{name: number for name, number in NOTICED.items() if name not in place.query}, "client_encoding": "utf8"}


def lock_key(schema: str, name: str) -> int:
    """Return the key of the advisory lock of this name for the ledger in a schema."""
    own = name if schema == PUBLIC else f"{schema}\0{name}"
    return int.from_bytes(hashlib.sha256(own.encode()).digest()[:8], "big", signed=True)


def _require_utf8(engine: sa.Engine, where: str) -> None:
    if engine.dialect.name == "sqlite":
        return
    with engine.connect() as connection:
        encoding = connection.execute(sa.text("SHOW server_encoding")).scalar_one()
    if encoding != "UTF8":
        raise InvalidInput(
            "the database cannot hold every text",
            got=f"encoding {encoding}",
            expected="UTF8",
            where=where,
            next_step="Create it anew: CREATE DATABASE name ENCODING 'UTF8' TEMPLATE template0.",
        )


@contextmanager
def writing(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Yield a connection in a transaction that holds SQLite's write lock from its start; commits at the end."""
    with engine.connect().execution_options(writing=True) as connection, connection.begin():
        yield connection


@contextmanager
def reading(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Yield a connection that sees one state of the database throughout."""
    level = {} if engine.dialect.name == "sqlite" else {"isolation_level": "REPEATABLE READ"}
    with engine.connect().execution_options(**level) as connection, connection.begin():
        yield connection


def _migrate(engine: sa.Engine, place: sa.URL, where: str) -> None:
    if _revision(engine) == REVISION:
        return
    if engine.dialect.name == "sqlite":
        with _folder_lock(Path(str(place.database)).absolute().parent):
            _use_wal(engine)
            _upgrade(engine, where)
    else:
        _upgrade(engine, where)


def _revision(engine: sa.Engine) -> str | None:
    with engine.connect() as connection:
        if not sa.inspect(connection).has_table(_VERSION_TABLE):
            return None
        return connection.execute(sa.select(sa.column("version_num")).select_from(sa.table(_VERSION_TABLE))).scalar()


def _upgrade(engine: sa.Engine, where: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    with writing(engine) as connection:
        if engine.dialect.name == "postgresql":
            schema = connection.execute(sa.select(SCHEMA)).scalar_one()
            key = _MIGRATION_LOCK if schema == PUBLIC else lock_key(schema, "migration")
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})
        config.attributes.update(connection=connection, version_table=_VERSION_TABLE)
        try:
            with _ALEMBIC:
                command.upgrade(config, "head")
        except CommandError as error:
            raise Refused(
                "the ledger was written by a newer version of Recloser",
                got=str(error),
                where=where,
                next_step="Upgrade Recloser, or open another ledger.",
            ) from error


@contextmanager
def _folder_lock(folder: Path) -> Iterator[None]:
    # Changing the journal mode does not wait for a busy database, so only one process may do it at a time.
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _use_wal(engine: sa.Engine) -> None:
    raw = engine.raw_connection()
    try:
        cursor = raw.cursor()
        mode = cursor.execute("PRAGMA journal_mode=WAL").fetchone()
        cursor.close()
    finally:
        raw.close()
    if mode is None or mode[0] != "wal":
        raise Unavailable(
            "SQLite cannot use its write-ahead log here",
            got=mode,
            where="ledger",
            next_step="Put the ledger on a local disk.",
        )


_Cause = tuple[type[RecloserError], str, str]

_GONE: _Cause = (Refused, "a table or column of the ledger is gone", "Restore the ledger from a backup.")
_FOREIGN: _Cause = (
    InvalidInput,
    "the database holds tables of another program",
    "Give the ledger a database of its own.",
)
_FULL: _Cause = (Unavailable, "the disk is full", "Free some space, then try again.")
_LOCKED: _Cause = (Unavailable, "another process keeps the database locked", "Try again.")
_READ_ONLY: _Cause = (Unavailable, "the database is read-only", "Check the permissions of the file and its folder.")

_SAID_CAUSES: dict[str, _Cause] = {  # SQLite, and PostgreSQL before a session has a SQLSTATE
    "file is not a database": (InvalidInput, "the file is not a database", "Name another file."),
    "unable to open database": (InvalidInput, "the file cannot be opened", "Check the path and its permissions."),
    "readonly database": _READ_ONLY,
    "database is locked": _LOCKED,
    "is full": _FULL,
    "disk i/o error": (Unavailable, "the disk failed", "Check the disk and its free space."),
    "malformed": (Unavailable, "the database file is damaged", "Restore it from a backup."),
    "could not decode to utf-8": (Refused, "stored text was damaged", "Run `recloser audit verify`."),
    "already exists": _FOREIGN,
    "no such table": _GONE,
    "no such column": _GONE,
    '" does not exist': (InvalidInput, "there is no such database or role on the server", "Correct the URL."),
    "authentication failed": (InvalidInput, "the server does not accept this role", "Correct the URL."),
}

SERIALISED = ("40001", "40P01")
"""SQLSTATEs of transactions that the server ended because of another one; nothing of them was written."""

_POSTGRESQL_CAUSES: dict[str, _Cause] = {  # by SQLSTATE, PostgreSQL manual appendix A
    "3D000": (InvalidInput, "there is no such database on the server", "Create it."),
    "3F000": (
        InvalidInput,
        "there is no such schema in the database",
        "Create it, or correct the search_path in the URL.",
    ),
    "28000": (InvalidInput, "the server does not accept this role", "Correct the URL."),
    "28P01": (InvalidInput, "the server does not accept this password", "Correct the URL."),
    "42501": (InvalidInput, "the database role lacks a permission", "Grant it."),
    "42P07": _FOREIGN,
    "42P01": _GONE,
    "42703": _GONE,
    "55P03": _LOCKED,
    "53100": _FULL,
    "25006": (
        Unavailable,
        "the database takes no writes",
        "Name the server that does, not its standby; see default_transaction_read_only.",
    ),
    **dict.fromkeys(SERIALISED, _LOCKED),
}


def sqlstate(error: exc.SQLAlchemyError) -> str | None:
    """Return PostgreSQL's word for an error, None where there is none."""
    state: str | None = getattr(getattr(error, "orig", None), "sqlstate", None)
    return state


def _cause_of(error: exc.SQLAlchemyError, detail: str) -> _Cause:
    state = sqlstate(error)
    if state in _POSTGRESQL_CAUSES:
        return _POSTGRESQL_CAUSES[state]
    for saying, cause in _SAID_CAUSES.items():
        if saying in detail.lower():
            return cause
    return Unavailable, "the database did not answer as expected", "Check that the database runs, then try again."


@contextmanager
def converted(where: str) -> Iterator[None]:
    """Turn database errors of the block into Unavailable, InvalidInput or Refused."""
    try:
        yield
    except exc.TimeoutError as error:
        raise Unavailable("too many readers at once", where=where, next_step="Try again.") from error
    except exc.SQLAlchemyError as error:
        detail = str(getattr(error, "orig", None) or error).strip()
        kind, what, next_step = _cause_of(error, detail)
        raise kind(what, got=detail, where=where, next_step=next_step) from error
    except OSError as error:
        raise Unavailable("the file system failed", got=str(error), where=where) from error
