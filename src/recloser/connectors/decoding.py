"""Owns decoding a capture file by protocol into rows (docs/contract.md). Does not own any protocol."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, Protocol

from recloser.connectors.c37118 import C37118Rows
from recloser.connectors.capture import Damage, Event, read_traffic
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
NEAR = 64  # rows that are kept back to be put in capture order: segments that came late


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
    return in_capture_order(decode_events(decoder, read_traffic(path)))


def decode_events(decoder: RowDecoder, events: Iterator[Event]) -> Iterator[Row]:
    """Yield the rows of a decoder over events, in the order in which conversations went on."""
    for event in events:
        if isinstance(event, Damage):
            yield {"packet": event.packet, "error": event.reason}
        else:
            yield from decoder.add(event)
    yield from decoder.finish()


def in_capture_order(rows: Iterator[Row]) -> Iterator[Row]:
    """Yield rows by packet; rows of late segments move back over at most `NEAR` others."""
    waiting: list[tuple[int, int, Row]] = []
    for count, row in enumerate(rows):
        heapq.heappush(waiting, (row["packet"], count, row))
        if len(waiting) > NEAR:
            yield heapq.heappop(waiting)[2]
    while waiting:
        yield heapq.heappop(waiting)[2]


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it: no NaN, no infinity."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return value
