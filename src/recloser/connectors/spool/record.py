"""Owns what a record of the spool says, and its bytes. Does not own files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from recloser.connectors.points import PointQuality, PointReading, ReadingBlock
from recloser.connectors.spool.columns import BlockBody, block_body, read_block


@dataclass(frozen=True, slots=True)
class Batch:
    """Readings that were accepted together; `sequence` is their record's number in the spool."""

    sequence: int
    readings: tuple[PointReading, ...] | ReadingBlock


@dataclass(frozen=True, slots=True)
class Gap:
    """Readings that are missing for certain or may be: told by the wire or by the spool itself.

    Attributes:
        sequence: its record's number in the spool.
        source: the device, or '' for all.
        start_ns: from, nanoseconds since 1970 UTC by our clock.
        end_ns: until.
        reason: why, for people.
        dropped: readings thrown away because the disk was full; 0 where none were seen.
    """

    sequence: int
    source: str
    start_ns: int
    end_ns: int
    reason: str
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class LinkChange:
    """A change of the link to a device, in order with its readings.

    Attributes:
        sequence: its record's number in the spool.
        source: the device.
        state: word of the new state.
        at_ns: nanoseconds since 1970 UTC by our clock.
        reason: why, for people.
    """

    sequence: int
    source: str
    state: str
    at_ns: int
    reason: str


Record = Batch | Gap | LinkChange


class _Readings(msgspec.Struct, tag="r", array_like=True):
    rows: list[tuple[str, str, int | None, int, float | None, str, int, int, str, float | None]]


class _Gap(msgspec.Struct, tag="g", array_like=True):
    source: str
    start_ns: int
    end_ns: int
    reason: str
    dropped: int


class _Link(msgspec.Struct, tag="l", array_like=True):
    source: str
    state: str
    at_ns: int
    reason: str


class _Close(msgspec.Struct, tag="c", array_like=True):
    pass


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(_Readings | BlockBody | _Gap | _Link | _Close)


def encode_readings(readings: tuple[PointReading, ...] | ReadingBlock) -> bytes:
    """Return the record of a batch."""
    if isinstance(readings, ReadingBlock):
        return _ENCODER.encode(block_body(readings))
    rows = [
        (r.source, r.point, r.source_ns, r.receive_ns, r.number, r.unit, int(r.quality), r.raw_flags, r.origin, r.raw)
        for r in readings
    ]
    return _ENCODER.encode(_Readings(rows))


def encode_gap(gap: Gap) -> bytes:
    """Return the record of a gap."""
    return _ENCODER.encode(_Gap(gap.source, gap.start_ns, gap.end_ns, gap.reason, gap.dropped))


def encode_link(change: LinkChange) -> bytes:
    """Return the record of a link's change."""
    return _ENCODER.encode(_Link(change.source, change.state, change.at_ns, change.reason))


def encode_close() -> bytes:
    """Return the record that a writer leaves when it ends in order."""
    return _ENCODER.encode(_Close())


def says_closed(body: bytes) -> bool:
    """Return whether a record is the one that a writer leaves when it ends in order."""
    try:
        return isinstance(_DECODER.decode(body), _Close)
    except msgspec.MsgspecError:
        return False


def decode(sequence: int, body: bytes) -> Record | None:
    """Return what a record says; None for the end of a writer.

    Raises:
        msgspec.MsgspecError: a record that this release does not know.
    """
    found: Any = _DECODER.decode(body)
    if isinstance(found, _Readings):
        return Batch(sequence, tuple(_reading(row) for row in found.rows))
    if isinstance(found, BlockBody):
        return Batch(sequence, read_block(found))
    if isinstance(found, _Gap):
        return Gap(sequence, found.source, found.start_ns, found.end_ns, found.reason, found.dropped)
    if isinstance(found, _Link):
        return LinkChange(sequence, found.source, found.state, found.at_ns, found.reason)
    return None


def _reading(row: tuple[Any, ...]) -> PointReading:
    source, point, source_ns, receive_ns, number, unit, quality, flags, origin, raw = row
    return PointReading(source, point, source_ns, receive_ns, number, unit, PointQuality(quality), flags, origin, raw)
