"""Owns opening a file: kind, encoding, delimiter, header. Gives texts (CSV) or typed columns (Parquet), not meaning."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import zlib
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from recloser.connectors.mapping import FileMapping
from recloser.core import InvalidInput, Unavailable, nearest, unknown_name

DELIMITERS = (",", ";", "\t", "|")
NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
FIELD_LIMIT = 1 << 20
ROW = "\0row"  # no column of a file is called that


@dataclass(frozen=True, slots=True)
class RawTable:
    """The needed columns of a file, untouched, plus ROW: the number a person would give the row.

    Attributes:
        frame: ROW (UInt32) and the needed columns under their names in the mapping; CSV cells are String or null.
        file: name for messages.
        delimiter: of a CSV, None for Parquet.
        notes: what was detected.
    """

    frame: pl.DataFrame
    file: str
    delimiter: str | None
    notes: list[str]

    def cells(self, column: str) -> pl.DataFrame:
        """Return a column as a person sees it: `row` and `text`."""
        return self.frame.select(pl.col(ROW).alias("row"), pl.col(column).cast(pl.String).alias("text"))


def open_table(path: Path, mapping: FileMapping) -> RawTable:
    """Read the columns that the mapping needs.

    Raises:
        InvalidInput: no such file, not a CSV or Parquet, damaged, wrong encoding, a column absent or twice.
        Unavailable: the file cannot be read now.
    """
    if not path.is_file():
        raise _no_file(path)
    try:
        with path.open("rb") as handle:
            head = handle.read(4)
        if head == b"PAR1":
            return _open_parquet(path, mapping)
        if path.suffix.lower() in {".parquet", ".pq"} or head.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
            raise InvalidInput(
                "not a readable CSV or Parquet file",
                got=f"first bytes {head!r}",
                where=path.name,
                next_step="The file is damaged, or of another kind: export it as CSV.",
            )
        return _open_csv(path, mapping)
    except OSError as error:
        raise Unavailable("the file cannot be read", got=str(error), where=str(path)) from error


def _no_file(path: Path) -> InvalidInput:
    if path.exists():
        kind = "a folder, not a file" if path.is_dir() else "not a regular file"
        return InvalidInput(kind, got=str(path), expected="a CSV or Parquet file", next_step="Name one file.")
    siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    guess = nearest(path.name, siblings)
    return InvalidInput(
        "no such file",
        got=str(path),
        expected="a CSV or Parquet file",
        next_step=f"Did you mean {str(path.parent / guess)!r}?" if guess else "Check the path.",
    )


def _open_parquet(path: Path, mapping: FileMapping) -> RawTable:
    try:
        names = list(pl.read_parquet_schema(path))
        needed = _find(mapping, names, path.name)
        frame = pl.read_parquet(path, columns=list(dict.fromkeys(needed)), row_index_name=ROW, row_index_offset=1)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise InvalidInput(
            "not a readable Parquet file",
            got=str(error)[:200],
            where=path.name,
            next_step="The file is damaged: fetch or export it again.",
        ) from error
    columns = [pl.col(old).alias(new) for old, new in zip(needed, mapping.needed(), strict=True)]
    return RawTable(frame.select(ROW, *columns), path.name, None, [])


def _open_csv(path: Path, mapping: FileMapping) -> RawTable:
    source, text_head = _utf8(path, mapping)
    notes: list[str] = []
    delimiter = mapping.delimiter or _sniff(text_head, mapping)
    header = _header(text_head, delimiter, mapping.skip_lines)
    if not any(header):
        raise InvalidInput(
            "the file has no header",
            where=path.name,
            expected="column names in the first line",
            next_step="Export it again, or say skip_lines if other lines come first. Nothing was stored.",
        )
    if mapping.delimiter is None and delimiter != ",":
        notes.append(f"Columns are separated by {NAMES[delimiter]}s (detected).")
    if any("\ufffd" in name for name in header):
        raise _wrong_encoding(path.name, mapping.encoding)
    needed = _find(mapping, header, path.name)
    places = [header.index(name) for name in needed]
    try:
        frame = pl.read_csv(
            source,
            separator=delimiter,
            has_header=False,
            skip_lines=mapping.skip_lines + 1,
            schema={f"c{i}": pl.String for i in range(len(header))},
            infer_schema=False,
            columns=sorted(set(places)),
            raise_if_empty=False,
            missing_columns="insert",
        )
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise _unreadable(source, delimiter, mapping, path.name, str(error)) from error
    if not mapping.multiline:
        _refuse_hidden_rows(source, frame.height + mapping.skip_lines + 1, path.name)
    row = pl.int_range(mapping.skip_lines + 2, mapping.skip_lines + 2 + pl.len(), dtype=pl.UInt32).alias(ROW)
    columns = [pl.col(f"c{i}").alias(name) for i, name in zip(places, mapping.needed(), strict=True)]
    return RawTable(frame.select(row, *columns), path.name, delimiter, notes)


def _utf8(path: Path, mapping: FileMapping) -> tuple[Path | bytes, str]:
    """Return what polars shall read (the path, or re-encoded bytes) and the first part as text."""
    packed = path.suffix.lower() == ".gz"
    content = _unpack(path) if packed else b""
    with path.open("rb") as handle:
        head = content[:FIELD_LIMIT] if packed else handle.read(FIELD_LIMIT)
    encoding = mapping.encoding
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    try:
        plain = codecs.lookup(encoding).name in {"utf-8", "ascii", "utf-8-sig"}
        if plain and not packed:
            return path, head.decode("utf-8-sig", errors="replace")
        text = (content if packed else path.read_bytes()).decode("utf-8-sig" if plain else encoding)
    except LookupError as error:
        raise InvalidInput("unknown encoding", got=encoding, expected="such as utf-8 or cp1252") from error
    except UnicodeDecodeError as error:
        raise _wrong_encoding(path.name, encoding) from error
    return text.encode(), text[:FIELD_LIMIT]


def _unpack(path: Path) -> bytes:
    try:
        return gzip.decompress(path.read_bytes())
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InvalidInput(
            "not a readable gzip file", got=str(error), where=path.name, next_step="Fetch or export it again."
        ) from error


def _wrong_encoding(file: str, encoding: str) -> InvalidInput:
    return InvalidInput(
        f"the text is not {encoding}",
        where=file,
        expected="the encoding that the file was written in",
        next_step="Say encoding='cp1252' for most files from Windows, or save it as UTF-8.",
    )


def _header(head: str, delimiter: str, skip_lines: int) -> list[str]:
    lines = io.StringIO(head)
    for _ in range(skip_lines):
        lines.readline()
    try:
        return [name.strip() for name in next(csv.reader(lines, delimiter=delimiter), [])]
    except csv.Error as error:
        raise InvalidInput(
            "not a readable CSV header", got=str(error), next_step="Lines must end in LF or CRLF, quotes must close."
        ) from error


def _sniff(head: str, mapping: FileMapping) -> str:
    """Return the delimiter under which the header holds most of the needed names, then the most names."""

    def fit(delimiter: str) -> tuple[int, int]:
        header = _header(head, delimiter, mapping.skip_lines)
        return len(set(header) & set(mapping.needed())), len(header)

    return max(DELIMITERS, key=fit)


def _refuse_hidden_rows(source: Path | bytes, rows: int, file: str) -> None:
    """Refuse a file with more lines than rows: a stray quote makes one cell of all lines up to the next quote."""
    lines = 0
    with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as handle:
        while block := handle.read(1 << 22):
            lines += block.count(b"\n")
    if lines > rows:
        raise InvalidInput(
            "line breaks inside quoted cells",
            got=f"{lines} lines, {rows} rows",
            where=file,
            expected="one line per row",
            next_step="Look for a stray quote. Say multiline=True if cells really hold line breaks.",
        )


def _find(mapping: FileMapping, names: list[str], file: str) -> list[str]:
    """Return the file's name of each needed column.

    Raises:
        InvalidInput: absent (the nearest name is told) or there twice.
    """
    for name in mapping.needed():
        if name not in names:
            raise unknown_name("column", name, [n for n in names if n], file)
        if names.count(name) > 1:
            raise InvalidInput(
                "a column name stands twice in the header",
                got=name,
                where=file,
                next_step="Rename one of the two columns.",
            )
    return mapping.needed()


def _unreadable(source: Path | bytes, delimiter: str, mapping: FileMapping, file: str, reason: str) -> InvalidInput:
    """Find the row that the reader stumbled over; slow, so only after it did."""
    raw = source if isinstance(source, bytes) else source.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return _wrong_encoding(file, mapping.encoding)
    lines = io.StringIO(text)
    for _ in range(mapping.skip_lines):
        lines.readline()
    rows = csv.reader(lines, delimiter=delimiter)
    width = len(next(rows, []))
    try:
        for number, cells in enumerate(rows, start=mapping.skip_lines + 2):
            if len(cells) > width:
                return InvalidInput(
                    f"a row with {len(cells)} cells under a header of {width}",
                    got=delimiter.join(cells)[:120],
                    where=f"{file}, row {number}",
                    next_step="A decimal comma in a comma-separated file, or a stray delimiter? Nothing was stored.",
                )
    except csv.Error as error:
        reason = str(error)
    return InvalidInput(
        "not a readable CSV file",
        got=reason.splitlines()[0][:200] if reason else None,
        where=file,
        next_step="Look for an unclosed quote, or say the delimiter. Nothing was stored.",
    )
