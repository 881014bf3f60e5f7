"""Owns the reference to exactly what was read once, and its content digest. Does not pin: the ledger records pins."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from recloser.core import SAMPLE_SCHEMA, InvalidInput, format_utc, parse_utc, require_utc


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows a read gives.

    Attributes:
        areas: names, None for all.
        quantities: names, None for all.
        start: first `at` (aware UTC, included), None for the beginning.
        end: end of `at` (aware UTC, excluded), None for no end.
        as_of: no row has a later `available_at` (aware UTC, included).
    """

    areas: tuple[str, ...] | None
    quantities: tuple[str, ...] | None
    start: datetime | None
    end: datetime | None
    as_of: datetime

    @classmethod
    def of(
        cls,
        areas: Sequence[str] | None,
        quantities: Sequence[str] | None,
        window: tuple[datetime | None, datetime | None],
        as_of: datetime,
    ) -> Selection:
        """Build a selection with sorted distinct names and times in UTC.

        Raises:
            InvalidInput: a naive time, or one text where a sequence of names belongs.
        """
        start, end = (None if t is None else require_utc(t, "store selection") for t in window)
        return cls(_names(areas, "areas"), _names(quantities, "quantities"), start, end, require_utc(as_of, "as_of"))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What anything that trained on stored data keeps: a small, JSON-ready reference that can be opened again.

    Attributes:
        table: name of the table.
        version: version that was read; it must be pinned to survive maintenance.
        digest: SHA-256 of the content read (64 hex digits), independent of files and compaction.
        rows: number of rows, revisions included.
        selection: what was selected.
    """

    table: str
    version: int
    digest: str
    rows: int
    selection: Selection

    def to_dict(self) -> dict[str, Any]:
        """Return the snapshot as plain JSON data; times as ISO 8601 UTC."""
        chosen = self.selection
        return {
            "table": self.table,
            "version": self.version,
            "digest": self.digest,
            "rows": self.rows,
            "areas": None if chosen.areas is None else list(chosen.areas),
            "quantities": None if chosen.quantities is None else list(chosen.quantities),
            "start": None if chosen.start is None else format_utc(chosen.start),
            "end": None if chosen.end is None else format_utc(chosen.end),
            "as_of": format_utc(chosen.as_of),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Snapshot:
        """Build it back from `to_dict`.

        Raises:
            InvalidInput: a field is missing or a time unreadable.
        """
        try:
            window = (
                None if data["start"] is None else parse_utc(data["start"], "snapshot.start"),
                None if data["end"] is None else parse_utc(data["end"], "snapshot.end"),
            )
            chosen = Selection.of(data["areas"], data["quantities"], window, parse_utc(data["as_of"], "snapshot.as_of"))
            return cls(
                str(data["table"]), int(data["version"]), str(data["digest"]), int(data["rows"]), selection=chosen
            )
        except KeyError as error:
            raise InvalidInput(
                "a snapshot reference lacks a field", got=sorted(data), expected=str(error), where="Snapshot"
            ) from error


def content_digest(frame: pl.DataFrame) -> str:
    """Return the SHA-256 (64 hex digits) of the rows of a panel frame in SAMPLE_SCHEMA, in their order.

    Texts enter as run lengths and UTF-8, times as int64 microseconds, values as IEEE-754 little-endian float64 with
    a separate mask of absent ones: chunks, files and compression leave no trace.
    """
    result = hashlib.sha256(f"recloser-panel-1 {frame.height}".encode())
    for name in SAMPLE_SCHEMA:
        column = frame[name]
        result.update(f"|{name}|".encode())
        for part in _text_parts(column) if column.dtype == pl.String else _number_parts(column):
            result.update(np.ascontiguousarray(part).data if part.size else b"")
    return result.hexdigest()


def _text_parts(column: pl.Series) -> list[np.ndarray[Any, Any]]:
    runs = column.rle().struct
    texts = runs.field("value")
    joined = "".join(texts).encode()
    return [
        runs.field("len").cast(pl.Int64).to_numpy().astype("<i8"),
        texts.str.len_bytes().cast(pl.Int64).to_numpy().astype("<i8"),
        np.frombuffer(joined, dtype=np.uint8),
    ]


def _number_parts(column: pl.Series) -> list[np.ndarray[Any, Any]]:
    if column.dtype == pl.Float64:
        return [
            np.packbits(column.is_null().to_numpy()),
            column.fill_null(0.0).to_numpy().astype("<f8", copy=False),
        ]
    return [column.to_physical().cast(pl.Int64).to_numpy().astype("<i8", copy=False)]


def _names(names: Sequence[str] | None, what: str) -> tuple[str, ...] | None:
    if isinstance(names, str):
        raise InvalidInput(f"{what} must be a list of names", got=names, expected=f"[{names!r}]", where="store")
    return None if names is None else tuple(sorted(set(names)))
