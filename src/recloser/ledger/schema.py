"""Owns the tables: one per record type, the audit entries and their head. How they came about is in `migrations`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import sqlalchemy as sa

from recloser.core import InvalidInput
from recloser.ledger import records
from recloser.ledger.mapping import TEXT, RecordMapping

T = TypeVar("T")

METADATA = sa.MetaData()

_TABLE_NAMES: Mapping[type[Any], str] = {
    records.RunRecord: "runs",
    records.StepRecord: "steps",
    records.ReleaseRecord: "releases",
    records.VerdictRecord: "verdicts",
    records.RolloutRecord: "rollouts",
    records.RouteRecord: "routes",
    records.ForecastRecord: "forecasts",
    records.PairedDayRecord: "paired_days",
    records.SignalRecord: "signals",
    records.TripRecord: "trips",
    records.TriggerRecord: "triggers",
    records.PinRecord: "pins",
    records.StateRecord: "states",
    records.ActRecord: "acts",
    records.FreezeRecord: "freezes",
    records.NoticeRecord: "notices",
    records.DeliveryRecord: "deliveries",
}

MAPPINGS: Mapping[type[Any], RecordMapping[Any]] = {
    record_type: RecordMapping(record_type, name, METADATA) for record_type, name in _TABLE_NAMES.items()
}

ENTRIES = sa.Table(
    "audit_entries",
    METADATA,
    sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=False),
    sa.Column("at", TEXT, nullable=False),
    sa.Column("actor", TEXT, nullable=False),
    sa.Column("action", TEXT, nullable=False),
    sa.Column("subject", TEXT, nullable=False),
    sa.Column("facts", TEXT, nullable=False),
    sa.Column("records", TEXT, nullable=False),
    sa.Column("previous", TEXT, nullable=False),
    sa.Column("hash", TEXT, nullable=False),
)

HEAD = sa.Table(
    "audit_head",
    METADATA,
    sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
    sa.Column("entries", sa.BigInteger(), nullable=False),
    sa.Column("hash", TEXT, nullable=False),
)

_INDEXES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("forecasts", ("area", "void", "issued_at")),
    ("forecasts", ("issued_at",)),
    ("forecasts", ("first_target",)),
    ("forecasts", ("last_target",)),
    ("signals", ("at",)),
    ("rollouts", ("state",)),
    ("paired_days", ("rollout",)),
    ("steps", ("run",)),
    ("runs", ("state",)),
    ("triggers", ("at",)),
    ("trips", ("at",)),
    ("verdicts", ("release",)),
    ("audit_entries", ("subject",)),
    ("acts", ("rollout",)),
    ("notices", ("at",)),
    ("deliveries", ("notice",)),
)

for _table_name, _columns in _INDEXES:
    _table = METADATA.tables[_table_name]
    sa.Index(f"ix_{_table_name}_{'_'.join(_columns)}", *(_table.c[name] for name in _columns))


def mapping_of(record_type: type[T]) -> RecordMapping[T]:
    """Return how records of that type are stored.

    Raises:
        InvalidInput: the ledger keeps no such type.
    """
    mapping = MAPPINGS.get(record_type)
    if mapping is None:
        raise InvalidInput(
            "not a record type of the ledger",
            got=getattr(record_type, "__name__", record_type),
            expected="one of " + ", ".join(sorted(known.__name__ for known in MAPPINGS)),
        )
    return mapping
