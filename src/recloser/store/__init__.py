"""Owns versioned series on Delta Lake (as-of reads, pinned snapshots, upkeep), logged predictions, live readings.

Does not own sources of data (connectors), features, or the record of who pins which version (ledger).
"""

from recloser.store.layout import TABLE_NAME
from recloser.store.maintenance import MaintenanceResult
from recloser.store.predictions import PREDICTION_SCHEMA, PredictionTable
from recloser.store.readings import READING_SCHEMA, ReadingTable
from recloser.store.snapshot import Snapshot, content_digest
from recloser.store.store import AppendResult, Store

__all__ = [
    "PREDICTION_SCHEMA",
    "READING_SCHEMA",
    "TABLE_NAME",
    "AppendResult",
    "MaintenanceResult",
    "PredictionTable",
    "ReadingTable",
    "Snapshot",
    "Store",
    "content_digest",
]
