"""Owns sampled value messages and their rows of `decode`: one row a data unit of the message.

Source: IEC 61850-9-2:2011, clause 8; the light edition's data set of eight values with quality.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from recloser.connectors.capture import Event
from recloser.connectors.iec61850.ber import Node, Unreadable, read_nodes
from recloser.connectors.iec61850.envelope import Row, read_envelope, rows_of, utc_ns

ETHERTYPE, MESSAGE = 0x88BA, 0x60
UNITS, UNIT, COUNT = 0xA2, 0x30, 0x80


class SampledValueRows:
    """Turns the events of a capture into rows, one a data unit."""

    def add(self, event: Event) -> Iterator[Row]:
        """Return the rows of a frame on the process bus."""
        return rows_of(event, ETHERTYPE, _units)

    def pending(self) -> int | None:
        """Return the earliest packet that a row told later may name."""
        return None

    def finish(self) -> Iterator[Row]:
        """Yield nothing: a frame is whole or is none."""
        return iter(())


def _units(payload: bytes) -> list[Row]:
    envelope = read_envelope(payload, MESSAGE)
    fields = {node.tag: node for node in read_nodes(envelope.node.content)}
    if UNITS not in fields:
        raise Unreadable("a message without data units")
    units = [node for node in read_nodes(fields[UNITS].content) if node.tag == UNIT]
    count = fields[COUNT].integer(signed=False) if COUNT in fields else None
    rows: list[Row] = [
        {"simulated": envelope.simulated, "asdu": place} | _unit_or_error(node) for place, node in enumerate(units)
    ]
    if count is not None and count != len(units):
        rows.append({"error": f"the message tells {count} data units, {len(units)} are there"})
    return rows


def _unit_or_error(node: Node) -> Row:
    try:
        return _unit(node)
    except Unreadable as error:
        return {"error": str(error)}


def _unit(node: Node) -> Row:
    fields = {child.tag: child for child in read_nodes(node.content)}

    def number(tag: int) -> int | None:
        return fields[tag].integer(signed=False) if tag in fields else None

    data = fields[0x87].content if 0x87 in fields else b""
    row: Row = {
        "sv_id": fields[0x80].text() if 0x80 in fields else None,
        "dataset": fields[0x81].text() if 0x81 in fields else None,
        "smp_cnt": number(0x82),
        "conf_rev": number(0x83),
        "t_ns": utc_ns(fields[0x84].content) if 0x84 in fields else None,
        "smp_synch": number(0x85),
        "smp_rate": number(0x86),
        "samples": _samples(data),
        "smp_mod": number(0x88),
        "gm_identity": fields[0x89].content.hex() if 0x89 in fields else None,
    }
    return row if not len(data) % 8 else row | {"raw": data.hex()}


def _samples(data: bytes) -> list[Row] | None:
    """Return values with their quality as the light edition lays them out; None where the bytes cannot be that."""
    if not data or len(data) % 8:
        return None
    words = struct.unpack(f">{'iI' * (len(data) // 8)}", data)
    return [{"value": value, "quality": quality} for value, quality in zip(words[::2], words[1::2], strict=True)]
