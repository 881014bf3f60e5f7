"""Owns the check of a whole ledger: the audit chain first, then every record against it. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from recloser.core import InvalidInput
from recloser.ledger.audit.chain import ChainWalk, Head, StoredEntry, Verification
from recloser.ledger.mapping import RecordMapping, row_digest
from recloser.ledger.schema import ENTRIES, HEAD, MAPPINGS

_BATCH = 500


def verify_database(connection: sa.Connection) -> Verification:
    """Return what a walk over all entries and then all records finds, in the state the connection sees."""
    walk = ChainWalk()
    with _any_text(connection):
        walk.walk(StoredEntry(*row) for row in _stream(connection, sa.select(ENTRIES).order_by(ENTRIES.c.seq)))
        row = connection.execute(sa.select(HEAD.c.entries, HEAD.c.hash).where(HEAD.c.id == 1)).one_or_none()
        walk.close(None if row is None else Head(*row))
        if walk.fault is None:
            walk.fault = _record_fault(connection, walk)
    return walk.verification()


def _record_fault(connection: sa.Connection, walk: ChainWalk) -> tuple[int, str] | None:
    faults = [fault for mapping in MAPPINGS.values() for fault in _faults(connection, mapping, walk)]
    faults += [
        (seq, f"{table} record {key!r} is gone; entry {seq} wrote it") for (table, key), (_, seq) in walk.latest.items()
    ]
    return min(faults, default=None)


def _faults(connection: sa.Connection, mapping: RecordMapping[Any], walk: ChainWalk) -> Iterator[tuple[int, str]]:
    table = mapping.table.name
    names = [column.name for column in mapping.columns]
    for row in _stream(connection, mapping.select):
        digest, seq = walk.latest.pop((table, row[0]), (b"", walk.count + 1))
        if not digest:
            yield seq, f"{table} record {row[0]!r} was inserted: no entry wrote it"
        elif _digest(table, dict(zip(names, row, strict=True))) != digest:
            yield seq, f"{table} record {row[0]!r} was edited: it is not what entry {seq} wrote"


def _digest(table: str, values: dict[str, Any]) -> bytes:
    try:
        return bytes.fromhex(row_digest(table, values))
    except (InvalidInput, UnicodeEncodeError):
        return b""


def _stream(connection: sa.Connection, query: sa.Select[Any]) -> Iterator[Any]:
    return iter(connection.execution_options(yield_per=_BATCH).execute(query))


@contextmanager
def _any_text(connection: sa.Connection) -> Iterator[None]:
    # Damaged UTF-8 in a SQLite file must be found, not stop the search.
    if connection.dialect.name != "sqlite":
        yield
        return
    raw: Any = connection.connection.dbapi_connection
    raw.text_factory = lambda content: content.decode(errors="surrogateescape")
    try:
        yield
    finally:
        raw.text_factory = str
