"""Owns the writing of one change inside an open transaction: rows, audit entries, head. Opens no transaction."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from recloser.core import Conflict, Refused
from recloser.ledger.audit.chain import Head, StoredEntry, entry_hash
from recloser.ledger.change import Change, Mode, Write
from recloser.ledger.mapping import RecordMapping
from recloser.ledger.records import StateRecord
from recloser.ledger.schema import ENTRIES, HEAD, mapping_of
from recloser.ledger.watching import CHANNEL

_LOCK_HEAD = sa.select(HEAD.c.entries, HEAD.c.hash).where(HEAD.c.id == 1).with_for_update()
_NOTIFY = sa.select(sa.func.pg_notify(CHANNEL, ""))
_MOVE_HEAD = sa.update(HEAD).where(HEAD.c.id == 1).values(entries=sa.bindparam("seq"), hash=sa.bindparam("last"))


@dataclass(frozen=True, slots=True)
class Fence:
    """The token of a leader: the StateRecord `key` has this `epoch` as long as nobody newer leads."""

    key: str
    epoch: int


def write_change(connection: sa.Connection, change: Change, fence: Fence | None = None) -> None:
    """Write all records of a change, then its audit entries, then the head.

    The head row is locked first, which makes writers of a PostgreSQL ledger take turns as SQLite's do.

    Raises:
        Conflict: a record has another version than expected.
        Refused: a newer leader is there than the fence's, or the head is gone.
        sqlalchemy.exc.IntegrityError: a key that must be new is there.
    """
    head = _locked_head(connection)
    if fence is not None:
        _require_lead(connection, fence)
    for (mapping, mode), group in itertools.groupby(change.writes, key=lambda write: (write.mapping, write.mode)):
        _write_rows(connection, mapping, mode, list(group))
    entries = chained(change, head)
    connection.execute(sa.insert(ENTRIES), [entry._asdict() for entry in entries])
    connection.execute(_MOVE_HEAD, {"seq": entries[-1].seq, "last": entries[-1].hash})
    if connection.dialect.name == "postgresql":
        connection.execute(_NOTIFY)  # reaches those who watch when the transaction commits


def _locked_head(connection: sa.Connection) -> Head:
    row = connection.execute(_LOCK_HEAD).one_or_none()
    if row is None:
        raise Refused(
            "the head of the audit log is gone",
            where="ledger",
            next_step="Nothing was written. Restore the ledger from a backup.",
        )
    return Head(*row)


def _require_lead(connection: sa.Connection, fence: Fence) -> None:
    table = mapping_of(StateRecord).table
    text = connection.execute(sa.select(table.c.state).where(table.c.key == fence.key)).scalar()
    epoch = None if text is None else msgspec.json.decode(text).get("epoch")
    if epoch != fence.epoch:
        raise Refused(
            "another process leads by now",
            got=f"epoch {fence.epoch}",
            expected=f"epoch {epoch}",
            where=fence.key,
            next_step="Nothing was written. This process must end.",
        )


def _write_rows(connection: sa.Connection, mapping: RecordMapping[Any], mode: Mode, writes: list[Write]) -> None:
    if mode == "swap":
        for write in writes:
            _swap(connection, write)
        return
    rows = [{**write.row, "row_version": 1} for write in writes]
    connection.execute(sa.insert(mapping.table) if mode == "add" else _upsert(connection.dialect.name, mapping), rows)


@cache
def _upsert(dialect: str, mapping: RecordMapping[Any]) -> sa.Insert:
    insert: Any = (sqlite if dialect == "sqlite" else postgresql).insert(mapping.table)
    news = {column.name: insert.excluded[column.name] for column in mapping.columns if column.name != "key"}
    upsert: sa.Insert = insert.on_conflict_do_update(
        index_elements=["key"], set_={**news, "row_version": mapping.table.c.row_version + 1}
    )
    return upsert


def _swap(connection: sa.Connection, write: Write) -> None:
    table = write.mapping.table
    news = {name: item for name, item in write.row.items() if name != "key"}
    done = connection.execute(
        sa.update(table)
        .where(table.c.key == write.row["key"], table.c.row_version == write.expected_version)
        .values(**news, row_version=write.expected_version + 1)
    )
    if done.rowcount != 1:
        raise Conflict(
            "somebody else changed the record in between",
            got=write.row["key"],
            expected=f"version {write.expected_version}",
            where=f"ledger table {table.name}",
            next_step="Nothing was written. Read it again and decide again.",
        )


def chained(change: Change, head: Head) -> list[StoredEntry]:
    """Return the audit entries of a change that follow `head`."""
    entries: list[StoredEntry] = []
    previous, records = head.hash, change.digests()
    for seq, note in enumerate(change.notes, start=head.entries + 1):
        draft = StoredEntry(
            seq, change.at, change.actor, note.action, note.subject, note.facts, records, previous, hash=""
        )
        entries.append(draft._replace(hash=entry_hash(draft)))
        previous, records = entries[-1].hash, "[]"
    return entries
