"""Owns following DNP3 in a capture, and the rows of `decode`."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from recloser.connectors.capture import Chunk, Cut, Cutter, Endpoint, Event
from recloser.connectors.capture.conversations import Conversations
from recloser.connectors.dnp3.application import FUNCTIONS, Fragment, read_fragment
from recloser.connectors.dnp3.link import LinkFrame, looks_like, measure, read_link
from recloser.connectors.dnp3.transport import Transport

Row = dict[str, Any]
PORT = 20_000


class Dnp3Rows:
    """Turns the events of a capture into rows: one an object, or one a frame or header that carries none.

    Args:
        ports: further ones on which the protocol is spoken, besides the registered one.
    """

    def __init__(self, ports: Collection[int] = ()) -> None:
        self._ports = frozenset((PORT, *ports))
        self._conversations = Conversations(measure, looks_like, self._ports)
        self._transport = Transport()

    def add(self, event: Event) -> Iterator[Row]:
        """Yield the rows of what this event completes."""
        for cut, place in self._conversations.add(event):
            yield from self._rows(cut, place.source, place.target)
        if isinstance(event, Chunk) and event.transport == "udp":
            known = not self._ports.isdisjoint((event.source.port, event.target.port))
            for cut in _datagram(event) if known or looks_like(event.data) else ():
                yield from self._rows(cut, event.source, event.target)

    def pending(self) -> int | None:
        """Return the earliest packet that a row told later may name."""
        return self._conversations.pending()

    def finish(self) -> Iterator[Row]:
        """Yield the rows of frames that the capture ends in."""
        for cut, source in self._conversations.finish():
            yield from self._rows(cut, source, source)

    def _rows(self, cut: Cut, source: Endpoint, target: Endpoint) -> Iterator[Row]:
        row: Row = {"packet": cut.packet, "src": None, "dst": None, "function": None}
        if cut.error is not None:
            yield row | {"error": cut.error}
            return
        frame = read_link(cut.data)
        row |= {"src": frame.source, "dst": frame.target}
        if frame.error is not None or not frame.carries or not frame.data:
            yield row | _bare(frame)
            return
        fragment = self._transport.add((source, target, frame.source, frame.target), frame.data, cut.packet)
        if isinstance(fragment, str):
            yield row | {"error": fragment}
        elif fragment is not None:
            yield from fragment_rows(row | {"packet": self._transport.packet}, read_fragment(fragment))


def _datagram(chunk: Chunk) -> Iterator[Cut]:
    cutter = Cutter(measure)
    yield from cutter.feed(chunk.data, chunk.packet)
    yield from cutter.finish("the datagram ends inside a frame")


def _bare(frame: LinkFrame) -> Row:
    error = frame.error
    if error is None and frame.carries:
        error = "user data without a transport head"
    return {"link": frame.name} | ({} if error is None else {"error": error})


def fragment_rows(row: Row, fragment: Fragment) -> Iterator[Row]:
    """Yield the rows of a fragment; `row` holds packet and addresses."""
    name = FUNCTIONS.get(fragment.function) if fragment.function is not None else None
    row = row | {"function": fragment.function, "function_name": name, "sequence": fragment.control & 15}
    if fragment.indications is not None:
        row["iin"] = fragment.indications
    if fragment.error is not None:
        yield row | {"error": fragment.error}
    elif not fragment.points:
        yield row | {"group": None, "variation": None, "index": None, "reading": None, "flags": None, "t_ns": None}
    for point in fragment.points:
        told = {"group": point.group, "variation": point.variation, "qualifier": point.qualifier, "index": point.index}
        values = {"reading": None, "flags": None, "t_ns": None} | point.parts
        yield row | told | values | ({} if point.error is None else {"error": point.error})
