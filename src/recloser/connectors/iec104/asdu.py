"""Owns reading one application data unit into information objects; what does not fit its length is an error.

Source: IEC 60870-5-101:2003, clause 7.2, with the field sizes of IEC 60870-5-104 (cause 2, common address 2, object 3).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from recloser.connectors.iec104.types import OPAQUE, PRIVATE, TYPES, AsduType

HEAD, ADDRESS = 6, 3


@dataclass(frozen=True, slots=True)
class InformationObject:
    """One object: its address, and the parts that its elements told (`element`, `quality`, `t_ns` and more)."""

    address: int
    parts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Asdu:
    """A data unit.

    Attributes:
        type_id: type identification; `name` of it, 'private' from 128 on.
        sequence: whether one address stands for a row of neighbouring objects.
        cause: cause of transmission, its number.
        negative: whether it is a negative confirmation.
        test: whether it is a test.
        originator: originator address.
        common_address: the station.
        objects: what it carries, empty where `error` or an opaque type.
        raw: the objects' bytes of an opaque or private type.
        error: why it cannot be read, or None.
    """

    type_id: int
    name: str
    sequence: bool
    cause: int
    negative: bool
    test: bool
    originator: int
    common_address: int
    objects: tuple[InformationObject, ...] = ()
    raw: bytes = b""
    error: str | None = None


def read_asdu(data: bytes) -> Asdu | None:
    """Return the data unit; None where not even its head is there."""
    if len(data) < HEAD:
        return None
    type_id, variable, cause, originator = data[0], data[1], data[2], data[3]
    known = TYPES.get(type_id)
    name = known.name if known else OPAQUE.get(type_id, "private" if type_id >= PRIVATE else "undefined")
    sequence, count, body = bool(variable & 0x80), variable & 0x7F, data[HEAD:]
    objects: tuple[InformationObject, ...] = ()
    raw, error = b"", None
    if known is not None:
        error = _misfit(known, count, body, sequence=sequence)
        objects = () if error else _objects(known, count, body, sequence=sequence)
    elif name == "undefined":
        error = f"type identification {type_id} is not defined"
    else:
        raw = body
    return Asdu(
        type_id=type_id,
        name=name,
        sequence=sequence,
        cause=cause & 0x3F,
        negative=bool(cause & 0x40),
        test=bool(cause & 0x80),
        originator=originator,
        common_address=int.from_bytes(data[4:6], "little"),
        objects=objects,
        raw=raw,
        error=error,
    )


def _misfit(known: AsduType, count: int, body: bytes, *, sequence: bool) -> str | None:
    """Return why the body cannot hold exactly `count` objects, or None."""
    if not count:
        return "a data unit without objects"
    expected = ADDRESS + count * known.length if sequence else count * (ADDRESS + known.length)
    if len(body) == expected:
        return None
    kind = "neighbouring objects" if sequence else "objects"
    return f"{count} {kind} of {known.name} take {expected} bytes, the unit has {len(body)}"


def _objects(known: AsduType, count: int, body: bytes, *, sequence: bool) -> tuple[InformationObject, ...]:
    objects, place, address = [], 0, 0
    for index in range(count):
        if sequence and index:
            address += 1
        else:
            address = int.from_bytes(body[place : place + ADDRESS], "little")
            place += ADDRESS
        parts: dict[str, Any] = {}
        for element in known.elements:
            parts |= element.read(body[place : place + element.length])
            place += element.length
        objects.append(InformationObject(address, parts))
    return tuple(objects)
