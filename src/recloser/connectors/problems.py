"""Owns the sentences about bad rows of a file: which file, row, column and text, and what to do."""

from __future__ import annotations

import polars as pl

from recloser.core import InvalidInput

NOTHING_STORED = "Nothing was stored."


def bad_rows(rows: pl.DataFrame, place: tuple[str, str], what: str, expected: str, next_step: str) -> InvalidInput:
    """Build the error about rows of one column.

    Args:
        rows: the offending rows with columns `row` (as a person counts) and `text` (what stands there).
        place: file name and column name.
        what: what is wrong with one such cell.
        expected: what would have been right.
        next_step: what to do now.
    """
    file, column = place
    first = rows.sort("row").head(5)
    numbers = ", ".join(str(row) for row in first["row"])
    more = rows.height - first.height
    where = f"{file}, row {first['row'][0]}, column {column!r}"
    count = "" if rows.height == 1 else f" ({rows.height} rows: {numbers}{f' and {more} more' if more else ''})"
    return InvalidInput(
        what + count, got=first["text"][0], expected=expected, where=where, next_step=f"{next_step} {NOTHING_STORED}"
    )
