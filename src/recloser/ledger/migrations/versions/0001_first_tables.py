# ruff: noqa: INP001 - Alembic loads this file by its path, it is no module of a package
"""First tables: thirteen record types, the audit entries and their head. Never edited after release."""

from collections.abc import Mapping

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None

_TEXT = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
_KINDS: Mapping[str, sa.types.TypeEngine] = {  # type: ignore[type-arg]
    "text": _TEXT,
    "int": sa.BigInteger(),
    "float": sa.Double(),
    "bool": sa.Boolean(),
}

# "name" is text, "name:kind" another kind, a trailing "?" allows null; the first column is the primary key.
_TABLES = {
    "runs": "key trigger reason as_of state started_at finished_at? candidate? verdict? parameters",
    "steps": "key run name position:int state attempts:int input_digest result? error? started_at finished_at?",
    "releases": "key digest path run created_at state model_version? facts",
    "verdicts": "key release at verdict reason checks evidence_digest",
    "rollouts": "key release champion? state since started_at finished_at? share:float reason plan evidence",
    "routes": "key epoch:int champion? canary? share:float cohort shadow? fallback lease_until? reason at",
    "forecasts": "key area issued_at made_at first_target last_target release served_by reason targets quantiles "
    "answers void:bool void_at? void_reason? replaced_by?",
    "paired_days": "key rollout day difference:float n:int closed_at facts",
    "signals": "key at signal_class severity areas since reason evidence closed_at?",
    "trips": "key at release tier reason recalled",
    "triggers": "key at kind reason decision why run?",
    "pins": "key table_name version:int digest owner at",
    "states": "key at state",
}

_INDEXES = {
    "forecasts": (("area", "void", "issued_at"), ("issued_at",), ("first_target",), ("last_target",)),
    "signals": (("at",),),
    "rollouts": (("state",),),
    "paired_days": (("rollout",),),
    "steps": (("run",),),
    "runs": (("state",),),
    "triggers": (("at",),),
    "trips": (("at",),),
    "verdicts": (("release",),),
    "audit_entries": (("subject",),),
}

_SQLITE_GUARD = """
CREATE TRIGGER audit_entries_no_{verb} BEFORE {verb} ON audit_entries
BEGIN SELECT RAISE(ABORT, 'audit entries are never changed'); END
"""

_POSTGRESQL_GUARD = """
CREATE FUNCTION audit_entries_guard() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'audit entries are never changed'; END $$;
CREATE TRIGGER audit_entries_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entries
FOR EACH STATEMENT EXECUTE FUNCTION audit_entries_guard();
"""


def upgrade() -> None:
    """Create everything."""
    for table, columns in _TABLES.items():
        op.create_table(
            table,
            *(_column(text, first=index == 0) for index, text in enumerate(columns.split())),
            sa.Column("row_version", sa.BigInteger(), nullable=False),
        )
    _audit_tables()
    for table, indexes in _INDEXES.items():
        for names in indexes:
            op.create_index(f"ix_{table}_{'_'.join(names)}", table, list(names))


def _column(text: str, *, first: bool) -> sa.Column:  # type: ignore[type-arg]
    name, _, kind = text.rstrip("?").partition(":")
    return sa.Column(name, _KINDS[kind or "text"], primary_key=first, nullable=text.endswith("?"))


def _audit_tables() -> None:
    texts = ("at", "actor", "action", "subject", "facts", "records", "previous", "hash")
    op.create_table(
        "audit_entries",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=False),
        *(sa.Column(name, _TEXT, nullable=False) for name in texts),
    )
    head = op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("entries", sa.BigInteger(), nullable=False),
        sa.Column("hash", _TEXT, nullable=False),
    )
    op.bulk_insert(head, [{"id": 1, "entries": 0, "hash": "0" * 64}])
    if op.get_bind().dialect.name == "sqlite":
        op.execute(_SQLITE_GUARD.format(verb="UPDATE"))
        op.execute(_SQLITE_GUARD.format(verb="DELETE"))
    else:
        op.execute(_POSTGRESQL_GUARD)
