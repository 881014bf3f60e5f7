"""Owns DNP3 (IEEE 1815) as recorded: link frames, transport, application fragments, objects. Does not own sockets."""

from recloser.connectors.dnp3.application import Fragment, Point, read_fragment
from recloser.connectors.dnp3.link import LinkFrame, crc, link_frame, read_link
from recloser.connectors.dnp3.rows import Dnp3Rows

__all__ = ["Dnp3Rows", "Fragment", "LinkFrame", "Point", "crc", "link_frame", "read_fragment", "read_link"]
