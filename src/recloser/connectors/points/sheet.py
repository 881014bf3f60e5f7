"""Owns cutting the text of a CSV into headings and rows, or saying which row is none. Knows no column."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from recloser.core import InvalidInput


@dataclass(frozen=True, slots=True)
class Sheet:
    """Headings, and rows that are not blank: number of the line, as a person counts, and cells by heading."""

    headings: tuple[str, ...]
    rows: tuple[tuple[int, dict[str, str]], ...]


def read_sheet(text: str, where: str, delimiter: str = ",") -> Sheet:
    """Return the sheet of a text; its lines may end as on any system.

    Raises:
        InvalidInput: a quote that is not closed in its cell, a line break inside a cell, more cells than headings, or
            a heading that stands twice; the message names file and row.
    """
    lines = _lines(re.sub(r"\r\n?", "\n", text), where, delimiter)
    headings = tuple(cell.strip() for cell in next(lines, (0, []))[1])
    twice = [heading for heading, times in Counter(headings).items() if heading and times > 1]
    if twice:
        raise InvalidInput(
            "a heading that stands twice",
            got=twice[0],
            expected="each heading once",
            where=where,
            next_step="Rename or remove one of the columns.",
        )
    return Sheet(headings, tuple((number, _row(headings, cells, f"{where} row {number}")) for number, cells in lines))


def _lines(text: str, where: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    reader, written = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True), text.split("\n")
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise _swallowing(written[number - 1], f"{where} row {number}") from error
        if any("\n" in cell for cell in cells):
            raise _swallowing(written[number - 1], f"{where} row {number}")
        if any(cell.strip() for cell in cells):
            yield number, cells


def _swallowing(got: str, where: str) -> InvalidInput:
    """Return the error of a row whose cell would take lines of others with it."""
    return InvalidInput(
        "a quote that is not closed in its cell, or a line break inside one",
        got=got[:80],
        expected='cells of one line; a quote inside a quoted cell is written twice: ""',
        where=where,
        next_step="Correct the row.",
    )


def _row(headings: Sequence[str], cells: Sequence[str], where: str) -> dict[str, str]:
    beyond = [cell for cell in cells[len(headings) :] if cell.strip()]
    if beyond:
        raise InvalidInput(
            "a row with more cells than there are headings",
            got=beyond[0],
            expected=f"{len(headings)} cells",
            where=where,
            next_step="Quote cells that hold the delimiter, or name the column.",
        )
    return {heading: cell for heading, cell in zip(headings, cells, strict=False) if heading or cell.strip()}
