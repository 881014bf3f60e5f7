"""Owns exclusive holds between processes and threads that end with their holder, however it ends. Keeps no records."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import exc

from recloser.core import Unavailable
from recloser.ledger.database import SCHEMA, lock_key

Still = Callable[[], bool]
"""Tells whether a hold is still ours; asks the server where there is one."""


@contextmanager
def held_file(database: Path, name: str) -> Iterator[Still]:
    """Hold `name` by an advisory lock on a file beside the database; the kernel releases it when the process dies.

    Raises:
        Unavailable: somebody else holds it.
    """
    path = database.with_name(f"{database.name}.{hashlib.sha256(name.encode()).hexdigest()[:16]}.hold")
    handle = _lock(path, name)
    try:
        yield lambda: True
    finally:
        with suppress(FileNotFoundError):
            path.unlink()  # still locked: whoever waits for this file finds that it is no longer the one on disk
        os.close(handle)


def _lock(path: Path, name: str) -> int:
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and path.stat().st_ino == os.fstat(handle).st_ino:
                return handle
        except BlockingIOError as error:
            os.close(handle)
            raise _taken(name) from error
        except FileNotFoundError:
            pass
        os.close(handle)


@contextmanager
def held_session(engine: sa.Engine, name: str) -> Iterator[Still]:
    """Hold `name` by a PostgreSQL session lock; the server releases it when the connection ends.

    Raises:
        Unavailable: somebody else holds it.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        key = lock_key(connection.execute(sa.select(SCHEMA)).scalar_one(), name)
        if not connection.execute(sa.select(sa.func.pg_try_advisory_lock(key))).scalar():
            raise _taken(name)

        def still() -> bool:
            try:
                connection.execute(sa.select(1))
            except exc.SQLAlchemyError:
                return False
            return True

        try:
            yield still
        finally:
            with suppress(exc.SQLAlchemyError):  # now: a server ends a session only some time after it was left
                connection.execute(sa.select(sa.func.pg_advisory_unlock(key)))
            connection.invalidate()  # ends the session, and with it the lock, even if the server is gone


def _taken(name: str) -> Unavailable:
    return Unavailable(
        "held by another process", got=name, where="ledger hold", next_step="Wait until it is done, then try again."
    )
