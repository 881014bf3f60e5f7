"""Owns the table of logged predictions: its columns and how they are read. Knows no log segment."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import polars as pl

from recloser.core import TIME, Unavailable, require_utc
from recloser.store.log_table import LogTable
from recloser.store.places import Place

NAME = "predictions"
PREDICTION_SCHEMA: dict[str, pl.DataType] = {
    "kind": pl.String(),
    "stream": pl.String(),
    "sequence": pl.Int64(),
    "request_id": pl.String(),
    "asked": pl.String(),
    "epoch": pl.Int64(),
    "made_at": TIME,
    "issued_at": TIME,
    "latency_us": pl.Int64(),
    "area": pl.String(),
    "row": pl.Int64(),
    "at": TIME,
    "served_by": pl.String(),
    "release": pl.String(),
    "reason": pl.String(),
    "model": pl.String(),
    "fault": pl.String(),
    "quantiles": pl.List(pl.Float64()),
    "mw": pl.List(pl.Float64()),
    "inputs_digest": pl.String(),
    "inputs": pl.Binary(),
    "gap_first": pl.Int64(),
    "gap_last": pl.Int64(),
}
"""One row is one model's answer to one target, or a gap in the log; docs/rooms/store.md tells the columns."""


class PredictionTable(LogTable):
    """Append-only table of predictions in one place; thread safe, several processes may hold one each."""

    def __init__(self, place: Place | Path) -> None:
        super().__init__(place, NAME, PREDICTION_SCHEMA, pl.col("made_at").dt.strftime("%Y-%m-%d"))

    def read(
        self, areas: Sequence[str] | None = None, start: datetime | None = None, end: datetime | None = None
    ) -> pl.DataFrame:
        """Return the rows with `made_at` in [start, end) (aware UTC), sorted by stream, sequence, area, row and model.

        Args:
            areas: names, None for all; rows of gaps belong to no area and come only with None.
            start: None for the first.
            end: None for the last.

        Raises:
            Unavailable: files are missing or damaged.
        """
        rows = self.scan()
        if areas is not None:
            rows = rows.filter(pl.col("area").is_in(list(areas)))
        if start is not None:
            rows = rows.filter(pl.col("made_at") >= require_utc(start, "predictions.start"))
        if end is not None:
            rows = rows.filter(pl.col("made_at") < require_utc(end, "predictions.end"))
        try:
            return rows.sort("stream", "sequence", "area", "row", "model").collect()
        except (pl.exceptions.PolarsError, OSError) as error:
            raise Unavailable(
                "the table of predictions cannot be read", got=str(error)[:200], where=self.place.uri
            ) from error
