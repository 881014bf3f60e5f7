"""Owns turning stamps into aware UTC: formats, zones, the hour that comes twice and the one that never comes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import time, timedelta
from typing import Literal

import polars as pl

from recloser.connectors.mapping import STAMPS, FileMapping
from recloser.connectors.problems import bad_rows
from recloser.connectors.table import ROW, RawTable
from recloser.core import TIME, InvalidInput

READ_AS_UTC = "Stamps carry no offset and are read as UTC; say --time-zone (or [data] time_zone) if they are local."
READ_RANGES = "Stamps are ranges such as {!r}: the {} of each is taken."
_RANGE, _ZONE_NAME = r"^(.+?)\s+-\s+(.+)$", r"\s*\([A-Z]{2,5}\)$"
_OFFSET = r"[0-9](Z|z|[+-][0-9]{2}:?[0-9]{2}|[+-][0-9]{2})$"
_CLOCK = r":[0-9]{2}"
_AWARE_FORMATS = ("%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M%#z")
_NAIVE_FORMATS = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d")
_FORMAT_HINT = "Say time_format, for example '%d/%m/%Y %H:%M', if it is another."
_PER_SECOND = {"ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_EARLIEST_S, _LATEST_S = -2_208_988_800, 7_258_118_400  # 1900 and 2200: nobody measured load before, or will after
_ISO = "ISO 8601 such as 2020-03-01T09:00 or 2020-03-01 09:00:00+01:00"


@dataclass(frozen=True, slots=True)
class Stamps:
    """Stamps as found: aware ones in UTC, or naive ones that still need a zone; null where nothing stands."""

    instants: pl.Series
    aware: bool


def to_instants(
    table: RawTable, column: str, areas: pl.Series, mapping: FileMapping, valueless: pl.Series | None = None
) -> pl.Series:
    """Return the stamps of a column as aware UTC (Datetime us), null where the cell is empty.

    A stamp in the hour that does not exist is null too where `valueless` says that its row holds no value: exports
    of 24 rows a day have such rows.

    Stamps with an offset are taken as they are, the others read in the mapping's zone (see `localise`); days with a
    numbered period as `numbered` says.

    Raises:
        InvalidInput: unreadable, not between 1900 and 2200, mixed with and without offset, in the hour that does not
            exist, or ambiguous.
    """
    stamps = _parse(table, column, mapping)
    _refuse_far(table, column, stamps.instants.to_physical(), _PER_SECOND["us"])
    if mapping.time_zone == "UTC" and not stamps.aware:
        table.notes.append(READ_AS_UTC)
    if mapping.period is not None and column == mapping.time:
        return numbered(table, stamps, mapping)
    if stamps.aware:
        return stamps.instants
    empty = pl.Series([False], dtype=pl.Boolean).new_from_index(0, len(areas)) if valueless is None else valueless
    frame = table.cells(column).with_columns(area=areas, stamp=stamps.instants, valueless=empty)
    return localise(frame, (table.file, column), mapping)


def _parse(table: RawTable, column: str, mapping: FileMapping) -> Stamps:
    raw = table.frame[column]
    if isinstance(raw.dtype, pl.Datetime):
        _refuse_far(table, column, raw.to_physical(), _PER_SECOND[raw.dtype.time_unit])
        instants = raw.dt.cast_time_unit("us")
        aware = raw.dtype.time_zone is not None
        return Stamps(instants.dt.convert_time_zone("UTC") if aware else instants, aware)
    if raw.dtype == pl.Date:
        return Stamps(raw.cast(pl.Datetime("us")), aware=False)
    if raw.dtype in (pl.Categorical, pl.Enum):
        raw = raw.cast(pl.String)
    if mapping.time_format in ("unix_s", "unix_ms"):
        return _parse_epoch(table, raw, column, mapping.time_format)
    if raw.dtype != pl.String:
        raise InvalidInput(
            "a time column of numbers" if raw.dtype.is_numeric() else "a column that is no time",
            got=str(raw.dtype),
            expected=_ISO,
            where=f"{table.file}, column {column!r}",
            next_step="Say time_format='unix_s' or 'unix_ms' if these are seconds or milliseconds since 1970.",
        )
    text = raw.str.strip_chars()
    text = _ends(table, text.set(text == "", None), column, mapping)
    if mapping.time_format is not None:
        return _parse_format(table, text, column, mapping.time_format)
    return _parse_iso(table, text, column)


def _ends(table: RawTable, text: pl.Series, column: str, mapping: FileMapping) -> pl.Series:
    """Return the wanted ends where all stamps are ranges, such as those of the ENTSO-E platform; else the stamps."""
    if " - " in (mapping.time_format or "") or not text.str.contains(_RANGE).all() or text.null_count() == len(text):
        return text
    wanted = mapping.stamp if column == mapping.time else "start"
    found = text.str.extract(_RANGE, STAMPS.index(wanted) + 1)
    table.notes.append(READ_RANGES.format(text.drop_nulls()[0], wanted))
    return found.str.replace(_ZONE_NAME, "")


def numbered(table: RawTable, days: Stamps, mapping: FileMapping) -> pl.Series:
    """Return the start of the interval that has a number in a local day, aware UTC.

    Numbers count the intervals as they pass: a day has fewer when the clock is put forward, and more when it is put
    back, so that no hour comes twice.

    Args:
        table: the file.
        days: the local days; null where nothing stands.
        mapping: zone, resolution, and the column of the numbers.

    Raises:
        InvalidInput: a day with a time or an offset, a number that is none, or one that its day has not.
    """
    column = mapping.period or ""
    raw, place = table.frame[column], (table.file, column)
    numbers = (raw.str.strip_chars() if raw.dtype == pl.String else raw).cast(pl.Float64, strict=False)
    day = days.instants.dt.date()
    if days.aware or (days.instants.dt.time().drop_nulls() != time(0)).any():
        raise InvalidInput(
            "times beside numbered periods",
            where=f"{table.file}, column {mapping.time!r}",
            expected="days without a time, such as 2024-03-31",
            next_step="Leave period away if the stamps tell the time.",
        )
    frame = pl.DataFrame({"number": numbers, "day": day, "next": day.dt.offset_by("1d")})
    frame = frame.with_columns(_midnight("day", mapping.time_zone), _midnight("next", mapping.time_zone))
    at = pl.col("day") + pl.duration(microseconds=(pl.col("number") - 1) * _microseconds(mapping.resolution))
    frame = frame.with_columns(at=at)
    known = frame["day"].is_not_null()
    whole = (numbers >= 1) & (numbers == numbers.floor())
    within = whole.fill_null(value=False) & (frame["at"] < frame["next"]).fill_null(value=False)
    if (known & ~within).any():
        raise bad_rows(
            table.cells(column).filter(known & ~within),
            place,
            f"no period of its day in {mapping.time_zone}",
            f"a whole number from 1 on, of intervals of {mapping.resolution}",
            "Say the right zone and resolution, or map a column with the time.",
        )
    return frame["at"].alias(mapping.time)


def _midnight(name: str, zone: str) -> pl.Expr:
    """Return the first instant of a day, UTC; where the clock is put forward at midnight, an hour later."""
    naive = pl.col(name).cast(pl.Datetime("us"))
    first = naive.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    later = (naive + pl.duration(hours=1)).dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    return pl.coalesce(first, later).dt.convert_time_zone("UTC").alias(name)


def _microseconds(span: timedelta) -> int:
    return int(span / timedelta(microseconds=1))


def _parse_iso(table: RawTable, text: pl.Series, column: str) -> Stamps:
    if text.str.contains("/", literal=True).any():
        slashed = text.str.contains(r"^[0-9]{4}/")
        text = text.zip_with(~slashed.fill_null(value=False), text.str.replace_all("/", "-", literal=True))
    text = text.str.replace(" ", "T", literal=True)
    has_offset = text.str.contains(_OFFSET)
    if has_offset.any():  # the day of a bare date looks like an offset
        has_offset &= text.str.contains(_CLOCK)
    aware = bool(has_offset.any())
    if aware and not has_offset.all():
        bare = text.set(has_offset.fill_null(value=True), None)
        _refuse_unread(table, column, _first_fit(bare, _NAIVE_FORMATS, column), bare, (_ISO, "Correct it."))
        raise bad_rows(
            table.cells(column).filter(~has_offset),
            (table.file, column),
            "a time without an offset among times with one",
            "the same kind of stamp in every row",
            "Correct the column.",
        )
    result = _first_fit(text, _AWARE_FORMATS if aware else _NAIVE_FORMATS, column)
    _refuse_unread(table, column, result, text, (_ISO, _format_hint(text)))
    return Stamps(result, aware)


def _first_fit(text: pl.Series, patterns: Sequence[str], column: str) -> pl.Series:
    """Parse each cell by the first pattern that fits; null where none does."""
    result = pl.Series(column, [None] * len(text), dtype=TIME if patterns == _AWARE_FORMATS else pl.Datetime("us"))
    for pattern in patterns:
        left = result.is_null() & text.is_not_null()
        if not left.any():
            break
        found = _strptime(text if left.all() else text.set(~left, None), pattern)
        result = result.zip_with(result.is_not_null(), found.cast(result.dtype))
    return result


def _format_hint(text: pl.Series) -> str:
    """Return what to say about stamps of another format: counts since 1970, or a pattern."""
    for digits, unit in ((10, "unix_s"), (13, "unix_ms")):
        if text.str.contains(f"^[0-9]{{{digits}}}$").fill_null(value=True).all():
            return f"Say time_format='{unit}' if these are counts since 1970."
    return _FORMAT_HINT


def _parse_format(table: RawTable, text: pl.Series, column: str, pattern: str) -> Stamps:
    result = _strptime(text, pattern)
    _refuse_unread(table, column, result, text, (f"a time like {pattern!r}", "Correct it, or correct time_format."))
    aware = isinstance(result.dtype, pl.Datetime) and result.dtype.time_zone is not None
    return Stamps(result.cast(TIME if aware else pl.Datetime("us")), aware)


def _parse_epoch(table: RawTable, raw: pl.Series, column: str, unit: str) -> Stamps:
    counts = raw.cast(pl.Int64, strict=False)
    _refuse_unread(table, column, counts, raw.cast(pl.String), (f"whole numbers ({unit})", "Correct it."))
    _refuse_far(table, column, counts, 1 if unit == "unix_s" else _PER_SECOND["ms"])
    return Stamps((counts * (1_000_000 if unit == "unix_s" else 1_000)).cast(TIME), aware=True)


def _strptime(text: pl.Series, pattern: str) -> pl.Series:
    """Parse; null where it does not fit. A pattern without a time of day gives midnight."""
    clock = any(code in pattern for code in ("%H", "%I", "%T", "%R", "%c", "%s", "%X"))
    try:
        if clock:
            return text.str.to_datetime(pattern, strict=False, time_unit="us")
        return text.str.to_date(pattern, strict=False).cast(pl.Datetime("us"))
    except pl.exceptions.PolarsError as error:
        raise InvalidInput(
            "unusable time_format", got=pattern, expected="a strptime pattern such as '%d/%m/%Y %H:%M'"
        ) from error


def _refuse_unread(table: RawTable, column: str, result: pl.Series, text: pl.Series, advice: tuple[str, str]) -> None:
    unread = result.is_null() & text.is_not_null()
    if unread.any():
        raise bad_rows(table.cells(column).filter(unread), (table.file, column), "unreadable time", *advice)


def _refuse_far(table: RawTable, column: str, counts: pl.Series, per_second: int) -> None:
    """Refuse counts since 1970 that are no time of any grid, before arithmetic goes beyond what a time can hold."""
    far = ~counts.is_between(_EARLIEST_S * per_second, _LATEST_S * per_second, closed="left").fill_null(value=True)
    if far.any():
        stamped = isinstance(table.frame[column].dtype, pl.Datetime)  # one that no calendar has cannot be written
        rows = table.cells(ROW).with_columns(text=counts.cast(pl.String)) if stamped else table.cells(column)
        raise bad_rows(
            rows.filter(far),
            (table.file, column),
            "a time that cannot be meant",
            "a year from 1900 to 2199",
            "Correct it; numbers may be milliseconds (time_format 'unix_ms') or seconds ('unix_s').",
        )


def localise(frame: pl.DataFrame, place: tuple[str, str], mapping: FileMapping) -> pl.Series:
    """Return naive local stamps as aware UTC.

    The hour that comes twice is resolved per area by the order of the rows: the stamps must step back exactly once;
    rows before that step are in summer time, rows after it in winter time (reversed in a file that runs backwards).

    Args:
        frame: columns `row`, `text`, `area`, `stamp` (naive, nulls allowed), `valueless` (boolean), in file order.
        place: file and column, for messages.
        mapping: zone, resolution and the rule for ambiguous stamps.

    Raises:
        InvalidInput: a stamp in the hour that never comes, or an ambiguity that the rows do not resolve.
    """
    zone = mapping.time_zone
    if zone == "UTC":
        return frame["stamp"].dt.replace_time_zone("UTC")
    early = _in_zone(frame["stamp"], zone, "earliest", place)
    late = _in_zone(frame["stamp"], zone, "latest", place)
    absent = early.is_null() & frame["stamp"].is_not_null() & ~frame["valueless"]
    if absent.any():
        raise bad_rows(
            frame.select("row", "text").filter(absent),
            place,
            f"a time that does not exist in {zone}: the clock was put forward over it",
            "local times that exist, or times with an offset",
            "If the clock of this file knows no summer time, give a fixed zone such as 'Etc/GMT-1' (UTC+1).",
        )
    twice = (early != late).fill_null(value=False)
    if mapping.ambiguous != "order":
        return early if mapping.ambiguous == "earliest" else late
    if not twice.any():
        return early
    return early.zip_with(~_second_pass(frame, twice, late - early, place, mapping), late)


def _in_zone(stamps: pl.Series, zone: str, choice: Literal["earliest", "latest"], place: tuple[str, str]) -> pl.Series:
    try:
        return stamps.dt.replace_time_zone(zone, ambiguous=choice, non_existent="null").dt.convert_time_zone("UTC")
    except pl.exceptions.PolarsError as error:
        raise InvalidInput("unusable time zone", got=zone, where=place[0], expected="an IANA name") from error


def _second_pass(
    frame: pl.DataFrame, twice: pl.Series, gap: pl.Series, place: tuple[str, str], mapping: FileMapping
) -> pl.Series:
    """Return a mask of the rows in the second pass of the hour that comes twice."""
    step_us = _microseconds(mapping.resolution)
    stamp = pl.col("stamp")
    marked = frame.with_columns(twice=twice, gap_us=gap.dt.total_microseconds(), place=pl.int_range(pl.len()))
    marked = marked.filter(stamp.is_not_null()).with_columns(
        sense=pl.when(stamp.last() < stamp.first()).then(-1).otherwise(1).over("area"),
    )
    marked = marked.with_columns(
        step=(stamp.diff().dt.total_microseconds() * pl.col("sense")).over("area"),
        bridged=(pl.col("twice") | pl.col("twice").shift(1)).fill_null(value=False).over("area"),
    )
    disordered = marked.filter((pl.col("step") < 0) & ~pl.col("bridged"))["area"].unique()
    window = (
        marked.filter(pl.col("twice"))
        .with_columns(day=stamp.dt.date())
        .with_columns(inner=stamp.diff().dt.total_microseconds().over("area", "day") * pl.col("sense"))
        .with_columns(
            backs=(pl.col("inner") <= 0).sum().over("area", "day"),
            sudden=((pl.col("inner") == 0) & (pl.col("gap_us") > step_us)).any().over("area", "day"),
            second=(pl.col("inner") <= 0).fill_null(value=False).cum_sum().over("area", "day") > 0,
        )
    )
    unclear = window.filter(
        (pl.col("backs") != 1) | pl.col("sudden").fill_null(value=False) | pl.col("area").is_in(disordered.implode())
    )
    if not unclear.is_empty():
        raise bad_rows(
            unclear.select("row", "text"),
            place,
            f"a time that comes twice in {mapping.time_zone} (the clock was put back), and the rows do not tell which",
            "both passes of that hour in time order, per area",
            "Say ambiguous='earliest' (summer time) or 'latest', or give times with an offset or in UTC.",
        )
    second = window.filter(pl.col("second") != (pl.col("sense") < 0))["place"]
    return pl.int_range(frame.height, eager=True).is_in(second.implode())
