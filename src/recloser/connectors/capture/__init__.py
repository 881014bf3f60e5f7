"""Owns reading recorded network traffic: capture files, link layers, IP, TCP streams in order, UDP datagrams.

Does not own any grid protocol, nor live sockets.
"""

from recloser.connectors.capture.cutting import Cut, Cutter, shown
from recloser.connectors.capture.events import Chunk, Damage, Ended, Endpoint, Event, LinkFrame, Packet
from recloser.connectors.capture.file import read_packets
from recloser.connectors.capture.stream import ByteStream, Unfinished
from recloser.connectors.capture.traffic import Traffic, read_traffic

__all__ = [
    "ByteStream",
    "Chunk",
    "Cut",
    "Cutter",
    "Damage",
    "Ended",
    "Endpoint",
    "Event",
    "LinkFrame",
    "Packet",
    "Traffic",
    "Unfinished",
    "read_packets",
    "read_traffic",
    "shown",
]
