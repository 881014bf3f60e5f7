"""Owns readings of many points at many times as arrays, for sources that send them so. Of one reading: `reading.py`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from recloser.connectors.points.quality import PointQuality
from recloser.connectors.points.reading import PointReading
from recloser.core import InvalidInput


@dataclass(frozen=True, slots=True, eq=False)
class BlockHead:
    """What the readings of many blocks have in common; one object for all of them, known again by identity.

    Attributes:
        source: the device or connection, as the project names it.
        origin: how the readings came.
        points: names, each once.
        units: of the points.
    """

    source: str
    origin: str
    points: tuple[str, ...]
    units: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.units) != len(self.points) or len(set(self.points)) != len(self.points):
            raise InvalidInput("a block of readings needs each point once, with its unit", where=self.source)


@dataclass(frozen=True, slots=True, eq=False)
class ReadingBlock:
    """Readings of all points of a head at n times, in the order of arrival; at each time in the order of the points.

    It says what the `PointReading`s it yields say, without an object for each.

    Attributes:
        head: what they have in common.
        source_ns: (n,) time by the source's clock, ns since 1970 UTC.
        receive_ns: (n,) time of arrival by our clock, ns since 1970 UTC.
        number: (n, points) finite, or NaN where there is none.
        quality: (n, points) bits of PointQuality.
        raw_flags: (n, points) the protocol's own flags.
    """

    head: BlockHead
    source_ns: NDArray[np.int64]
    receive_ns: NDArray[np.int64]
    number: NDArray[np.float64]
    quality: NDArray[np.int32]
    raw_flags: NDArray[np.uint32]

    def __len__(self) -> int:
        """Return how many readings there are."""
        return int(self.number.size)

    def __iter__(self) -> Iterator[PointReading]:
        """Yield the readings, in their order."""
        head = self.head
        for place in range(len(self.source_ns)):
            source_ns, receive_ns = int(self.source_ns[place]), int(self.receive_ns[place])
            numbers = [None if number != number else number for number in self.number[place].tolist()]  # noqa: PLR0124
            rows = zip(
                head.points,
                numbers,
                head.units,
                self.quality[place].tolist(),
                self.raw_flags[place].tolist(),
                strict=True,
            )
            for point, number, unit, quality, flags in rows:
                yield PointReading(
                    head.source, point, source_ns, receive_ns, number, unit, PointQuality(quality), flags, head.origin
                )

    def rows(self, begin: int, end: int | None = None) -> ReadingBlock:
        """Return the readings of the times [begin, end), as a slice means them."""
        cut = slice(begin, end)
        return ReadingBlock(
            self.head,
            self.source_ns[cut],
            self.receive_ns[cut],
            self.number[cut],
            self.quality[cut],
            self.raw_flags[cut],
        )


@dataclass(frozen=True, slots=True)
class ReadingRun:
    """Blocks and runs of single readings that are handed on together, in their order; none is empty."""

    parts: tuple[ReadingBlock | tuple[PointReading, ...], ...]

    def __len__(self) -> int:
        """Return how many readings there are."""
        return sum(map(len, self.parts))

    def __iter__(self) -> Iterator[PointReading]:
        """Yield the readings, in their order."""
        for part in self.parts:
            yield from part


Readings = Sequence[PointReading] | ReadingBlock | ReadingRun
"""Readings of one device in their order, however they are held; each yields them one by one."""


def run_of(items: Iterable[PointReading | ReadingBlock]) -> Readings:
    """Return single readings and blocks as one, in their order."""
    parts: list[ReadingBlock | tuple[PointReading, ...]] = []
    for is_block, together in groupby(items, lambda item: isinstance(item, ReadingBlock)):
        if is_block:
            parts += [item for item in together if isinstance(item, ReadingBlock) and item]
        else:
            parts.append(tuple(item for item in together if isinstance(item, PointReading)))
    return parts[0] if len(parts) == 1 else ReadingRun(tuple(parts))


def parts_of(readings: Readings) -> tuple[ReadingBlock | tuple[PointReading, ...], ...]:
    """Return the blocks and runs of single readings that readings are made of, none of them empty."""
    if isinstance(readings, ReadingRun):
        return readings.parts
    if not readings:
        return ()
    return (readings if isinstance(readings, ReadingBlock) else tuple(readings),)


def merged(blocks: Sequence[ReadingBlock]) -> list[ReadingBlock]:
    """Return blocks about the same times as one, which arrived when the last of them did; others as they are.

    They must have no point in common, and one source.
    """
    first = blocks[0] if blocks else None
    if first is None or any(not np.array_equal(one.source_ns, first.source_ns) for one in blocks[1:]):
        return list(blocks)
    if len(blocks) == 1:
        return [first]
    return [
        ReadingBlock(
            _joined(tuple(one.head for one in blocks)),
            first.source_ns,
            np.max([one.receive_ns for one in blocks], axis=0),
            np.concatenate([one.number for one in blocks], axis=1),
            np.concatenate([one.quality for one in blocks], axis=1),
            np.concatenate([one.raw_flags for one in blocks], axis=1),
        )
    ]


@lru_cache(maxsize=64)
def _joined(heads: tuple[BlockHead, ...]) -> BlockHead:
    points = tuple(point for head in heads for point in head.points)
    return BlockHead(heads[0].source, heads[0].origin, points, tuple(unit for head in heads for unit in head.units))


def gathered(readings: Iterable[PointReading]) -> Iterator[ReadingBlock | PointReading]:
    """Yield readings in their order, neighbours that came together and are about one time of a source as a block."""
    for key, together in groupby(readings, _occasion):
        run = list(together)
        points = tuple(reading.point for reading in run)
        if key is None or len(run) == 1 or len(set(points)) < len(points):
            yield from run
            continue
        first = run[0]
        number = [np.nan if reading.number is None else reading.number for reading in run]
        yield ReadingBlock(
            _head(first.source, first.origin, points, tuple(reading.unit for reading in run)),
            np.array([first.source_ns], np.int64),
            np.array([first.receive_ns], np.int64),
            np.array([number], np.float64),
            np.array([[int(reading.quality) for reading in run]], np.int32),
            np.array([[reading.raw_flags for reading in run]], np.uint32),
        )


def _occasion(reading: PointReading) -> tuple[str, str, int, int] | None:
    """Return what the readings of a block share; None for one that no block can hold."""
    if reading.source_ns is None or reading.raw is not None or not 0 <= reading.raw_flags < 1 << 32:
        return None
    return reading.source, reading.origin, reading.source_ns, reading.receive_ns


@lru_cache(maxsize=64)
def _head(source: str, origin: str, points: tuple[str, ...], units: tuple[str, ...]) -> BlockHead:
    return BlockHead(source, origin, points, units)
