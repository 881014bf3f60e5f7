"""Owns copying a whole ledger into an empty one, on either database, and proving the copy. Changes no record."""

from __future__ import annotations

import sqlalchemy as sa

from recloser.core import Refused
from recloser.ledger.audit.chain import Verification
from recloser.ledger.audit.verification import verify_database
from recloser.ledger.schema import ENTRIES, HEAD, MAPPINGS

_BATCH = 500


def copy_database(source: sa.Connection, target: sa.Connection, where: str) -> Verification:
    """Copy every entry and record that `source` sees into the empty ledger `target`, and verify what lies there then.

    Args:
        source: sees one state throughout.
        target: in a transaction that the caller commits; nothing of it is to be kept when this raises.
        where: names the target in errors.

    Raises:
        Refused: the target holds entries already, or the source is damaged, so that its copy does not verify.
    """
    if target.execute(sa.select(sa.func.count()).select_from(ENTRIES)).scalar():
        raise Refused(
            "the ledger to copy into is not empty",
            where=where,
            next_step="Name an empty database; nothing was written.",
        )
    for table in (ENTRIES, *(mapping.table for mapping in MAPPINGS.values())):
        _copy_rows(source, target, table)
    target.execute(sa.delete(HEAD))
    _copy_rows(source, target, HEAD)
    found = verify_database(target)
    if not found.ok:
        raise Refused(
            "the ledger does not verify, so its copy is worth nothing",
            got=found.reason,
            where=where,
            next_step="Run `recloser audit verify` on the original.",
        )
    return found


def _copy_rows(source: sa.Connection, target: sa.Connection, table: sa.Table) -> None:
    rows = source.execution_options(yield_per=_BATCH).execute(sa.select(table))
    for part in rows.mappings().partitions():
        target.execute(sa.insert(table), [dict(row) for row in part])
