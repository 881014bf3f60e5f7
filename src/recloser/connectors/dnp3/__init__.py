"""Owns DNP3 (IEEE 1815) as recorded: link frames, transport, application fragments, objects. Does not own sockets."""

from recloser.connectors.dnp3.application import Fragment, Point, read_fragment
from recloser.connectors.dnp3.link import LinkFrame, crc, link_frame, measure, read_link
from recloser.connectors.dnp3.rows import Dnp3Rows
from recloser.connectors.dnp3.transport import Transport

__all__ = [
    "Dnp3Rows",
    "Fragment",
    "LinkFrame",
    "Point",
    "Transport",
    "crc",
    "link_frame",
    "measure",
    "read_fragment",
    "read_link",
]
