"""Owns GOOSE messages and their rows of `decode`: state, sequence, data set entries.

Source: IEC 61850-8-1:2011, annex A; the data types are those of MMS (ISO 9506-2).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from typing import Any

from recloser.connectors.capture import Event
from recloser.connectors.iec61850.ber import Node, Unreadable, read_nodes
from recloser.connectors.iec61850.envelope import Row, read_envelope, rows_of, utc_ns

ETHERTYPE, GOOSE, UTC_TIME = 0x88B8, 0x61, 0x91
DEPTH = 16
BYTES = {0x88: "real", 0x89: "octet-string", 0x8C: "binary-time"}
"""Types whose bytes are told as hexadecimal."""


class GooseRows:
    """Turns the events of a capture into rows, one a GOOSE message."""

    def add(self, event: Event) -> Iterator[Row]:
        """Return the row of a frame on the station bus."""
        return rows_of(event, ETHERTYPE, lambda payload: (_message(payload),))

    def pending(self) -> int | None:
        """Return the earliest packet that a row told later may name."""
        return None

    def finish(self) -> Iterator[Row]:
        """Yield nothing: a frame is whole or is none."""
        return iter(())


def _message(payload: bytes) -> Row:
    envelope = read_envelope(payload, GOOSE)
    fields = {node.tag: node for node in read_nodes(envelope.node.content)}

    def number(tag: int) -> int | None:
        return fields[tag].integer(signed=False) if tag in fields else None

    def words(tag: int) -> str | None:
        return fields[tag].text() if tag in fields else None

    entries, error = _entries(fields[0xAB].content) if 0xAB in fields else ([], None)
    count = number(0x8A)
    row: Row = {
        "simulated": envelope.simulated,
        "gocb_ref": words(0x80),
        "time_allowed_to_live_ms": number(0x81),
        "dataset": words(0x82),
        "go_id": words(0x83),
        "t_ns": utc_ns(fields[0x84].content) if 0x84 in fields else None,
        "time_quality": fields[0x84].content[7] if 0x84 in fields else None,
        "st_num": number(0x85),
        "sq_num": number(0x86),
        "test": fields[0x87].boolean() if 0x87 in fields else None,
        "conf_rev": number(0x88),
        "nds_com": fields[0x89].boolean() if 0x89 in fields else None,
        "entries": entries,
    }
    if error is None and count is not None and count != len(entries):
        error = f"the message tells {count} entries, {len(entries)} are there"
    return row if error is None else row | {"error": error}


def _entries(content: bytes) -> tuple[list[Row], str | None]:
    """Return the values of a data set up to the first that cannot be read, and what is wrong with that one."""
    entries: list[Row] = []
    try:
        entries.extend(entry(node) for node in read_nodes(content))
    except Unreadable as error:
        return entries, f"entry {len(entries) + 1}: {error}"
    return entries, None


def entry(node: Node, depth: int = 0) -> Row:
    """Return one value of a data set as {"type", "value"}; structures and arrays hold a list, times their quality too.

    Raises:
        Unreadable: the content does not fit its type, or structures nest deeper than any real data set.
    """
    if depth > DEPTH:
        raise Unreadable("a data set that nests too deeply")
    if node.tag in {0xA1, 0xA2}:
        inner = [entry(child, depth + 1) for child in read_nodes(node.content)]
        return {"type": "array" if node.tag == 0xA1 else "structure", "value": inner}
    name, value = _plain(node)
    told: Row = {"type": name, "value": value}
    return told | {"time_quality": node.content[7]} if node.tag == UTC_TIME else told


def _plain(node: Node) -> tuple[str, Any]:
    raw = node.content
    match node.tag:
        case 0x83:
            return "boolean", node.boolean()
        case 0x84 | 0x8E:
            return "bit-string" if node.tag == 0x84 else "boolean-array", bit_string(raw)
        case 0x85:
            return "integer", node.integer()
        case 0x86 | 0x8D:
            return "bcd" if node.tag == 0x8D else "unsigned", node.integer(signed=False)
        case 0x87:
            return "floating-point", _floating(raw)
        case 0x88 | 0x89 | 0x8C:
            return BYTES[node.tag], raw.hex()
        case 0x8A:
            return "visible-string", node.text()
        case 0x8F:
            return "object-identifier", _identifier(raw)
        case 0x90:
            return "mms-string", node.text()
        case 0x91:  # UTC_TIME
            return "utc-time", utc_ns(raw)
    return f"tag 0x{node.tag:02x}", raw.hex()


def bit_string(raw: bytes) -> str:
    """Return the bits as text, the padding that the first byte counts left out.

    Raises:
        Unreadable: no padding byte, or more padding than a byte has.
    """
    if not raw or raw[0] > 7:
        raise Unreadable("a bit string without a fitting count of padding")
    bits = "".join(f"{byte:08b}" for byte in raw[1:])
    return bits[: len(bits) - raw[0]]


def _identifier(raw: bytes) -> str:
    """Return an object identifier with dots: seven bits a byte, the first two numbers in one (ISO/IEC 8825-1, 8.19).

    Raises:
        Unreadable: empty, or it ends inside a number.
    """
    if not raw or raw[-1] & 0x80:
        raise Unreadable(f"an object identifier of {len(raw)} bytes that ends inside a number")
    numbers, number = [], 0
    for byte in raw:
        number = number << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(number)
            number = 0
    root = min(numbers[0] // 40, 2)
    return ".".join(map(str, (root, numbers[0] - 40 * root, *numbers[1:])))


def _floating(raw: bytes) -> float | None:
    """Return a number of MMS: the width of the exponent, then IEEE 754."""
    if len(raw) == 5 and raw[0] == 8:
        value = float(struct.unpack(">f", raw[1:])[0])
    elif len(raw) == 9 and raw[0] == 11:
        value = float(struct.unpack(">d", raw[1:])[0])
    else:
        raise Unreadable(f"a floating-point number of {len(raw)} bytes")
    return value if math.isfinite(value) else None
