"""Owns what STTP data are made of: the table of signals, base times, compact values, times in ticks. No I/O.

Source: IEEE 2664-2024, clause 5; field sizes as in its reference implementations (sttpapi, MIT).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from uuid import UUID

EPOCH_TICKS = 621_355_968_000_000_000  # 1970 in ticks: steps of 100 ns since the year 1
TICKS, LEAP_SECOND, TICK_NS, MILLISECOND = (1 << 62) - 1, 1 << 63, 100, 10_000
BASE_TIME, TIME_INDEX = 0x40, 0x80
_COMPACT, _ULONG, _UINT = struct.Struct(">BIf"), struct.Struct(">Q"), struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class SignalTable:
    """The signal index cache: run-time index -> signal. `signals` are all that the publisher grants."""

    signals: dict[int, UUID]


@dataclass(frozen=True, slots=True)
class CompactValue:
    """A value: run-time index of its signal, ticks (None where none are told), compact flags (8 bits), value."""

    index: int
    ticks: int | None
    flags: int
    value: float


def read_signals(data: bytes) -> SignalTable:
    """Return the table of a signal index cache, unpacked and without the index of the cache.

    Raises:
        ValueError: it is cut off.
    """
    try:
        place, signals = 24, dict[int, UUID]()
        for _ in range(_UINT.unpack_from(data, 20)[0]):
            index, identity = _UINT.unpack_from(data, place)[0], data[place + 4 : place + 20]
            place += 24 + _UINT.unpack_from(data, place + 20)[0] + 8
            if place > len(data):
                raise ValueError("a table of signals that is cut off")
            signals[index] = UUID(bytes=identity)
    except struct.error as error:
        raise ValueError("a table of signals that is cut off") from error
    return SignalTable(signals)


def write_signals(subscriber: UUID, signals: dict[int, UUID], source: str) -> bytes:
    """Return the bytes that `read_signals` reads; `source` names where the signals come from."""
    name = source.encode()
    rows = b"".join(
        _UINT.pack(index) + signal.bytes + _UINT.pack(len(name)) + name + _ULONG.pack(index)
        for index, signal in signals.items()
    )
    body = subscriber.bytes + _UINT.pack(len(signals)) + rows
    return _UINT.pack(len(body) + 4) + body


def read_base_times(data: bytes) -> tuple[int, int]:
    """Return the two base times, ticks.

    Raises:
        ValueError: it is cut off.
    """
    if len(data) < 20:
        raise ValueError("base times that are cut off")
    even, odd = struct.unpack_from(">QQ", data, 4)
    return even, odd


def read_compact(data: bytes, count: int, base: tuple[int, int]) -> list[CompactValue]:
    """Return the compact values of a packet that tells times in ticks.

    Args:
        data: behind the count.
        count: how many there must be.
        base: times, ticks; 0 for none.

    Raises:
        ValueError: it is cut off, or something follows.
    """
    found: list[CompactValue] = []
    place = 0
    try:
        for _ in range(count):
            flags, index, value = _COMPACT.unpack_from(data, place)
            place += _COMPACT.size
            ticks: int | None
            if flags & BASE_TIME:
                start = base[1 if flags & TIME_INDEX else 0]
                ticks = start + _UINT.unpack_from(data, place)[0] if start else None
                place += 4
            else:
                ticks = _ULONG.unpack_from(data, place)[0]
                place += 8
            found.append(CompactValue(index, ticks, flags, value))
    except struct.error as error:
        raise ValueError(f"{len(found)} whole values in a packet that announces {count}") from error
    if place != len(data):
        raise ValueError(f"{len(data) - place} bytes behind the last of {count} values")
    return found


def write_compact(index: int, ticks: int, flags: int, value: float) -> bytes:
    """Return a compact value with its whole time."""
    return _COMPACT.pack(flags, index, value) + _ULONG.pack(ticks)


def nanoseconds_of(ticks: int) -> int | None:
    """Return the time of ticks, ns since 1970 UTC, exactly; None for what is no time since 1970.

    In an inserted leap second ticks stand at second 59 again; `is_leap_second` tells.
    """
    since = (ticks & TICKS) - EPOCH_TICKS
    return since * TICK_NS if since >= 0 else None


def is_leap_second(ticks: int) -> bool:
    """Return whether the ticks are marked as a leap second."""
    return bool(ticks & LEAP_SECOND)


def ticks_of(at_ns: int) -> int:
    """Return a time (ns since 1970 UTC) in ticks, cut to 100 ns."""
    return at_ns // TICK_NS + EPOCH_TICKS
