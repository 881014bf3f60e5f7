"""Owns the frame that GOOSE and sampled values share: APPID, length, reserved words. Does not own their content.

Source: IEC 61850-8-1:2011, annex C; IEC 61850-9-2:2011, annex A.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from recloser.connectors.capture import Event, LinkFrame
from recloser.connectors.iec61850.ber import Node, Unreadable, read_nodes

Row = dict[str, Any]
HEADER = 8


@dataclass(frozen=True, slots=True)
class Envelope:
    """The head of a frame on the station bus: identity, simulation bit, and the one node it carries."""

    appid: int
    simulated: bool
    node: Node


def rows_of(event: Event, ethertype: int, read: Callable[[bytes], Iterable[Row]]) -> Iterator[Row]:
    """Yield the rows that `read` makes of a frame of that EtherType; one with an error where it cannot."""
    if isinstance(event, LinkFrame) and event.ethertype == ethertype:
        row: Row = {"packet": event.packet}
        if len(event.payload) >= 2:
            row["appid"] = int.from_bytes(event.payload[:2])
        try:
            yield from (row | found for found in read(event.payload))
        except Unreadable as error:
            yield row | {"error": str(error)}


def read_envelope(payload: bytes, tag: int) -> Envelope:
    """Return the envelope of the bytes after the EtherType; padding after the told length is passed over.

    Raises:
        Unreadable: too short, a length that does not fit, or another content than `tag`.
    """
    if len(payload) < HEADER:
        raise Unreadable(f"a frame of {len(payload)} bytes")
    _, length, reserved, _ = struct.unpack_from(">HHHH", payload)
    if not HEADER <= length <= len(payload):
        raise Unreadable(f"the frame tells {length} bytes, {len(payload)} are there")
    nodes = read_nodes(payload[HEADER:length])
    if not nodes or nodes[0].tag != tag:
        raise Unreadable(f"expected tag 0x{tag:02x}, got {[hex(node.tag) for node in nodes]}")
    return Envelope(int.from_bytes(payload[:2]), bool(reserved & 0x8000), nodes[0])


def utc_ns(raw: bytes) -> int:
    """Return a UtcTime (seconds, 24 bits of fraction, quality) as nanoseconds since 1970 UTC, cut as Wireshark cuts.

    Raises:
        Unreadable: not eight bytes.
    """
    if len(raw) != 8:
        raise Unreadable(f"a time of {len(raw)} bytes")
    seconds, fraction = int.from_bytes(raw[:4]), int.from_bytes(raw[4:7])
    return seconds * 1_000_000_000 + (fraction * 1_000_000_000 >> 24)
