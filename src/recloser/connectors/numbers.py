"""Owns turning texts into numbers: missing marks, decimal comma, unit conversion. Never guesses a value."""

from __future__ import annotations

import polars as pl

from recloser.connectors.mapping import FileMapping
from recloser.connectors.problems import bad_rows
from recloser.connectors.table import RawTable
from recloser.core import InvalidInput

MISSING_MARKS = ["", "-", "--", "na", "n/a", "n/e", "#n/a", "nan", "null", "none", "nil"]
_GROUPED = r"^[+-]?[0-9]{1,3}(,[0-9]{3})+$"


def decimal_mark(table: RawTable, columns: list[str], mapping: FileMapping) -> str:
    """Return '.' or ',', told or detected; a detected comma is noted in the table.

    Raises:
        InvalidInput: commas that could be thousands separators as well.
    """
    texts = [name for name in columns if table.frame.schema[name] == pl.String]
    if mapping.decimal is not None or not texts or table.delimiter == ",":
        return mapping.decimal or "."
    commas = [pl.col(name).str.contains(",", literal=True).any() for name in texts]
    points = [pl.col(name).str.contains(".", literal=True).any() for name in texts]
    has_comma, has_point = table.frame.select(
        pl.any_horizontal(commas).alias("comma"), pl.any_horizontal(points).alias("point")
    ).row(0)
    if not has_comma or has_point:
        return "."
    plain = [pl.col(name).str.contains(",", literal=True) & ~pl.col(name).str.contains(_GROUPED) for name in texts]
    if not table.frame.select(pl.any_horizontal([expr.any() for expr in plain])).item():
        raise InvalidInput(
            "commas in numbers that may be decimal commas or thousands separators",
            where=f"{table.file}, column {texts[0]!r}",
            expected="a decimal mark that can be told",
            next_step="Say decimal=',' if 1,234 means 1.234; export without thousands separators otherwise.",
        )
    table.notes.append("Numbers have a decimal comma (detected).")
    return ","


def to_numbers(table: RawTable, column: str, decimal: str) -> pl.Series:
    """Return the column as Float64, null where the file has nothing (empty, NaN or a mark of MISSING_MARKS).

    Raises:
        InvalidInput: a cell that is no finite number; file, row, column and text are named.
    """
    raw = table.frame[column]
    if raw.dtype in (pl.Categorical, pl.Enum):
        raw = raw.cast(pl.String)
    if raw.dtype == pl.String:
        text = raw.str.strip_chars()
        missing = text.is_null() | text.str.to_lowercase().is_in(MISSING_MARKS)
        if decimal == ",":
            # A point cannot be read beside decimal commas: it may separate thousands.
            text = text.set(text.str.contains(".", literal=True), None).str.replace(",", ".", literal=True)
        values = text.cast(pl.Float64, strict=False)
    elif raw.dtype.is_numeric() or raw.dtype == pl.Null:
        values = raw.cast(pl.Float64)
        missing = values.is_null() | values.is_nan().fill_null(value=False)
    else:
        raise InvalidInput(
            "a column that is no number",
            got=str(raw.dtype),
            expected="numbers, or texts that are numbers",
            where=f"{table.file}, column {column!r}",
            next_step="Map another column. Nothing was stored.",
        )
    bad = ~missing & ~values.is_finite().fill_null(value=False)
    if bad.any():
        rows = table.cells(column).filter(bad)
        raise bad_rows(
            rows,
            (table.file, column),
            "not a number",
            "a finite number with decimal " + ("comma" if decimal == "," else "point"),
            "Correct it, or leave it empty if it is missing. Thousands separators are not read; "
            f"if the file's decimal mark is the other one, say decimal={'.' if decimal == ',' else ','!r}.",
        )
    return values.set(missing, None)
