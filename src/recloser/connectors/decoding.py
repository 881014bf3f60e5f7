"""Owns decoding a capture file by protocol into rows (docs/contract.md). Does not own any protocol."""

from __future__ import annotations

import heapq
import json
import math
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

from recloser.connectors.c37118 import C37118Rows
from recloser.connectors.capture import Damage, Event, Traffic, read_traffic
from recloser.connectors.dnp3 import Dnp3Rows
from recloser.connectors.iec104 import Iec104Rows
from recloser.connectors.iec61850 import GooseRows, SampledValueRows
from recloser.connectors.modbus import ModbusRows
from recloser.core.errors import InvalidInput, unknown_name

Row = dict[str, Any]


class RowDecoder(Protocol):
    """Turns the events of one capture into rows; never raises on what a capture may hold. Not thread safe."""

    def add(self, event: Event) -> Iterator[Row]:
        """Yield the rows that this event completes."""
        ...

    def pending(self) -> int | None:
        """Return the earliest packet that a row told later may name; None where nothing waits."""
        ...

    def finish(self) -> Iterator[Row]:
        """Yield the rows of what the capture ends in."""
        ...


DECODERS: dict[str, Callable[[], RowDecoder]] = {
    "c37118": C37118Rows,
    "iec104": Iec104Rows,
    "dnp3": Dnp3Rows,
    "modbus": ModbusRows,
    "goose": GooseRows,
    "sv": SampledValueRows,
}
PROTOCOLS = tuple(DECODERS)
PORTED: dict[str, Callable[[Collection[int]], RowDecoder]] = {
    "iec104": Iec104Rows,
    "dnp3": Dnp3Rows,
    "modbus": ModbusRows,
}
"""Protocols that are known by their port; the others by their frames alone."""
NEAR = 64  # rows that are put in capture order together
KEPT = 32 << 20  # bytes of rows that wait for earlier ones: then the earliest are told all the same


def decode_file(protocol: str, path: Path | str, ports: Collection[int] = ()) -> Iterator[Row]:
    """Yield the rows of a pcap or pcapng file in capture order; damage is a row with `error`.

    Absent numbers are NaN; `plain` makes them None, as JSON has none.

    Args:
        protocol: one of PROTOCOLS.
        path: the capture file.
        ports: further ones on which the protocol is spoken. A conversation on another port is found too, once a piece
            of it is whole frames and nothing else.

    Raises:
        InvalidInput: an unknown protocol, or not a capture file.
        Unavailable: the file cannot be read now.
    """
    if protocol not in DECODERS:
        raise unknown_name("protocol", protocol, DECODERS, where="decode")
    if ports and protocol not in PORTED:
        raise InvalidInput(
            f"{protocol} is known by its frames, not by a port", where="--port", next_step="Leave it out."
        )
    decoder = PORTED[protocol](ports) if ports else DECODERS[protocol]()
    traffic = Traffic()

    def pending() -> int | None:
        waiting = [packet for packet in (traffic.pending(), decoder.pending()) if packet is not None]
        return min(waiting, default=None)

    return in_capture_order(decode_events(decoder, read_traffic(path, traffic)), pending)


def decode_events(decoder: RowDecoder, events: Iterator[Event]) -> Iterator[Row]:
    """Yield the rows of a decoder over events, in the order in which conversations went on."""
    for event in events:
        if isinstance(event, Damage):
            yield {"packet": event.packet, "error": event.reason}
        else:
            yield from decoder.add(event)
    yield from decoder.finish()


def in_capture_order(rows: Iterator[Row], pending: Callable[[], int | None]) -> Iterator[Row]:
    """Yield rows by packet: none is told before one of an earlier packet that may come yet.

    Rows that wait are kept as JSON, all but a few, at most `KEPT` bytes. A stream that hangs for longer than that (a
    hole that nobody fills, a frame that never ends) has its own row where it is known, after rows of later packets.

    Args:
        rows: in the order in which they are known.
        pending: tells the earliest packet that a row to come may name, or None.
    """
    order, fresh = _Order(), list[tuple[int, int, Row]]()
    for count, row in enumerate(rows):
        fresh.append((row["packet"], count, row))
        if len(fresh) == NEAR:
            earliest = pending()
            limit = math.inf if earliest is None else earliest
            order.add(fresh, limit)
            fresh.clear()
            yield from order.due(limit)
    order.add(fresh, math.inf)
    yield from order.due(math.inf)


class _Order:
    """Rows that wait for those of earlier packets."""

    def __init__(self) -> None:
        self._kept: list[tuple[int, int, Row | str]] = []
        self._bytes = 0

    def add(self, rows: Iterable[tuple[int, int, Row]], earliest: float) -> None:
        """Take rows; of those that wait for an earlier packet all but a few are kept as text."""
        for packet, count, row in rows:
            item = row if packet <= earliest or len(self._kept) < 2 * NEAR else json.dumps(row)
            self._bytes += len(item) if isinstance(item, str) else 0
            heapq.heappush(self._kept, (packet, count, item))

    def due(self, earliest: float) -> Iterator[Row]:
        """Yield the rows that no row to come may precede."""
        while self._kept and (self._kept[0][0] <= earliest or self._bytes > KEPT):
            item = heapq.heappop(self._kept)[2]
            self._bytes -= len(item) if isinstance(item, str) else 0
            yield json.loads(item) if isinstance(item, str) else item


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it: no NaN, no infinity."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return value
