"""Owns store-and-forward: readings durable on disk before they are acknowledged, then in the store exactly once."""

from recloser.connectors.spool.forwarding import Forwarder, ReadingSink, SpoolSource
from recloser.connectors.spool.reading import SealedSpool
from recloser.connectors.spool.record import Batch, Gap, LinkChange, Record
from recloser.connectors.spool.spool import Spool, SpoolPolicy, SpoolStatus

__all__ = [
    "Batch",
    "Forwarder",
    "Gap",
    "LinkChange",
    "ReadingSink",
    "Record",
    "SealedSpool",
    "Spool",
    "SpoolPolicy",
    "SpoolSource",
    "SpoolStatus",
]
