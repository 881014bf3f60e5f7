"""Owns noticing that somebody wrote to the ledger, cheaply enough to ask many times a second. Reads no record."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from recloser.core import Unavailable
from recloser.ledger.database import PUBLIC, SCHEMA, link_options

_PUBLIC_CHANNEL = "recloser_ledger"
CHANNEL = sa.case((SCHEMA == PUBLIC, _PUBLIC_CHANNEL), else_=_PUBLIC_CHANNEL + "_" + sa.func.md5(SCHEMA))
"""Name of the notifications of a PostgreSQL ledger, as its session computes it."""


class LedgerWatch:
    """Tells whether the ledger was written to since it was last asked; for one thread.

    SQLite is asked for the number that changes with every commit of another connection (`PRAGMA data_version`),
    PostgreSQL for the notifications that each change sends when it commits.

    Args:
        engine: of the ledger.
        where: the ledger, for errors.
    """

    def __init__(self, engine: sa.Engine, where: str) -> None:
        self._engine, self._where = engine, where
        self._link: Any = None
        self._seen: object = None

    def changed(self) -> bool:
        """Return whether there was a change since the last call; true when first asked, and after trouble.

        Raises:
            Unavailable: the database cannot be reached now; ask again.
        """
        driver: Any = self._engine.dialect.loaded_dbapi
        try:
            return self._look()
        except (driver.Error, exc.SQLAlchemyError, OSError) as error:
            self.close()
            raise Unavailable("the ledger cannot be watched", got=str(error), where=self._where) from error

    def _look(self) -> bool:
        fresh = self._link is None
        if fresh:
            dialect = self._engine.dialect
            words, options = dialect.create_connect_args(self._engine.url)
            options = {**options, **link_options(self._engine.url)}
            self._link = dialect.connect(*words, **options)  # of no pool, and in no transaction
        if self._engine.dialect.name == "sqlite":
            (seen,) = self._link.execute("PRAGMA data_version").fetchone()
            changed, self._seen = bool(seen != self._seen), seen
            return changed
        if fresh:
            self._link.autocommit = True
            asked = sa.select(CHANNEL).compile(dialect=dialect, compile_kwargs={"literal_binds": True})
            (channel,) = self._link.execute(str(asked)).fetchone()
            self._link.execute(f"LISTEN {channel}")
            return True
        return bool(list(self._link.notifies(timeout=0)))

    def close(self) -> None:
        """Give the connection back."""
        link, self._link, self._seen = self._link, None, None
        if link is not None:
            link.close()
