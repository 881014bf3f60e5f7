"""Owns following IEC 104 connections in a capture, and the rows of `decode`. Does not own the data units' meaning."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from typing import Any

from recloser.connectors.capture import Cut, Endpoint, Event
from recloser.connectors.capture.conversations import Conversations
from recloser.connectors.iec104.asdu import Asdu, read_asdu
from recloser.connectors.iec104.types import CAUSES

Row = dict[str, Any]
START, PORT, CONTROL = 0x68, 2404, 4
FUNCTIONS = {
    0x07: "STARTDT act",
    0x0B: "STARTDT con",
    0x13: "STOPDT act",
    0x23: "STOPDT con",
    0x43: "TESTFR act",
    0x83: "TESTFR con",
}
NO_QUALITY = {"iv": None, "nt": None, "sb": None, "bl": None, "ov": None}


def measure(data: bytearray) -> int:
    """Return the length of the unit at the front of a stream, as `Cutter` asks for it."""
    if data[0] != START:
        place = data.find(START)
        return -(len(data) if place < 0 else place)
    if len(data) < 2:
        return 0
    return data[1] + 2 if data[1] >= CONTROL else -1


def looks_like(data: bytes) -> bool:
    """Return whether the bytes are whole units and nothing else, so that a connection on any port is known."""
    place = 0
    while place + 6 <= len(data):
        if data[place] != START or not CONTROL <= data[place + 1] <= 253 or not _control_fits(data[place : place + 6]):
            return False
        place += data[place + 1] + 2
    return 0 < place == len(data)


def _control_fits(head: bytes) -> bool:
    length, first = head[1], head[2]
    if not first & 1:
        return length >= 10 and not head[4] & 1
    if first & 3 == 1:
        return length == CONTROL and head[2] == 1 and head[3] == 0 and not head[4] & 1
    return length == CONTROL and first in FUNCTIONS and head[3:6] == b"\0\0\0"


class Iec104Rows:
    """Turns the events of a capture into rows: one an information object, one an S or U format unit.

    Args:
        ports: further ones on which the protocol is spoken, besides the registered one.
    """

    def __init__(self, ports: Collection[int] = ()) -> None:
        self._conversations = Conversations(measure, looks_like, (PORT, *ports))

    def add(self, event: Event) -> Iterator[Row]:
        """Yield the rows of the units that this event completes."""
        for cut, place in self._conversations.add(event):
            yield from rows_of(cut, place.source)

    def pending(self) -> int | None:
        """Return the earliest packet that a row told later may name."""
        return self._conversations.pending()

    def finish(self) -> Iterator[Row]:
        """Yield the rows of units that the capture ends in."""
        for cut, source in self._conversations.finish():
            yield from rows_of(cut, source)


def rows_of(cut: Cut, source: Endpoint) -> Iterator[Row]:
    """Yield the rows of one unit."""
    row: Row = {"packet": cut.packet, "source": f"{source.host}:{source.port}"}
    if cut.error is not None:
        yield row | {"format": None, "error": cut.error}
        return
    first, send, receive = cut.data[2], *struct.unpack_from("<HH", cut.data, 2)
    if first & 1:
        yield row | _control(cut.data, receive >> 1)
        return
    row |= {"format": "I", "ns": send >> 1, "nr": receive >> 1}
    asdu = read_asdu(cut.data[6:])
    if asdu is None:
        yield row | {"error": "a unit too short for a data unit"}
        return
    row |= _head(asdu)
    if not asdu.objects:
        yield (
            row | ({"raw": asdu.raw.hex()} if asdu.raw else {}) | ({} if asdu.error is None else {"error": asdu.error})
        )
    for item in asdu.objects:
        defaults = {"element": None, "quality": NO_QUALITY, "t_ns": None}
        yield row | {"ioa": item.address} | defaults | item.parts


def _control(data: bytes, receive: int) -> Row:
    first = data[2]
    extra = {} if len(data) == CONTROL + 2 else {"error": f"a control unit of {len(data)} bytes"}
    if first & 3 == 1:
        return {"format": "S", "nr": receive} | extra
    name = FUNCTIONS.get(first)
    unknown = {} if name else {"error": f"control function 0x{first:02x} is not defined"}
    return {"format": "U", "function": name} | unknown | extra


def _head(asdu: Asdu) -> Row:
    return {
        "type_id": asdu.type_id,
        "type_name": asdu.name,
        "sq": int(asdu.sequence),
        "cot": asdu.cause,
        "cause": CAUSES.get(asdu.cause, "undefined"),
        "negative": asdu.negative,
        "test": asdu.test,
        "oa": asdu.originator,
        "ca": asdu.common_address,
    }
