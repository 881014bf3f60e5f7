# ruff: noqa: INP001 - Alembic loads this file by its path, it is no module of a package
"""What people decide, freezes, and notices with their deliveries: four more tables. Never edited after release."""

from collections.abc import Mapping

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"

_TEXT = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
_KINDS: Mapping[str, sa.types.TypeEngine] = {  # type: ignore[type-arg]
    "text": _TEXT,
    "int": sa.BigInteger(),
    "bool": sa.Boolean(),
}

# "name" is text, "name:kind" another kind, a trailing "?" allows null; the first column is the primary key.
_TABLES = {
    "acts": "key at rollout release kind name role? reason evidence_digest expires_at? followed:bool?",
    "freezes": "key at actor reason starts_at ends_at? lifted_at? lifted_by? lift_reason?",
    "notices": "key at kind subject data",
    "deliveries": "key notice channel at state attempts:int error?",
}
_INDEXES = (("acts", "rollout"), ("notices", "at"), ("deliveries", "notice"))


def upgrade() -> None:
    """Create the tables; nothing that was there changes."""
    for table, columns in _TABLES.items():
        op.create_table(
            table,
            *(_column(text, first=index == 0) for index, text in enumerate(columns.split())),
            sa.Column("row_version", sa.BigInteger(), nullable=False),
        )
    for table, column in _INDEXES:
        op.create_index(f"ix_{table}_{column}", table, [column])


def _column(text: str, *, first: bool) -> sa.Column:  # type: ignore[type-arg]
    name, _, kind = text.rstrip("?").partition(":")
    return sa.Column(name, _KINDS[kind or "text"], primary_key=first, nullable=text.endswith("?"))
