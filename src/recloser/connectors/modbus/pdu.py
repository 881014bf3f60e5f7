"""Owns Modbus requests and responses: what each function carries. Does not match one to the other.

Source: MODBUS Application Protocol Specification V1.1b3, clause 6.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, replace

READ_BITS, READ_REGISTERS = {1, 2}, {3, 4}
EXCEPTIONS = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "server device failure",
    5: "acknowledge",
    6: "server device busy",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target failed to respond",
}


@dataclass(frozen=True, slots=True)
class Pdu:
    """A request or a response.

    Attributes:
        function: function code, without the bit of exceptions.
        request: which of the two it is.
        address: first register or bit.
        count: registers or bits.
        registers: 16-bit values carried.
        bits: bit values carried, padding included where the count is not known.
        write_address: where function 23 writes; `write_count` values, those of `registers`.
        masks: AND and OR mask of function 22.
        sub_function: of functions 8 and 43.
        exception: code of an exception response.
        data: other bytes carried.
        error: why the length does not fit, or None.
    """

    function: int
    request: bool
    address: int | None = None
    count: int | None = None
    registers: tuple[int, ...] | None = None
    bits: tuple[int, ...] | None = None
    write_address: int | None = None
    write_count: int | None = None
    masks: tuple[int, int] | None = None
    sub_function: int | None = None
    exception: int | None = None
    data: bytes | None = None
    error: str | None = None


def read_pdu(data: bytes, *, request: bool) -> Pdu:
    """Return the request or response; a length that does not fit is told in `error`, never raised."""
    if not data:
        return Pdu(0, request, error="a frame without a function")
    pdu = Pdu(data[0] & 0x7F, request)
    if data[0] & 0x80:
        if len(data) != 2 or request:
            return replace(pdu, data=data[1:], error="an exception of a wrong length, or in a request")
        return replace(pdu, exception=data[1])
    reader = (REQUESTS if request else RESPONSES).get(pdu.function)
    if reader is None:
        return replace(pdu, data=data[1:])
    try:
        return reader(pdu, data[1:])
    except (struct.error, ValueError):
        kind = "request" if request else "response"
        length = f"a {kind} of function {pdu.function} with {len(data) - 1} bytes"
        return replace(pdu, data=data[1:], error=f"{length} does not fit its form")


def _words(body: bytes) -> tuple[int, ...]:
    return struct.unpack(f">{len(body) // 2}H", body)


def _bits(body: bytes, count: int | None = None) -> tuple[int, ...]:
    return tuple(byte >> place & 1 for byte in body for place in range(8))[:count]


def _counted(body: bytes, form: str = ">B") -> bytes:
    """Return the bytes after their count.

    Raises:
        ValueError: more or fewer than counted.
    """
    size = struct.calcsize(form)
    (count,) = struct.unpack(form, body[:size])
    if len(body) - size != count:
        raise ValueError
    return body[size:]


def _span(pdu: Pdu, body: bytes) -> Pdu:
    address, count = struct.unpack(">HH", body)
    return replace(pdu, address=address, count=count)


def _one_register(pdu: Pdu, body: bytes) -> Pdu:
    address, value = struct.unpack(">HH", body)
    return replace(pdu, address=address, count=1, registers=(value,))


def _one_bit(pdu: Pdu, body: bytes) -> Pdu:
    address, value = struct.unpack(">HH", body)
    known = value in {0, 0xFF00}
    return replace(pdu, address=address, count=1, bits=(int(value == 0xFF00),), data=None if known else body[2:])


def _write_bits(pdu: Pdu, body: bytes) -> Pdu:
    address, count = struct.unpack(">HH", body[:4])
    values = _counted(body[4:])
    if len(values) != (count + 7) // 8:
        raise ValueError
    return replace(pdu, address=address, count=count, bits=_bits(values, count))


def _write_registers(pdu: Pdu, body: bytes) -> Pdu:
    address, count = struct.unpack(">HH", body[:4])
    values = _words(_counted(body[4:]))
    if len(values) != count:
        raise ValueError
    return replace(pdu, address=address, count=count, registers=values)


def _read_write(pdu: Pdu, body: bytes) -> Pdu:
    address, count, write_address, write_count = struct.unpack(">HHHH", body[:8])
    values = _words(_counted(body[8:]))
    if len(values) != write_count:
        raise ValueError
    pdu = replace(pdu, address=address, count=count, registers=values)
    return replace(pdu, write_address=write_address, write_count=write_count)


def _mask(pdu: Pdu, body: bytes) -> Pdu:
    address, both, either = struct.unpack(">HHH", body)
    return replace(pdu, address=address, masks=(both, either))


def _diagnostic(pdu: Pdu, body: bytes) -> Pdu:
    return replace(pdu, sub_function=struct.unpack(">H", body[:2])[0], data=body[2:])


def _encapsulated(pdu: Pdu, body: bytes) -> Pdu:
    return replace(pdu, sub_function=struct.unpack(">B", body[:1])[0], data=body[1:])


def _queue(pdu: Pdu, body: bytes) -> Pdu:
    count, *values = _words(_counted(body, ">H"))
    if count != len(values):
        raise ValueError
    return replace(pdu, count=count, registers=tuple(values))


def _address(pdu: Pdu, body: bytes) -> Pdu:
    return replace(pdu, address=struct.unpack(">H", body)[0])


def _empty(pdu: Pdu, body: bytes) -> Pdu:
    if body:
        raise ValueError
    return pdu


def _bytes(pdu: Pdu, body: bytes) -> Pdu:
    return replace(pdu, data=body)


def _counted_bytes(pdu: Pdu, body: bytes) -> Pdu:
    return replace(pdu, data=_counted(body))


def _bit_values(pdu: Pdu, body: bytes) -> Pdu:
    return replace(pdu, bits=_bits(_counted(body)))


def _register_values(pdu: Pdu, body: bytes) -> Pdu:
    return replace(pdu, registers=_words(_counted(body)))


Reader = Callable[[Pdu, bytes], Pdu]
BOTH: dict[int, Reader] = {5: _one_bit, 6: _one_register, 8: _diagnostic, 22: _mask, 43: _encapsulated}
BOTH |= {20: _counted_bytes, 21: _counted_bytes}
REQUESTS: dict[int, Reader] = BOTH | dict.fromkeys((1, 2, 3, 4), _span) | dict.fromkeys((7, 11, 12, 17), _empty)
REQUESTS |= {15: _write_bits, 16: _write_registers, 23: _read_write, 24: _address}
RESPONSES: dict[int, Reader] = BOTH | {1: _bit_values, 2: _bit_values, 7: _bytes, 11: _bytes, 12: _counted_bytes}
RESPONSES |= {3: _register_values, 4: _register_values, 23: _register_values, 24: _queue}
RESPONSES |= {15: _span, 16: _span, 17: _counted_bytes}
