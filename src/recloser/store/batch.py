"""Owns what a batch must look like before it may be stored. Pure; does not look at what is stored already."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from recloser.core import SAMPLE_SCHEMA, TIME, InvalidInput, Quality, format_utc
from recloser.core.quantities import dimension_of

KEY = ["area", "quantity", "at"]
KNOWN_BITS = sum(int(flag) for flag in Quality)
FIRST_AT = datetime(1900, 1, 1, tzinfo=UTC)
LAST_AT = datetime(2200, 1, 1, tzinfo=UTC)


def clean_batch(frame: pl.DataFrame, resolution: timedelta, source: str) -> pl.DataFrame:
    """Return the batch in SAMPLE_SCHEMA, sorted by area, quantity, at, available_at; nothing is repaired silently.

    Aware times of other zones become UTC, numbers are cast to their stored type, an empty `source` column is
    filled with `source`. Exact repetitions stay; the caller counts them.

    Raises:
        InvalidInput: a column missing or unknown, naive or absent times, `at` off the grid, NaN or infinity, an
            absent value without Quality.MISSING, unknown quality bits, a quantity without unit suffix, or two
            different values for one (area, quantity, at, available_at).
    """
    _check_columns(frame)
    batch = frame.select(_typed(frame, name) for name in SAMPLE_SCHEMA).with_columns(
        pl.col("value") + 0.0,  # -0.0 and 0.0 are one value and shall have one digest
        pl.when(pl.col("source").fill_null("") == "").then(pl.lit(source)).otherwise(pl.col("source")).alias("source"),
    )
    for quantity in batch["quantity"].unique().drop_nulls().sort():
        _check_quantity(quantity)
    _check_rows(batch, resolution)
    batch = batch.sort([*KEY, "available_at"], maintain_order=True)
    _check_conflicts(batch)
    return batch


def _check_columns(frame: pl.DataFrame) -> None:
    missing = [name for name in SAMPLE_SCHEMA if name not in frame.columns]
    unknown = [name for name in frame.columns if name not in SAMPLE_SCHEMA]
    if missing or unknown:
        raise InvalidInput(
            "a batch must have exactly the columns of a sample",
            got=frame.columns,
            expected=", ".join(SAMPLE_SCHEMA),
            where="Store.append",
            next_step="Build it with core.sample_frame or a connector.",
        )


def _typed(frame: pl.DataFrame, name: str) -> pl.Expr:
    """Return the expression that brings one column to its stored type without changing its meaning."""
    found: Any = frame.schema[name]
    wanted = SAMPLE_SCHEMA[name]
    if wanted == TIME:
        if not isinstance(found, pl.Datetime) or found.time_zone is None:
            raise _wrong_type(name, found, "aware times; a naive time has no place on the axis")
        return pl.col(name).dt.cast_time_unit("us").dt.convert_time_zone("UTC")
    fits = (
        found.is_numeric()
        if wanted == pl.Float64
        else found.is_integer()
        if wanted == pl.Int32
        else found in (pl.String, pl.Categorical, pl.Enum)
    )
    if not fits and found != pl.Null:
        raise _wrong_type(name, found, str(wanted))
    return pl.col(name).cast(wanted, strict=False)


def _wrong_type(name: str, found: object, expected: str) -> InvalidInput:
    return InvalidInput(f"column {name!r} has the wrong type", got=str(found), expected=expected, where="Store.append")


def _check_quantity(quantity: str) -> None:
    """Refuse a name without unit, or one that could not name a folder of the table."""
    dimension_of(quantity)
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,99}", quantity):
        raise InvalidInput(
            "a quantity's name has other signs than letters, digits and _",
            got=quantity,
            expected="lower case such as 'load_mw'",
            where="Store.append",
        )


def _check_rows(batch: pl.DataFrame, resolution: timedelta) -> None:
    step = int(resolution / timedelta(microseconds=1))
    bits = pl.col("quality").cast(pl.Int64)
    value = pl.col("value")
    rules: list[tuple[str, pl.Expr, str]] = [
        (name, pl.col(name).is_null(), "a value in every row")
        for name in ("area", "quantity", "at", "available_at", "quality")
    ]
    rules += [
        ("area", pl.col("area") == "", "a name"),
        ("at", pl.col("at").dt.epoch("us") % step != 0, f"the start of an interval on the grid of {resolution}"),
        ("at", (pl.col("at") < FIRST_AT) | (pl.col("at") >= LAST_AT), "a time between 1900 and 2200"),
        ("value", value.is_nan() | value.is_infinite(), "a finite number, or null with Quality.MISSING"),
        ("quality", (bits < 0) | (bits & ~KNOWN_BITS != 0), "bits of core.Quality"),
        ("quality", value.is_null() & (bits & int(Quality.MISSING) == 0), "Quality.MISSING where the value is null"),
    ]
    counts = batch.select(rule.sum().alias(str(i)) for i, (_, rule, _) in enumerate(rules)).row(0)
    for (name, rule, expected), count in zip(rules, counts, strict=True):
        if count:
            row = batch.filter(rule).row(0, named=True)
            raise InvalidInput(
                f"{count} row(s) with a wrong {name!r}",
                got=row[name],
                expected=expected,
                where=_row_text(row),
                next_step="Nothing was stored; correct the batch and append it again.",
            )


def _check_conflicts(batch: pl.DataFrame) -> None:
    """Refuse two different statements about the same key at the same instant: no rule could be right."""
    same = pl.all_horizontal(pl.col(name) == pl.col(name).shift(1) for name in [*KEY, "available_at"])
    differs = pl.col("value").ne_missing(pl.col("value").shift(1)) | (pl.col("quality") != pl.col("quality").shift(1))
    bad = batch.with_columns(previous=pl.col("value").shift(1)).filter(same & differs)
    if not bad.is_empty():
        row = bad.row(0, named=True)
        raise InvalidInput(
            f"{bad.height} key(s) with two different values in one batch",
            got=[row["previous"], row["value"]],
            expected="one value and quality per area, quantity, at and available_at",
            where=_row_text(row),
            next_step="Keep one of them, or give the correction a later available_at.",
        )


def _row_text(row: dict[str, Any]) -> str:
    at = row["at"]
    instant = format_utc(at) if isinstance(at, datetime) else "no time"
    return f"{row['area']}/{row['quantity']} at {instant}"
