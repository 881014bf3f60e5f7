"""Owns durable, checksummed, numbered records in segment files: append, read back, recover after any end of the writer.

Does not own what a record says, nor when it is written: that is the prediction log's and the spool's.
"""

from recloser.journal.file import OpenFile, SegmentFile
from recloser.journal.folder import (
    LogInUse,
    Segment,
    discard,
    identity_of,
    keep,
    quarantine,
    segments,
    sync_folder,
    take_lock,
    write_durably,
)
from recloser.journal.frame import Damage, Scan, scan
from recloser.journal.journal import Journal
from recloser.journal.recovery import Recovery, Takeover, examine, finish

__all__ = [
    "Damage",
    "Journal",
    "LogInUse",
    "OpenFile",
    "Recovery",
    "Scan",
    "Segment",
    "SegmentFile",
    "Takeover",
    "discard",
    "examine",
    "finish",
    "identity_of",
    "keep",
    "quarantine",
    "scan",
    "segments",
    "sync_folder",
    "take_lock",
    "write_durably",
]
