"""Owns reading a CSV or Parquet file into samples by a mapping: all of it, or a clear error and nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from math import gcd
from pathlib import Path

import polars as pl

from recloser.connectors.mapping import FileMapping, MappedColumn
from recloser.connectors.numbers import decimal_mark, to_numbers
from recloser.connectors.problems import bad_rows
from recloser.connectors.quality import quality_bits
from recloser.connectors.reading import Reading
from recloser.connectors.table import ROW, RawTable, open_table
from recloser.connectors.times import to_instants
from recloser.core import InvalidInput, Quality
from recloser.core.quantities import conversion

ENOUGH_ROWS = 48


def read_file(path: Path | str, mapping: FileMapping) -> Reading:
    """Read every row of the file as samples of the mapped quantities.

    Empty cells become samples without a value and with Quality.MISSING, so that a gap is data; rows without any
    content are dropped. `at` is the start of the interval in UTC; `available_at` follows the mapping's leads.

    Raises:
        InvalidInput: file, column, row, zone or unit is wrong; the message names file, row, column, text, next step.
        Unavailable: the file cannot be read now.
    """
    table = _without_blank_rows(open_table(Path(path), mapping), mapping)
    columns = mapping.columns()
    areas = _areas(table, mapping)
    decimal = decimal_mark(table, [column.column for column in columns], mapping)
    values = [_values(table, column, decimal) for column in columns]
    times = _times(table, areas, values, mapping)
    bits = pl.lit(0, pl.Int32) if mapping.quality is None else quality_bits(table.frame[mapping.quality], mapping)
    wide = pl.DataFrame({"row": table.frame[ROW], "area": areas, "at": times}).with_columns(
        *values, bits.alias("load_quality"), _availability(table, areas, mapping)
    )
    wide = _on_grid(table, wide.filter(pl.col("at").is_not_null()), mapping)
    wide = _single(table, wide, columns, mapping)
    source = f"file:{table.file}"
    samples = pl.concat(_samples(wide, column, mapping, source) for column in columns)
    frame, rows = samples.drop("row"), samples["row"]
    _note_coarser(table, wide, mapping)
    if mapping.weather == "actual_as_forecast":
        table.notes.append("Measured temperature stands in for its forecast: results look better than in operation.")
    return Reading(frame, rows, table.notes, source)


def usual_step(path: Path | str, mapping: FileMapping) -> timedelta | None:
    """Return the commonest distance of neighbouring times of an area in the file; None where no two times differ.

    The mapping's own resolution is not looked at, so that it may be found this way.

    Raises:
        InvalidInput: as `read_file` for the file, its columns and its times.
        Unavailable: the file cannot be read now.
    """
    loose = replace(mapping, resolution=timedelta(minutes=1), ambiguous="earliest", stamp="start")
    if mapping.period is not None:
        return _usual_period(_without_blank_rows(open_table(Path(path), loose), loose), loose)
    table = _without_blank_rows(open_table(Path(path), loose), loose)
    areas = _areas(table, loose)
    times = _times(table, areas, [table.frame[column.column] for column in loose.columns()], loose)
    wide = pl.DataFrame({"area": areas, "at": times}).drop_nulls().unique().sort("area", "at")
    steps = wide.select(step=pl.col("at").diff().over("area"))["step"].drop_nulls()
    commonest = steps.mode().sort()
    return commonest[0] if len(commonest) else None


def _usual_period(table: RawTable, mapping: FileMapping) -> timedelta | None:
    """Return the length of a day divided by its last period, as most days have it; None where no day is whole."""
    first = to_instants(table, mapping.time, _areas(table, mapping), replace(mapping, period=None))
    numbers = table.frame[mapping.period or ""].cast(pl.Float64, strict=False)
    days = pl.DataFrame({"day": first, "number": numbers}).drop_nulls().group_by("day").agg(pl.col("number").max())
    days = days.sort("day").with_columns(length=pl.col("day").diff().shift(-1).dt.total_seconds())
    days = days.filter(pl.col("length").is_between(22 * 3600, 26 * 3600) & (pl.col("number") >= 1))
    steps = (days["length"] / days["number"]).mode().sort()
    return timedelta(seconds=steps[0]) if len(steps) and steps[0] == int(steps[0]) else None


def _without_blank_rows(table: RawTable, mapping: FileMapping) -> RawTable:
    """Drop rows in which every needed cell is empty, such as blank lines at the end."""
    times = table.frame[mapping.time]
    if table.frame.height and not times.null_count() and (times.dtype != pl.String or not (times == "").any()):
        return table
    others = [pl.col(name) for name, kind in table.frame.schema.items() if kind != pl.String and name != ROW]
    texts = [pl.col(name) for name, kind in table.frame.schema.items() if kind == pl.String]
    empty = [*(cell.is_null() for cell in others), *(text.str.strip_chars().fill_null("") == "" for text in texts)]
    kept = table.frame.filter(~pl.all_horizontal(empty))
    dropped = table.frame.height - kept.height
    notes = [*table.notes, f"{dropped} blank row(s) dropped."] if dropped else table.notes
    if kept.is_empty():
        raise InvalidInput(
            "the file has no rows",
            where=table.file,
            expected="at least one row below the header",
            next_step="Export it again. Nothing was stored.",
        )
    return RawTable(kept, table.file, table.delimiter, notes)


def _areas(table: RawTable, mapping: FileMapping) -> pl.Series:
    if mapping.area.startswith("="):
        return pl.Series("area", [mapping.area[1:].strip()], dtype=pl.String).new_from_index(0, table.frame.height)
    areas = table.frame[mapping.area].cast(pl.String).str.strip_chars().alias("area")
    _refuse_empty(table, mapping.area, areas.is_null() | (areas == ""), "no area")
    return areas


def _times(table: RawTable, areas: pl.Series, values: list[pl.Series], mapping: FileMapping) -> pl.Series:
    """Return the interval starts; null (and noted) for valueless rows in the hour that does not exist."""
    valueless = pl.DataFrame(values).select(pl.all_horizontal(pl.all().is_null())).to_series()
    times = to_instants(table, mapping.time, areas, mapping, valueless)
    stamps = table.frame[mapping.time]
    skipped = times.is_null() & stamps.is_not_null()
    if stamps.dtype == pl.String:
        skipped &= stamps.str.strip_chars() != ""
    if skipped.any():
        table.notes.append(f"{skipped.sum()} row(s) without values at times that do not exist locally dropped.")
    _refuse_empty(table, mapping.time, times.is_null() & ~skipped, "no time")
    return times - (mapping.resolution if mapping.stamp == "end" else timedelta(0))


def _refuse_empty(table: RawTable, column: str, empty: pl.Series, what: str) -> None:
    if empty.any():
        rows = table.cells(column).with_columns(pl.col("text").fill_null("")).filter(empty)
        raise bad_rows(rows, (table.file, column), what, "a value in every row", "Fill it in, or remove the row.")


def _values(table: RawTable, column: MappedColumn, decimal: str) -> pl.Series:
    unit = conversion(column.quantity, column.unit, table.file)
    values = to_numbers(table, column.column, decimal)
    if (unit.factor, unit.offset) != (1.0, 0.0):
        converted = values * unit.factor + unit.offset
        over = values.is_not_null() & ~converted.is_finite().fill_null(value=True)
        _refuse_over(table, column, over)
        values = converted
    return values.alias(column.quantity)


def _refuse_over(table: RawTable, column: MappedColumn, over: pl.Series) -> None:
    if over.any():
        rows = table.cells(column.column).filter(over)
        place = (table.file, column.column)
        raise bad_rows(rows, place, f"too large a number of {column.unit}", "a finite number", "Correct it.")


def _availability(table: RawTable, areas: pl.Series, mapping: FileMapping) -> pl.Series | pl.Expr:
    if mapping.available_at is None:
        return pl.lit(None, pl.Datetime("us", "UTC")).alias("known_at")
    known = to_instants(table, mapping.available_at, areas, mapping)
    _refuse_empty(table, mapping.available_at, known.is_null(), "no time of availability")
    return known.alias("known_at")


def _on_grid(table: RawTable, wide: pl.DataFrame, mapping: FileMapping) -> pl.DataFrame:
    step = int(mapping.resolution / timedelta(microseconds=1))
    off = wide.filter(pl.col("at").dt.epoch("us") % step != 0)
    if not off.is_empty():
        rows = table.cells(mapping.time).join(off, on="row", how="semi")
        raise bad_rows(
            rows,
            (table.file, mapping.time),
            "a time off the grid",
            f"stamps every {mapping.resolution}, counted from midnight UTC",
            f"Say the right resolution and zone{_usual_step(wide)}; resampling is not done on reading.",
        )
    return wide


def _note_coarser(table: RawTable, wide: pl.DataFrame, mapping: FileMapping) -> None:
    """Note stamps that lie further apart than the resolution throughout: hourly rows for a grid of half hours."""
    steps = wide.select(pl.col("at").diff().over("area").abs().unique()).to_series().drop_nulls()
    apart = timedelta(seconds=gcd(*(int(step.total_seconds()) for step in steps)))
    if apart > mapping.resolution and wide.height >= ENOUGH_ROWS:
        told = f"Stamps lie {apart} apart, intervals are {mapping.resolution} long: the intervals between stay empty."
        table.notes.append(told)


def _usual_step(wide: pl.DataFrame) -> str:
    steps = wide.select(pl.col("at").diff().over("area").abs()).to_series().drop_nulls()
    steps = steps.filter(steps > timedelta(0))
    return f" (the file's usual step is {steps.mode().sort()[0]})" if len(steps) else ""


def _single(table: RawTable, wide: pl.DataFrame, columns: list[MappedColumn], mapping: FileMapping) -> pl.DataFrame:
    """Refuse, or by rule resolve, rows of one area and time that differ; equal rows stay, the store counts them."""
    key = ["area", "at", "known_at"]
    if _surely_single(wide):
        return wide
    again = wide.filter(pl.struct(key).is_duplicated())
    statements = [*key, *(column.quantity for column in columns), "load_quality"]
    different = again.unique(statements, keep="first", maintain_order=True).filter(pl.struct(key).is_duplicated())
    if different.is_empty():
        return wide
    if mapping.repeated == "last":
        table.notes.append(f"{different.height} rows repeat an area and time with other values: the last one is taken.")
        return wide.unique(key, keep="last", maintain_order=True)
    first = different.sort("row").row(0, named=True)
    same = different.filter((pl.col("area") == first["area"]) & (pl.col("at") == first["at"]))
    text = table.cells(mapping.time).filter(pl.col("row") == first["row"])["text"][0]
    raise bad_rows(
        different.select("row", text=pl.lit(f"{text} of {first['area']} in rows {same['row'].to_list()[:5]}")),
        (table.file, mapping.time),
        "one area and time with different values",
        "one row per area and time",
        "Correct it, or say repeated='last'; if this is the hour that comes twice, say the time zone of the stamps "
        f"(now {mapping.time_zone}).",
    )


def _surely_single(wide: pl.DataFrame) -> bool:
    """Tell cheaply whether keys ascend strictly, area by area or time by time, as in most files."""
    area, at = pl.col("area"), pl.col("at")
    by_area = (area > area.shift(1)) | ((area == area.shift(1)) & (at > at.shift(1)))
    by_time = (at > at.shift(1)) | ((at == at.shift(1)) & (area > area.shift(1)))
    return any(wide.select(by_area.fill_null(value=True).all(), by_time.fill_null(value=True).all().alias("b")).row(0))


def _samples(wide: pl.DataFrame, column: MappedColumn, mapping: FileMapping, source: str) -> pl.DataFrame:
    value = pl.col(column.quantity)
    measured = mapping.resolution + mapping.availability_delay
    known = pl.col("at") + (measured if column.lead is None else -column.lead)
    bits = pl.col("load_quality") if column.column == mapping.load else pl.lit(0, pl.Int32)
    return wide.select(
        "row",
        "area",
        pl.lit(column.quantity).alias("quantity"),
        "at",
        pl.coalesce("known_at", known).alias("available_at"),
        value.alias("value"),
        pl.when(value.is_null()).then(bits | int(Quality.MISSING)).otherwise(bits).cast(pl.Int32).alias("quality"),
        pl.lit(source).alias("source"),
    )
