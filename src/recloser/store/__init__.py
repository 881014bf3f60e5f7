"""Owns versioned, append-only series on Delta Lake: as-of reads, pinned snapshots, maintenance.

Does not own sources of data (connectors), features, or the record of who pins which version (ledger).
"""

from recloser.store.layout import TABLE_NAME
from recloser.store.maintenance import MaintenanceResult
from recloser.store.snapshot import Snapshot, content_digest
from recloser.store.store import AppendResult, Store

__all__ = ["TABLE_NAME", "AppendResult", "MaintenanceResult", "Snapshot", "Store", "content_digest"]
