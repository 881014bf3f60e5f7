"""Owns the ledger: reads, the one way to write (a change with its audit entry in one transaction) and `verify`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy import exc

from recloser.core import Conflict, InvalidInput, Refused
from recloser.ledger.audit.chain import Entry, StoredEntry, Verification
from recloser.ledger.audit.copying import copy_database
from recloser.ledger.audit.verification import verify_database
from recloser.ledger.change import Change
from recloser.ledger.commit import Fence, write_change
from recloser.ledger.database import SERIALISED, connect, converted, reading, sqlstate, writing
from recloser.ledger.holds import Still, held_file, held_session
from recloser.ledger.mapping import RecordMapping, read_time
from recloser.ledger.schema import ENTRIES, HEAD, mapping_of
from recloser.ledger.watching import LedgerWatch

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Stored(Generic[T]):
    """A record as read, with the version that `put(..., expected_version=)` compares."""

    record: T
    version: int


class Ledger:
    """The SQL state of Recloser and its audit log.

    Thread safe; several processes may open the same ledger, but an open one is not carried over a fork. Readers see
    committed states only. One change is written at a time, in the order of the audit entries. When a change ends
    without an error it is on disk; when it raises, nothing of it is there (except that after `Unavailable` a
    PostgreSQL server may have committed and lost the connection before it could say so: repeat with the same keys).
    """

    def __init__(self, engine: sa.Engine, fence: Fence | None = None) -> None:
        self._engine = engine
        self._fence = fence
        self._where = "ledger " + engine.url.render_as_string(hide_password=True)
        self._process = os.getpid()

    @classmethod
    def open(cls, url: str) -> Ledger:
        """Open the ledger at a database URL, creating or migrating its tables.

        Args:
            url: sqlite:////absolute/path/ledger.db or postgresql+psycopg://user@host/name.

        Raises:
            InvalidInput: an unusable URL, a missing folder, not a database, no permission.
            Unavailable: the database or its driver is not there now.
            Refused: the ledger was written by a newer version.
        """
        return cls(connect(url))

    def fenced(self, fence: Fence) -> Ledger:
        """Return this ledger for a leader: each change is refused, in its transaction, once somebody newer leads."""
        return Ledger(self._engine, fence)

    def close(self) -> None:
        """Give back all connections."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def change(self, actor: str, now: datetime) -> Iterator[Change]:
        """Collect records and notes in the block and write them in one transaction at its end.

        Args:
            actor: who does it: a loop, a person, a command.
            now: when it was decided, aware UTC.

        Raises:
            InvalidInput: records without a note, or data that does not fit.
            Conflict: a key that must be new is there, or a record has another version than expected.
            Unavailable: the database cannot be written now.
        """
        change = Change(actor, now)
        try:
            yield change
        finally:
            change.end()
        change.check()
        if change.notes:
            with self._at_seam():
                self._write(change)

    def get(self, record_type: type[T], key: str) -> T | None:
        """Return the record of that key, or None."""
        found = self.stored(record_type, key)
        return None if found is None else found.record

    def stored(self, record_type: type[T], key: str) -> Stored[T] | None:
        """Return the record of that key with its version, both of one moment, or None."""
        mapping = mapping_of(record_type)
        query = mapping.select.add_columns(mapping.table.c.row_version).where(
            mapping.table.c.key == mapping.literal("key", key)
        )
        with self._at_seam(), reading(self._engine) as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else Stored(mapping.decode(row[:-1]), row[-1])

    def version_of(self, record_type: type[Any], key: str) -> int:
        """Return how often the record was written, 0 if never."""
        found = self.stored(record_type, key)
        return 0 if found is None else found.version

    def find(
        self,
        record_type: type[T],
        *,
        order_by: str = "key",
        descending: bool = False,
        limit: int | None = None,
        since: tuple[str, Any] | None = None,
        until: tuple[str, Any] | None = None,
        **equals: Any,
    ) -> list[T]:
        """Return the records whose fields equal the given values, ordered by one field and then by key.

        Args:
            record_type: which records.
            order_by: field name.
            descending: largest first.
            limit: at most so many.
            since: (field, value): only records whose field is at or after it.
            until: (field, value): only records whose field is at or before it.
            equals: field=value; None finds nulls, a list or tuple finds any of its values.

        Raises:
            InvalidInput: no such field, or a value of another type.
        """
        mapping = mapping_of(record_type)
        query = mapping.select.where(*(_equal(mapping, name, item) for name, item in equals.items()))
        if since is not None:
            query = query.where(mapping.table.c[mapping.column(since[0]).name] >= mapping.literal(*since))
        if until is not None:
            query = query.where(mapping.table.c[mapping.column(until[0]).name] <= mapping.literal(*until))
        order = [mapping.table.c[name] for name in dict.fromkeys((mapping.column(order_by).name, "key"))]
        query = query.order_by(*(column.desc() if descending else column.asc() for column in order)).limit(limit)
        with self._at_seam(), reading(self._engine) as connection:
            rows = connection.execute(query).all()
        return [mapping.decode(row) for row in rows]

    def newest_by(
        self, record_type: type[Any], group: str, time: str, *, since: datetime, **equals: Any
    ) -> dict[str, datetime]:
        """Return for each value of a field the newest time among its records, by one reading that decodes no record.

        Args:
            record_type: which records.
            group: field of text.
            time: field of the time.
            since: only records at or after it (aware UTC).
            equals: as `find`.

        Raises:
            InvalidInput: no such field, or a value of another type.
        """
        mapping = mapping_of(record_type)
        key, at = (mapping.table.c[mapping.column(name).name] for name in (group, time))
        query = sa.select(key, sa.func.max(at)).where(at >= mapping.literal(time, since)).group_by(key)
        query = query.where(*(_equal(mapping, name, item) for name, item in equals.items()))
        with self._at_seam(), reading(self._engine) as connection:
            return {name: read_time(text) for name, text in connection.execute(query)}

    def entries(self, after: int = 0, limit: int | None = None, *, subject: str | None = None) -> list[Entry]:
        """Return audit entries with seq > `after` in order, of one subject if given.

        Raises:
            Refused: an entry was damaged outside the ledger.
        """
        query = sa.select(ENTRIES).where(ENTRIES.c.seq > after).order_by(ENTRIES.c.seq).limit(limit)
        if subject is not None:
            query = query.where(ENTRIES.c.subject == subject)
        with self._at_seam(), reading(self._engine) as connection:
            rows = connection.execute(query).all()
        return [entry_of(StoredEntry(*row)) for row in rows]

    def latest(self, limit: int, *, before: int | None = None, without: Sequence[str] = ()) -> list[Entry]:
        """Return the newest audit entries, newest first, with seq < `before` and none of the actions `without`.

        Raises:
            Refused: an entry was damaged outside the ledger.
        """
        query = sa.select(ENTRIES).order_by(ENTRIES.c.seq.desc()).limit(limit)
        if before is not None:
            query = query.where(ENTRIES.c.seq < before)
        if without:
            query = query.where(ENTRIES.c.action.not_in(list(without)))
        with self._at_seam(), reading(self._engine) as connection:
            rows = connection.execute(query).all()
        return [entry_of(StoredEntry(*row)) for row in rows]

    def length(self) -> int:
        """Return the number of audit entries, which grows with every change."""
        with self._at_seam(), reading(self._engine) as connection:
            return int(connection.execute(sa.select(HEAD.c.entries).where(HEAD.c.id == 1)).scalar_one_or_none() or 0)

    def verify(self) -> Verification:
        """Check the whole audit chain, its end, and every record against the last entry that wrote it.

        Finds edited, dropped (at the end too), inserted and reordered entries, and records edited, dropped or
        inserted outside the ledger. A chain that was recomputed as a whole is only found by comparing `head` with
        one noted elsewhere.
        """
        with self._at_seam(), reading(self._engine) as connection:
            return verify_database(connection)

    def copy_to(self, target: Ledger) -> Verification:
        """Copy everything as of now into an empty ledger, on either database; this one may be in use.

        Returns:
            What `verify` finds in the copy: as many entries, and the same head.

        Raises:
            Refused: the target is not empty, or this ledger is damaged; the target is left as it was.
            Unavailable: one of the databases cannot be used now; the target is left as it was.
        """
        with self._at_seam(), reading(self._engine) as source, target.written() as connection:
            return copy_database(source, connection, target.where)

    @contextmanager
    def written(self) -> Iterator[sa.Connection]:
        """Yield a connection whose transaction is committed at the end; for copies, changes go through `change`."""
        with self._at_seam(), writing(self._engine) as connection:
            yield connection

    @property
    def where(self) -> str:
        """Return how errors name this ledger; without its password."""
        return self._where

    def watch(self) -> LedgerWatch:
        """Return what tells, at little cost, whether somebody wrote to the ledger; close it after use."""
        self._require_own_process()
        return LedgerWatch(self._engine, self._where)

    @property
    def shared(self) -> bool:
        """Return whether processes of other hosts may use this ledger too."""
        return bool(self._engine.dialect.name == "postgresql")

    @contextmanager
    def hold(self, name: str) -> Iterator[Still]:
        """Hold `name` exclusively, among all threads and processes of this ledger, until the block or the process ends.

        The block is given what tells whether the hold is still ours: a server gives it up with a lost connection.

        Raises:
            Unavailable: somebody else holds it.
        """
        with ExitStack() as stack:
            with self._at_seam():
                still = stack.enter_context(self._holder(name))
            yield still

    def _holder(self, name: str) -> AbstractContextManager[Still]:
        if self._engine.dialect.name == "sqlite":
            return held_file(Path(str(self._engine.url.database)).absolute(), name)
        return held_session(self._engine, name)

    def _write(self, change: Change) -> None:
        try:
            with writing(self._engine) as connection:
                write_change(connection, change, self._fence)
        except exc.IntegrityError as error:
            raise self._refusal(change) from error
        except exc.DBAPIError as error:
            if sqlstate(error) not in SERIALISED:
                raise
            raise Conflict(
                "the database ended the change for another one",
                got=str(error.orig).strip(),
                where=self._where,
                next_step="Nothing was written. Read it again and decide again.",
            ) from error

    def _refusal(self, change: Change) -> Refused:
        for write in change.writes:
            if write.mode == "add" and self.version_of(write.mapping.record_type, write.row["key"]):
                return Conflict(
                    "a record of that key is there already",
                    got=write.row["key"],
                    where=f"ledger table {write.mapping.table.name}",
                    next_step="Nothing was written.",
                )
        return Refused(
            "the change does not fit what is stored",
            where=self._where,
            next_step="Nothing was written. Run `recloser audit verify`.",
        )

    @contextmanager
    def _at_seam(self) -> Iterator[None]:
        self._require_own_process()
        with converted(self._where):
            yield

    def _require_own_process(self) -> None:
        if os.getpid() != self._process:
            raise InvalidInput(
                "an open ledger was carried over a fork",
                where=self._where,
                next_step="Open the ledger again in the new process.",
            )


def _equal(mapping: RecordMapping[Any], name: str, item: Any) -> sa.ColumnElement[bool]:
    column = mapping.table.c[mapping.column(name).name]
    if isinstance(item, Sequence) and not isinstance(item, str):
        return column.in_([mapping.literal(name, one) for one in item])
    return column.is_(None) if item is None else column == mapping.literal(name, item)


def entry_of(row: StoredEntry) -> Entry:
    """Return the entry of a stored row.

    Raises:
        Refused: it was damaged outside the ledger.
    """
    try:
        return Entry(
            row.seq,
            read_time(row.at),
            row.actor,
            row.action,
            row.subject,
            msgspec.json.decode(row.facts, type=dict[str, Any]),
            msgspec.json.decode(row.records, type=tuple[tuple[str, str, str], ...]),
            row.previous,
            row.hash,
        )
    except (ValueError, TypeError, msgspec.MsgspecError) as error:
        raise Refused(
            f"an audit entry that cannot be read ({error})",
            got=row.seq,
            where="audit log",
            next_step="It was changed outside Recloser: run `recloser audit verify`.",
        ) from error
