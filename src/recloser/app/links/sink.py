"""Owns committing a spool's records to the table of readings, cleaned, each exactly once. Makes no series."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import polars as pl

from recloser.connectors.cleaning import KINDS, SAID, Cleaned, CleanedBlock, Cleaner, ColumnCleaner, Kind
from recloser.connectors.points import BlockHead, PointQuality, PointReading, ReadingBlock
from recloser.connectors.spool import Batch, Gap, LinkChange, Record
from recloser.core import RecloserError
from recloser.store import READING_SCHEMA, ReadingTable

SECOND_NS = 1_000_000_000
RECALL_S = 6 * 3600.0
MOST_RECALLED = 2_000_000  # readings
COUNTED = {Kind.READING: "readings", Kind.CONFIRMED: "repeated", Kind.REPEATED: "repeated"}


class TableSink:
    """The ReadingSink of one device: its readings go through the cleaner into the table.

    Args:
        table: of readings.
        device: whose spool it is.
        cleaner: makes a new one; asked again after a failure, for its memory must be that of the table. One of columns
            takes blocks of readings as they are, another one by one.
        recall_s: readings of so long before the latest are remembered when the process begins; of a
            steady stream in blocks not more than about two millions.
    """

    def __init__(
        self,
        table: ReadingTable,
        device: str,
        cleaner: Callable[[], Cleaner | ColumnCleaner],
        recall_s: float = RECALL_S,
    ) -> None:
        self._table, self._device, self._new_cleaner, self._recall_s = table, device, cleaner, recall_s
        self._cleaner: Cleaner | ColumnCleaner | None = None
        self.counts: Counter[str] = Counter()
        self.earliest_ns: int | None = None

    def committed(self, stream: str) -> int:
        """Return the highest sequence committed for a stream, 0 for none."""
        return self._table.sequence(stream) or 0

    def store(self, stream: str, records: Sequence[Record]) -> None:
        """Commit neighbouring records of a stream and the sequence of the last in one transaction."""
        cleaner = self._remembering()
        frames: list[pl.DataFrame] = []
        counts: Counter[str] = Counter()
        for head, together in groupby(records, _head_of):
            if head is not None and isinstance(cleaner, ColumnCleaner):
                frames.append(_block_frame(stream, list(together), cleaner, counts))
            else:
                frames.append(self._single_frame(stream, together, cleaner, counts))
        frame = pl.concat(frames)
        try:
            self._table.append(frame, stream, records[-1].sequence)
        except RecloserError:
            self._cleaner = None  # it has seen what is not stored
            raise
        self.counts.update(counts)
        earliest: Any = frame.filter(pl.col("kind") != "link")["at_ns"].min()
        if earliest is not None:
            self.earliest_ns = earliest if self.earliest_ns is None else min(self.earliest_ns, earliest)

    def _single_frame(
        self, stream: str, records: Iterator[Record], cleaner: Cleaner | ColumnCleaner, counts: Counter[str]
    ) -> pl.DataFrame:
        rows: list[dict[str, Any]] = []
        for record in records:
            if isinstance(record, Batch):
                found = cleaner.clean_all(record.readings)
                counts.update(COUNTED[one.kind] for one in found)
                counts["flagged"] += sum(bool(one.reason) for one in found if one.kind is Kind.READING)
                rows += [_reading_row(stream, record.sequence, one) for one in found]
            else:
                counts["gaps"] += isinstance(record, Gap)
                rows.append(_other_row(stream, record, self._device))
        return pl.DataFrame(rows, schema=READING_SCHEMA)

    def _remembering(self) -> Cleaner | ColumnCleaner:
        if self._cleaner is None:
            fresh = self._new_cleaner()
            most = MOST_RECALLED if isinstance(fresh, ColumnCleaner) else None
            stored = _stored(self._table, self._device, self._recall_s, most)
            fresh.recall(_reading(row, self._device) for row in stored.iter_rows(named=True))
            self._cleaner = fresh
        return self._cleaner


def _head_of(record: Record) -> BlockHead | None:
    if isinstance(record, Batch) and isinstance(record.readings, ReadingBlock):
        return record.readings.head
    return None


def _block_frame(stream: str, records: Sequence[Record], cleaner: ColumnCleaner, counts: Counter[str]) -> pl.DataFrame:
    """Return the rows of neighbouring blocks of one head, cleaned."""
    cleaned: list[CleanedBlock] = []
    numbers: list[int] = []
    for record in records:
        if isinstance(record, Batch) and isinstance(record.readings, ReadingBlock):
            cleaned.append(cleaner.clean_block(record.readings))
            numbers.append(record.sequence)
    for one in cleaned:
        found = np.bincount(one.kinds.ravel(), minlength=len(KINDS)).tolist()
        for kind, count in zip(KINDS, found, strict=True):
            counts[COUNTED[kind]] += count
        counts["flagged"] += len(one.reasons)
    sequences = np.repeat(np.array(numbers, np.int64), [len(one.block) for one in cleaned])
    return _columns(stream, sequences, cleaned)


def _columns(stream: str, sequences: np.ndarray[Any, np.dtype[np.int64]], cleaned: list[CleanedBlock]) -> pl.DataFrame:
    """Return the rows of cleaned blocks of one head; `sequences` has one for each reading."""
    head, height = cleaned[0].block.head, len(sequences)
    width = len(head.points)

    def text(value: str | None) -> pl.Series:
        return pl.repeat(value, height, dtype=pl.String(), eager=True)

    def joined(arrays: list[Any], kind: Any = np.int64) -> Any:
        return np.concatenate(arrays, dtype=kind, casting="unsafe")

    def empty(kind: pl.DataType) -> pl.Series:
        return pl.repeat(None, height, dtype=kind, eager=True)

    places = np.tile(np.arange(width), height // width)
    kinds = joined([one.kinds.ravel() for one in cleaned], np.uint8)
    number = pl.Series(joined([one.block.number.ravel() for one in cleaned], np.float64), nan_to_null=True)
    columns = {
        "kind": pl.Series([kind.value for kind in KINDS]).gather(kinds) if kinds.any() else text(KINDS[0].value),
        "stream": text(stream),
        "sequence": pl.Series(sequences),
        "source": text(head.source),
        "point": pl.Series(head.points, dtype=pl.String()).gather(places),
        "at_ns": pl.Series(joined([one.at_ns.ravel() for one in cleaned])),
        "source_ns": pl.Series(joined([np.repeat(one.block.source_ns, width) for one in cleaned])),
        "receive_ns": pl.Series(joined([np.repeat(one.block.receive_ns, width) for one in cleaned])),
        "number": number,
        "unit": pl.Series(head.units, dtype=pl.String()).gather(places),
        "quality": pl.Series(joined([one.block.quality.ravel() for one in cleaned])),
        "raw_flags": pl.Series(joined([one.block.raw_flags.ravel() for one in cleaned])),
        "origin": text(head.origin),
        "raw": empty(pl.Float64()),
        "reason": _reasons(kinds, cleaned),
        "end_ns": empty(pl.Int64()),
        "dropped": empty(pl.Int64()),
    }
    return pl.DataFrame(columns, schema=READING_SCHEMA)


def _reasons(kinds: np.ndarray[Any, np.dtype[np.uint8]], cleaned: list[CleanedBlock]) -> pl.Series:
    if not kinds.any() and not any(one.reasons for one in cleaned):
        return pl.repeat(None, len(kinds), dtype=pl.String(), eager=True)
    texts: list[str | None] = [None] * len(kinds)
    for place in np.flatnonzero(kinds).tolist():
        texts[place] = SAID[KINDS[kinds[place]]]
    begin = 0
    for one in cleaned:
        for place, reason in one.reasons.items():
            texts[begin + place] = reason
        begin += len(one.block)
    return pl.Series(texts, dtype=pl.String())


def _reading_row(stream: str, sequence: int, cleaned: Cleaned) -> dict[str, Any]:
    reading = cleaned.reading
    return {
        "kind": cleaned.kind.value,
        "stream": stream,
        "sequence": sequence,
        "source": reading.source,
        "point": reading.point,
        "at_ns": cleaned.at_ns,
        "source_ns": reading.source_ns,
        "receive_ns": reading.receive_ns,
        "number": reading.number,
        "unit": reading.unit,
        "quality": int(reading.quality),
        "raw_flags": reading.raw_flags,
        "origin": reading.origin,
        "raw": reading.raw,
        "reason": cleaned.reason or None,
    }


def _other_row(stream: str, record: Gap | LinkChange, device: str) -> dict[str, Any]:
    at_ns = record.start_ns if isinstance(record, Gap) else record.at_ns
    row = {
        "stream": stream,
        "sequence": record.sequence,
        "source": device,
        "at_ns": at_ns,
        "receive_ns": at_ns,
        "reason": record.reason,
    }
    if isinstance(record, Gap):
        return row | {"kind": "gap", "end_ns": record.end_ns, "dropped": record.dropped}
    return row | {"kind": "link", "origin": record.state}


def _stored(table: ReadingTable, device: str, recall_s: float, most: int | None = None) -> pl.DataFrame:
    """Return the device's latest stored readings, in their order; of a steady stream about `most`."""
    own = table.scan().filter((pl.col("source") == device) & (pl.col("kind") == Kind.READING.value))
    newest: Any = own.select(pl.col("receive_ns").max()).collect().item()
    if newest is None:
        return pl.DataFrame(schema=READING_SCHEMA)
    if most is not None:
        lately: Any = own.filter(pl.col("receive_ns") > newest - SECOND_NS).select(pl.len()).collect().item()
        recall_s = min(recall_s, most / lately)
    span_ns = int(recall_s * SECOND_NS)
    wanted = ["sequence", "point", "source_ns", "receive_ns", "number", "unit", "quality", "origin"]
    rows = own.filter(pl.col("receive_ns") >= newest - span_ns).select(wanted).collect()
    return rows.sort("sequence", maintain_order=True)


def _reading(row: dict[str, Any], device: str) -> PointReading:
    return PointReading(
        source=device,
        point=row["point"],
        source_ns=row["source_ns"],
        receive_ns=row["receive_ns"],
        number=row["number"],
        unit=row["unit"],
        quality=PointQuality(row["quality"]),
    )
