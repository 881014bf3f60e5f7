"""Owns following Modbus TCP in a capture: headers, responses matched to requests, and the rows of `decode`."""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Collection, Iterator
from typing import Any

from recloser.connectors.capture import Chunk, Cut, Cutter, Ended, Endpoint, Event
from recloser.connectors.capture.conversations import Conversations
from recloser.connectors.modbus.pdu import EXCEPTIONS, Pdu, read_pdu

Row = dict[str, Any]
PORT, HEADER, LONGEST = 502, 7, 260
OPEN_REQUESTS = 1_024  # of one connection
Route = tuple[Endpoint, Endpoint, int]


def measure(data: bytes | bytearray) -> int:
    """Return the length of the frame at the front of a stream, as `Cutter` asks for it.

    A frame longer than the standard allows is one all the same: there are servers that answer 127 registers at once.
    """
    if len(data) <= HEADER:
        return 0
    protocol, length = struct.unpack_from(">HH", data, 2)
    return 6 + int(length) if protocol == 0 and length >= 2 and data[HEADER] & 0x7F else -len(data)


def looks_like(data: bytes) -> bool:
    """Return whether the bytes are whole frames and nothing else, so that a connection on any port is known."""
    place = 0
    while place + HEADER < len(data):
        length = measure(data[place : place + HEADER + 1])
        if not 0 < length <= LONGEST or data[place + HEADER] & 0x7F > 43:
            return False
        place += length
    return 0 < place == len(data)


class ModbusRows:
    """Turns the events of a capture into rows, one a request or response.

    Args:
        ports: further ones on which the protocol is spoken, besides the registered one.
    """

    def __init__(self, ports: Collection[int] = ()) -> None:
        self._ports = frozenset((PORT, *ports))
        self._conversations = Conversations(measure, looks_like, self._ports, wary=True)
        self._clients: dict[Route, tuple[Endpoint, bool]] = {}  # and whether a frame has shown it
        self._open: dict[Route, OrderedDict[tuple[int, int], tuple[int, Pdu]]] = {}

    def add(self, event: Event) -> Iterator[Row]:
        """Yield the rows of the frames that this event completes."""
        for cut, place in self._conversations.add(event):
            yield self._row(cut, place)
        if isinstance(event, Chunk) and event.transport == "udp":
            known = not self._ports.isdisjoint((event.source.port, event.target.port))
            yield from (self._row(cut, event) for cut in (_datagram(event) if known else ()))

    def pending(self) -> int | None:
        """Return the earliest packet that a row told later may name."""
        return self._conversations.pending()

    def finish(self) -> Iterator[Row]:
        """Yield the rows of frames that the capture ends in."""
        for cut, _ in self._conversations.finish():
            yield _damaged(cut)

    def _row(self, cut: Cut, chunk: Chunk | Ended) -> Row:
        if cut.error is not None:
            return _damaged(cut)
        transaction, _, _, unit = struct.unpack_from(">HHHB", cut.data)
        first, second = sorted((chunk.source, chunk.target), key=lambda end: (end.host, end.port))
        route = (first, second, chunk.connection)
        request = self._is_request(route, chunk, cut.data[HEADER:])
        pdu = read_pdu(cut.data[HEADER:], request=request)
        row: Row = {"packet": cut.packet, "transaction": transaction, "unit": unit, "function": pdu.function}
        row["request"] = request
        waiting = self._open.setdefault(route, OrderedDict())
        asked = None
        if request:
            waiting[transaction, unit] = (cut.packet, pdu)
            if len(waiting) > OPEN_REQUESTS:
                waiting.popitem(last=False)
        else:
            asked = waiting.pop((transaction, unit), None)
            row["request_packet"] = None if asked is None else asked[0]
        return row | _told(pdu, None if asked is None else asked[1])

    def _is_request(self, route: Route, chunk: Chunk | Ended, data: bytes) -> bool:
        """Return whether a frame is a request: sent to the registered port, else by its form, else by who spoke first.

        The first frame whose length fits the one or the other alone tells which side is the client.
        """
        if (chunk.source.port in self._ports) != (chunk.target.port in self._ports):
            return chunk.target.port in self._ports
        client, shown = self._clients.get(route, (chunk.source, False))
        if not shown:
            asks, answers = (read_pdu(data, request=request).error is None for request in (True, False))
            if asks != answers:
                client, shown = chunk.source if asks else chunk.target, True
            self._clients[route] = client, shown
        return client == chunk.source


def _told(pdu: Pdu, asked: Pdu | None) -> Row:
    """Return the parts of a row that the frame tells, a response's address and count taken from its request."""
    address, count, bits = pdu.address, pdu.count, pdu.bits
    if asked is not None and asked.function == pdu.function:
        address = asked.address if address is None else address
        count = asked.count if count is None else count
        bits = bits[:count] if bits is not None else None
    row: Row = {
        "address": address,
        "count": count,
        "registers": None if pdu.registers is None else list(pdu.registers),
        "bits": None if bits is None else list(bits),
        "exception": pdu.exception,
    }
    if pdu.exception is not None:
        row["meaning"] = EXCEPTIONS.get(pdu.exception, "not defined")
    if pdu.write_address is not None:
        row |= {"write_address": pdu.write_address, "write_count": pdu.write_count}
    if pdu.masks is not None:
        row |= {"and_mask": pdu.masks[0], "or_mask": pdu.masks[1]}
    if pdu.sub_function is not None:
        row["sub_function"] = pdu.sub_function
    if pdu.data is not None:
        row["data"] = pdu.data.hex()
    if asked is not None and asked.function != pdu.function:
        row["error"] = f"the answer to a request of function {asked.function}"
    if pdu.error is not None:
        row["error"] = pdu.error
    return row


def _datagram(chunk: Chunk) -> Iterator[Cut]:
    cutter = Cutter(measure, wary=True)
    yield from cutter.feed(chunk.data, chunk.packet)
    yield from cutter.finish("the datagram ends inside a frame")


def _damaged(cut: Cut) -> Row:
    keys = ("transaction", "unit", "function", "request", "address", "count", "registers", "exception")
    return {"packet": cut.packet} | dict.fromkeys(keys) | {"error": cut.error}
