"""Owns cleaning blocks of readings time by time, all points of a time at once. The same answers as `Cleaner`, by array.

For one thread. Work for a time grows little with its points; single readings cost more than `Cleaner` asks for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from recloser.connectors.cleaning.cleaner import OURS, SAID, STALE, Cleaned, Kind
from recloser.connectors.cleaning.column_memory import ColumnMemory, Columns
from recloser.connectors.cleaning.column_steps import DOUBTFUL, STEPS, Row, look_back, remember
from recloser.connectors.cleaning.steps import CleaningRules
from recloser.connectors.points import (
    BlockHead,
    Point,
    PointQuality,
    PointReading,
    ReadingBlock,
    Readings,
    gathered,
    has_any,
    parts_of,
)

KINDS = (Kind.READING, Kind.CONFIRMED, Kind.REPEATED)
READING, CONFIRMED, REPEATED = range(3)
THEIRS = ~int(OURS)
ALL = slice(None)
HEADS = 64  # that are remembered


@dataclass(frozen=True, slots=True, eq=False)
class CleanedBlock:
    """A block with the bits it earned.

    Attributes:
        block: with these bits.
        kinds: (n, points) place of each reading's kind in KINDS.
        at_ns: (n, points) when it is about, ns since 1970 UTC.
        reasons: by place in the order of the readings, for news that are not as they came.
    """

    block: ReadingBlock
    kinds: NDArray[np.uint8]
    at_ns: NDArray[np.int64]
    reasons: Mapping[int, str]

    def __iter__(self) -> Iterator[Cleaned]:
        """Yield the readings one by one, in their order."""
        told = zip(self.kinds.ravel().tolist(), self.at_ns.ravel().tolist(), self.block, strict=True)
        for place, (kind, at_ns, reading) in enumerate(told):
            reason = self.reasons.get(place, "") if kind == READING else SAID[KINDS[kind]]
            yield Cleaned(KINDS[kind], reading, at_ns, reason)


@dataclass(frozen=True, slots=True)
class _Known:
    """Which points of a head are known, and their columns."""

    places: slice | NDArray[np.intp]
    columns: Columns


class ColumnCleaner:
    """Cleans the readings of one device, blocks or single ones, in their order; `recall` restores its memory.

    Args:
        points: by name; a reading of another point passes as it is.
        rules: of the device.
    """

    def __init__(self, points: Mapping[str, Point], rules: CleaningRules | None = None) -> None:
        self._rules, self._columns = rules or CleaningRules(), {name: place for place, name in enumerate(points)}
        self._memory = ColumnMemory(tuple(points.values()))
        self._heads: dict[BlockHead, _Known] = {}

    def recall(self, earlier: Iterable[PointReading]) -> None:
        """Take note of readings that were cleaned before, in their order; their bits are as they were stored."""
        for item in gathered(earlier):
            if isinstance(item, ReadingBlock):
                row = _row_at(item, 0, self._known(item.head))
                fresh = row.quality & STALE == 0
                row = row if fresh.all() else self._part(row, fresh)
            elif item.point in self._columns and not has_any(item.quality, STALE):
                row = _row_of(item, self._columns[item.point])
            else:
                continue
            look_back(row, self._memory)
            self._note(row)

    def clean(self, reading: PointReading) -> Cleaned:
        """Return a single reading with what the steps say."""
        column = self._columns.get(reading.point)
        if column is None or has_any(reading.quality, STALE):
            return Cleaned(Kind.READING, reading, reading.at_ns)
        row = _row_of(reading, column)
        kinds, reasons = self._clean(row)
        kind = int(kinds[0])
        if kind != READING:
            return Cleaned(KINDS[kind], reading, int(_about(row, kinds)[0]), SAID[KINDS[kind]])
        marked = replace(reading, quality=PointQuality(int(row.quality[0])))
        return Cleaned(Kind.READING, marked, marked.at_ns, reasons.get(0, ""))

    def clean_block(self, block: ReadingBlock) -> CleanedBlock:
        """Return the block with what the steps say."""
        known, shape = self._known(block.head), block.number.shape
        quality, kinds = np.array(block.quality), np.zeros(shape, np.uint8)
        at_ns, reasons = _times(block), dict[int, str]()
        for place in range(shape[0]):
            row = _row_at(block, place, known)
            kinds[place, known.places], found = self._clean(row)
            quality[place, known.places] = row.quality
            at_ns[place, known.places] = _about(row, kinds[place, known.places])
            if found:
                among = np.arange(shape[1])[known.places]
                reasons.update((place * shape[1] + int(among[spot]), text) for spot, text in found.items())
        marked = ReadingBlock(block.head, block.source_ns, block.receive_ns, block.number, quality, block.raw_flags)
        return CleanedBlock(marked, kinds, at_ns, reasons)

    def clean_all(self, readings: Readings) -> list[Cleaned]:
        """Return readings, one after another, with what the steps say."""
        found: list[Cleaned] = []
        for part in parts_of(readings):
            for item in [part] if isinstance(part, ReadingBlock) else gathered(part):
                found += self.clean_block(item) if isinstance(item, ReadingBlock) else [self.clean(item)]
        return found

    def _clean(self, row: Row) -> tuple[NDArray[np.uint8], dict[int, str]]:
        """Put a row through the steps; return the kinds and, by place, reasons. Marks are added to its quality."""
        kinds, fresh = np.zeros(len(row.number), np.uint8), row.quality & STALE == 0
        if row.source_ns is not None:
            found, latest = self._memory.known(row.source_ns, row.number, row.quality & THEIRS, row.columns)
            found &= fresh
            kinds[found] = REPEATED
            kinds[found & latest] = CONFIRMED
            fresh &= ~found
        if fresh.all():
            self._step(row)
            return kinds, {place: "; ".join(texts) for place, texts in row.reasons.items()}
        part, places = self._part(row, fresh), np.flatnonzero(fresh)
        if len(places):
            self._step(part)
            row.quality[places] = part.quality
        return kinds, {int(places[spot]): "; ".join(texts) for spot, texts in part.reasons.items()}

    def _step(self, row: Row) -> None:
        for step in STEPS:
            step(row, self._memory, self._rules)
        self._note(row)

    def _note(self, row: Row) -> None:
        if row.source_ns is not None:
            self._memory.state(row.source_ns, row.number, row.quality & THEIRS, row.columns)
        remember(row, self._memory)

    def _part(self, row: Row, which: NDArray[np.bool_]) -> Row:
        columns = self._memory.indices(row.columns)[which]
        return Row(columns, row.source_ns, row.receive_ns, row.number[which], row.quality[which])

    def _known(self, head: BlockHead) -> _Known:
        found = self._heads.get(head)
        if found is None:
            columns = np.array([self._columns.get(name, -1) for name in head.points], np.intp)
            places = np.flatnonzero(columns >= 0)
            everything = np.array_equal(columns, np.arange(len(self._columns)))
            found = _Known(ALL if len(places) == len(columns) else places, ALL if everything else columns[places])
            if len(self._heads) >= HEADS:
                self._heads.clear()
            self._heads[head] = found
        return found


def _times(block: ReadingBlock) -> NDArray[np.int64]:
    """Return what each reading is about as it came, ns since 1970 UTC, (n, points)."""
    doubtful = block.quality & DOUBTFUL != 0
    return np.where(doubtful, block.receive_ns[:, None], block.source_ns[:, None])


def _about(row: Row, kinds: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return what each reading of a row is about; what is confirmed holds from its arrival on."""
    return np.where(kinds == CONFIRMED, row.receive_ns, row.at_ns)


def _row_at(block: ReadingBlock, place: int, known: _Known) -> Row:
    number, quality = block.number[place, known.places], np.array(block.quality[place, known.places])
    return Row(known.columns, int(block.source_ns[place]), int(block.receive_ns[place]), number, quality)


def _row_of(reading: PointReading, column: int) -> Row:
    number = np.array([np.nan if reading.number is None else reading.number])
    quality = np.array([int(reading.quality)], np.int32)
    return Row(np.array([column]), reading.source_ns, reading.receive_ns, number, quality)
