"""Owns the bytes of a block of readings in the spool: arrays as they are, what is the same everywhere written once.

A block stands for itself: it names its points (compressed, as they are the same in each), so that a damaged record
costs no other. Arrays are little endian.
"""

from __future__ import annotations

import zlib
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from recloser.connectors.points import BlockHead, ReadingBlock

HEADS = 64  # that are remembered, written or read


class BlockBody(msgspec.Struct, tag="b", array_like=True):
    """A block in its bytes; `quality` and `flags` are one number where all are the same."""

    head: bytes
    source_ns: bytes
    receive_ns: bytes
    number: bytes
    quality: bytes
    flags: bytes


class _Head(msgspec.Struct, array_like=True):
    source: str
    origin: str
    points: list[str]
    units: list[str]


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(_Head)


def block_body(block: ReadingBlock) -> BlockBody:
    """Return what is written of a block."""
    return BlockBody(
        _head_bytes(block.head),
        block.source_ns.astype("<i8", copy=False).tobytes(),
        block.receive_ns.astype("<i8", copy=False).tobytes(),
        block.number.astype("<f8", copy=False).tobytes(),
        _once(block.quality.astype("<i4", copy=False)),
        _once(block.raw_flags.astype("<u4", copy=False)),
    )


def read_block(body: BlockBody) -> ReadingBlock:
    """Return the block; its arrays may not be written to.

    Raises:
        msgspec.ValidationError: arrays that do not fit each other.
    """
    head = _head(body.head)
    shape = len(body.source_ns) // 8, len(head.points)
    if len(body.receive_ns) != len(body.source_ns) or len(body.number) != 8 * shape[0] * shape[1]:
        raise msgspec.ValidationError("a block of readings whose arrays do not fit each other")
    return ReadingBlock(
        head,
        np.frombuffer(body.source_ns, "<i8"),
        np.frombuffer(body.receive_ns, "<i8"),
        np.frombuffer(body.number, "<f8").reshape(shape),
        _everywhere(body.quality, "<i4", shape),
        _everywhere(body.flags, "<u4", shape),
    )


def _once(values: NDArray[Any]) -> bytes:
    first = values.reshape(-1)[:1]
    return (first if bool((values == first).all()) else values).tobytes()


def _everywhere(content: bytes, kind: str, shape: tuple[int, int]) -> NDArray[Any]:
    values = np.frombuffer(content, kind)
    if len(values) == 1:
        return np.broadcast_to(values, shape)
    if len(values) != shape[0] * shape[1]:
        raise msgspec.ValidationError("a block of readings whose marks do not fit its numbers")
    return values.reshape(shape)


@lru_cache(maxsize=HEADS)
def _head_bytes(head: BlockHead) -> bytes:
    plain = _ENCODER.encode(_Head(head.source, head.origin, list(head.points), list(head.units)))
    return zlib.compress(plain, 6)


@lru_cache(maxsize=HEADS)
def _head(content: bytes) -> BlockHead:
    try:
        found = _DECODER.decode(zlib.decompress(content))
    except zlib.error as error:
        raise msgspec.ValidationError("a block of readings whose points cannot be read") from error
    return BlockHead(found.source, found.origin, tuple(found.points), tuple(found.units))
