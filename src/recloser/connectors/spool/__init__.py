"""Owns store-and-forward: readings durable on disk before they are acknowledged, then in the store exactly once."""

from recloser.connectors.spool.forwarding import Forwarder, ReadingSink
from recloser.connectors.spool.record import Batch, Gap
from recloser.connectors.spool.spool import Spool, SpoolPolicy, SpoolStatus

__all__ = ["Batch", "Forwarder", "Gap", "ReadingSink", "Spool", "SpoolPolicy", "SpoolStatus"]
