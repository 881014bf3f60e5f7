"""Owns committing a spool's records to the table of readings, cleaned, each exactly once. Makes no series."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import polars as pl

from recloser.connectors.cleaning import Cleaned, Cleaner, Kind
from recloser.connectors.points import PointQuality, PointReading
from recloser.connectors.spool import Batch, Gap, LinkChange, Record
from recloser.core import RecloserError
from recloser.store import READING_SCHEMA, ReadingTable

SECOND_NS = 1_000_000_000
RECALL_S = 6 * 3600.0
COUNTED = {Kind.READING: "readings", Kind.CONFIRMED: "repeated", Kind.REPEATED: "repeated"}


class TableSink:
    """The ReadingSink of one device: its readings go through the cleaner into the table.

    Args:
        table: of readings.
        device: whose spool it is.
        cleaner: makes a new one; asked again after a failure, for its memory must be that of the table.
        recall_s: readings of so long before the latest are remembered when the process begins.
    """

    def __init__(
        self, table: ReadingTable, device: str, cleaner: Callable[[], Cleaner], recall_s: float = RECALL_S
    ) -> None:
        self._table, self._device, self._new_cleaner, self._recall_s = table, device, cleaner, recall_s
        self._cleaner: Cleaner | None = None
        self.counts: Counter[str] = Counter()
        self.earliest_ns: int | None = None

    def committed(self, stream: str) -> int:
        """Return the highest sequence committed for a stream, 0 for none."""
        return self._table.sequence(stream) or 0

    def store(self, stream: str, records: Sequence[Record]) -> None:
        """Commit neighbouring records of a stream and the sequence of the last in one transaction."""
        cleaner = self._remembering()
        rows: list[dict[str, Any]] = []
        counts: Counter[str] = Counter()
        for record in records:
            if isinstance(record, Batch):
                found = [cleaner.clean(reading) for reading in record.readings]
                counts.update(COUNTED[one.kind] for one in found)
                counts["flagged"] += sum(bool(one.reason) for one in found if one.kind is Kind.READING)
                rows += [_reading_row(stream, record.sequence, one) for one in found]
            else:
                counts["gaps"] += isinstance(record, Gap)
                rows.append(_other_row(stream, record, self._device))
        frame = pl.DataFrame(rows, schema=READING_SCHEMA)
        try:
            self._table.append(frame, stream, records[-1].sequence)
        except RecloserError:
            self._cleaner = None  # it has seen what is not stored
            raise
        self.counts.update(counts)
        earliest: Any = frame.filter(pl.col("kind") != "link")["at_ns"].min()
        if earliest is not None:
            self.earliest_ns = earliest if self.earliest_ns is None else min(self.earliest_ns, earliest)

    def _remembering(self) -> Cleaner:
        if self._cleaner is None:
            fresh = self._new_cleaner()
            fresh.recall(_stored(self._table, self._device, self._recall_s))
            self._cleaner = fresh
        return self._cleaner


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


def _stored(table: ReadingTable, device: str, recall_s: float) -> list[PointReading]:
    """Return the device's latest stored readings, in the order in which they were stored."""
    own = table.scan().filter((pl.col("source") == device) & (pl.col("kind") == Kind.READING.value))
    newest: Any = own.select(pl.col("receive_ns").max()).collect().item()
    if newest is None:
        return []
    since = newest - int(recall_s * SECOND_NS)
    rows = own.filter(pl.col("receive_ns") >= since).collect().sort("sequence", maintain_order=True)
    return [
        PointReading(
            source=device,
            point=row["point"],
            source_ns=row["source_ns"],
            receive_ns=row["receive_ns"],
            number=row["number"],
            unit=row["unit"],
            quality=PointQuality(row["quality"]),
        )
        for row in rows.iter_rows(named=True)
    ]
