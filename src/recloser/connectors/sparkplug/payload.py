"""Owns the payload of a Sparkplug B message: metrics with their types, times and quality. Knows no topic.

Reads what a host needs of a metric: numbers, truth values and the property Quality; texts, bytes, data sets and
templates are metrics without a number. Source: Eclipse Sparkplug 3.0.0, chapter 6, and the field numbers there.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from recloser.connectors.sparkplug.wire import BYTES, FIXED32, FIXED64, VARINT, field, fixed, read_fields
from recloser.core import InvalidInput

LARGEST = 1 << 22  # bytes of a payload
BD_SEQ, REBIRTH, QUALITY = "bdSeq", "Node Control/Rebirth", "Quality"


class DataType(IntEnum):
    """Types of metrics that have a number, and one for all others of interest."""

    UNKNOWN = 0
    INT8 = 1
    INT16 = 2
    INT32 = 3
    INT64 = 4
    UINT8 = 5
    UINT16 = 6
    UINT32 = 7
    UINT64 = 8
    FLOAT = 9
    DOUBLE = 10
    BOOLEAN = 11
    STRING = 12
    DATETIME = 13


SIGNED = {DataType.INT8: 8, DataType.INT16: 16, DataType.INT32: 32, DataType.INT64: 64}
UNSIGNED = {DataType.UINT8: 8, DataType.UINT16: 16, DataType.UINT32: 32, DataType.UINT64: 64, DataType.DATETIME: 64}
LONG = {DataType.INT64, DataType.UINT64, DataType.DATETIME}  # that come as long_value
INT_VALUE, LONG_VALUE, FLOAT_VALUE, DOUBLE_VALUE, BOOLEAN_VALUE, STRING_VALUE = 10, 11, 12, 13, 14, 15


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of a payload.

    Attributes:
        name: '' where the alias stands for it.
        alias: None for none.
        timestamp_ms: since 1970 UTC; None for that of the payload.
        datatype: number of the type, as sent; 0 where the birth has told it.
        value: None for null and for what is no number; whole numbers as they came (see `number`).
        quality: the property Quality (0 bad, 192 good, 500 stale); None where it is not told.
        historical: it was kept while nobody listened.
        null: it says that there is no value.
    """

    name: str = ""
    alias: int | None = None
    timestamp_ms: int | None = None
    datatype: int = 0
    value: float | int | bool | None = None
    quality: int | None = None
    historical: bool = False
    null: bool = False

    def number(self, datatype: int | None = None) -> float | None:
        """Return the value as a quantity; `datatype` is that of the birth where the metric tells none.

        Whole numbers come in two's complement of 8 to 64 bits: the type says how many of them count.
        """
        kind = self.datatype or datatype or 0
        if self.value is None or self.null:
            return None
        if isinstance(self.value, bool) or not isinstance(self.value, int):
            return float(self.value)
        if kind == DataType.BOOLEAN:
            return float(self.value != 0)
        bits = SIGNED.get(DataType(kind)) if kind in set(DataType) else None
        if bits is not None:
            low = self.value & (1 << bits) - 1
            return float(low - (1 << bits) if low >> bits - 1 else low)
        bits = UNSIGNED.get(DataType(kind)) if kind in set(DataType) else None
        return float(self.value if bits is None else self.value & (1 << bits) - 1)


@dataclass(frozen=True, slots=True)
class Payload:
    """A message: `timestamp_ms` since 1970 UTC, `seq` 0 .. 255; None where it is not told."""

    timestamp_ms: int | None = None
    seq: int | None = None
    metrics: tuple[Metric, ...] = ()

    def metric(self, name: str) -> Metric | None:
        """Return the metric of a name."""
        return next((metric for metric in self.metrics if metric.name == name), None)


def read_payload(data: bytes) -> Payload:
    """Return what a message says.

    Raises:
        InvalidInput: it is no Sparkplug B payload, or too large.
    """
    if len(data) > LARGEST:
        raise InvalidInput("a payload that is too large", got=f"{len(data)} bytes", expected=f"at most {LARGEST}")
    timestamp: int | None = None
    seq: int | None = None
    metrics: list[Metric] = []
    for number, kind, value in read_fields(data):
        if number == 1 and kind == VARINT and isinstance(value, int):
            timestamp = value
        elif number == 2 and kind == BYTES and isinstance(value, bytes):
            metrics.append(_metric(value))
        elif number == 3 and kind == VARINT and isinstance(value, int):
            seq = value
    return Payload(timestamp, seq, tuple(metrics))


def _metric(data: bytes) -> Metric:
    name, alias, timestamp, datatype, quality = "", None, None, 0, None
    historical = null = False
    value: float | int | bool | None = None
    for number, kind, raw in read_fields(data):
        if isinstance(raw, int):
            if number == 2:
                alias = raw
            elif number == 3:
                timestamp = raw
            elif number == 4:
                datatype = raw
            elif number == 5:
                historical = raw != 0
            elif number == 7:
                null = raw != 0
            elif number in {INT_VALUE, LONG_VALUE}:
                value = raw
            elif number == BOOLEAN_VALUE:
                value = raw != 0
        elif number == 1 and kind == BYTES:
            name = raw.decode("utf-8", "replace")
        elif number == 9 and kind == BYTES:
            quality = _quality(raw)
        elif (number, kind) in {(FLOAT_VALUE, FIXED32), (DOUBLE_VALUE, FIXED64)}:
            value = struct.unpack("<f" if number == FLOAT_VALUE else "<d", raw)[0]
    return Metric(name, alias, timestamp, datatype, value, quality, historical, null)


def _quality(data: bytes) -> int | None:
    """Return the property Quality of a property set: keys in one list, values in another."""
    keys: list[bytes] = []
    values: list[bytes] = []
    for number, kind, raw in read_fields(data):
        if kind == BYTES and isinstance(raw, bytes):
            if number == 1:
                keys.append(raw)
            elif number == 2:
                values.append(raw)
    for key, value in zip(keys, values, strict=False):
        if key == QUALITY.encode():
            whole = (raw for number, _, raw in read_fields(value) if number in {3, 4} and isinstance(raw, int))
            return next(whole, None)
    return None


def payload_bytes(timestamp_ms: int, seq: int | None, metrics: Sequence[Metric]) -> bytes:
    """Return the bytes of a message, for simulated nodes and births of a host."""
    out = field(1, timestamp_ms) + b"".join(field(2, _metric_bytes(metric)) for metric in metrics)
    return out if seq is None else out + field(3, seq)


def _metric_bytes(metric: Metric) -> bytes:
    out = b"" if not metric.name else field(1, metric.name)
    for number, known in ((2, metric.alias), (3, metric.timestamp_ms), (4, metric.datatype or None)):
        out += b"" if known is None else field(number, known)
    out += field(5, 1) if metric.historical else b""
    out += field(7, 1) if metric.null else b""
    if metric.quality is not None:
        value = field(1, DataType.INT32) + field(3, metric.quality)
        out += field(9, field(1, QUALITY) + field(2, value))
    value_ = metric.value
    if value_ is None or metric.null:
        return out
    if isinstance(value_, bool):
        return out + field(BOOLEAN_VALUE, int(value_))
    if metric.datatype == DataType.FLOAT:
        return out + fixed(FLOAT_VALUE, "<f", value_)
    if isinstance(value_, float):
        return out + fixed(DOUBLE_VALUE, "<d", value_)
    if metric.datatype in LONG:
        return out + field(LONG_VALUE, value_)
    return out + field(INT_VALUE, value_ & 0xFFFF_FFFF)


def rebirth_request(timestamp_ms: int) -> bytes:
    """Return the one command that a host here can build: tell your state again. It acts on nothing in the plant."""
    return payload_bytes(timestamp_ms, None, [Metric(REBIRTH, datatype=DataType.BOOLEAN, value=True)])
