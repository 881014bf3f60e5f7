"""Owns IEC 61850 as recorded on the station bus: GOOSE and sampled values. Does not own MMS, nor sockets."""

from recloser.connectors.iec61850.ber import Node, Unreadable, read_nodes
from recloser.connectors.iec61850.goose import GooseRows
from recloser.connectors.iec61850.sampled import SampledValueRows

__all__ = ["GooseRows", "Node", "SampledValueRows", "Unreadable", "read_nodes"]
