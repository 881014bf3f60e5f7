"""Owns the table of readings that came over live links: every one as it came, and what was made of it. No protocol."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from recloser.core import Unavailable
from recloser.store.log_table import LogTable
from recloser.store.places import Place

NAME = "readings"
READING_SCHEMA: dict[str, pl.DataType] = {
    "kind": pl.String(),
    "stream": pl.String(),
    "sequence": pl.Int64(),
    "source": pl.String(),
    "point": pl.String(),
    "at_ns": pl.Int64(),
    "source_ns": pl.Int64(),
    "receive_ns": pl.Int64(),
    "number": pl.Float64(),
    "unit": pl.String(),
    "quality": pl.Int64(),
    "raw_flags": pl.Int64(),
    "origin": pl.String(),
    "raw": pl.Float64(),
    "reason": pl.String(),
    "end_ns": pl.Int64(),
    "dropped": pl.Int64(),
}
"""One row is one reading, a gap, or a change of a link; docs/rooms/store.md tells the columns."""


class ReadingTable(LogTable):
    """Append-only table of readings in one place; thread safe, several processes may hold one each."""

    def __init__(self, place: Place | Path) -> None:
        day = pl.from_epoch(pl.col("receive_ns"), time_unit="ns").dt.strftime("%Y-%m-%d")
        super().__init__(place, NAME, READING_SCHEMA, day)

    def read(
        self,
        source: str | None = None,
        points: Sequence[str] | None = None,
        start_ns: int | None = None,
        end_ns: int | None = None,
        kind: str | None = None,
    ) -> pl.DataFrame:
        """Return the rows about [start_ns, end_ns), nanoseconds since 1970 UTC, sorted by source, time and sequence.

        Args:
            source: device; None for all.
            points: names; None for all, and rows of gaps and links besides.
            start_ns: None for the first.
            end_ns: None for the last.
            kind: 'reading', 'gap' or 'link'; None for all.

        Raises:
            Unavailable: files are missing or damaged.
        """
        rows = self.scan()
        if source is not None:
            rows = rows.filter((pl.col("source") == source) | (pl.col("source") == ""))
        if kind is not None:
            rows = rows.filter(pl.col("kind") == kind)
        if points is not None:
            rows = rows.filter(pl.col("point").is_in(list(points)))
        if start_ns is not None:
            rows = rows.filter(pl.col("at_ns") >= start_ns)
        if end_ns is not None:
            rows = rows.filter(pl.col("at_ns") < end_ns)
        try:
            return rows.sort("source", "at_ns", "stream", "sequence", maintain_order=True).collect()
        except (pl.exceptions.PolarsError, OSError) as error:
            raise Unavailable(
                "the table of readings cannot be read", got=str(error)[:200], where=self.place.uri
            ) from error
