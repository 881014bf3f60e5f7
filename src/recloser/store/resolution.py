"""Owns how rows of one key are resolved: duplicate, correction, late row, tie. Pure functions of frames."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from recloser.core import SAMPLE_SCHEMA
from recloser.store.batch import FIRST_AT, KEY

STORED_COLUMNS = [*SAMPLE_SCHEMA, "revision"]
ORDER = [*KEY, "available_at", "revision", "quality", "value", "source"]


@dataclass(frozen=True, slots=True)
class Resolved:
    """What of a batch is to be stored.

    Attributes:
        rows: STORED_COLUMNS, sorted; `revision` counts the statements about one key and available_at.
        duplicates: rows of the batch that say nothing new.
        corrects: for each of `rows` whether it replaces an older statement about its key.
    """

    rows: pl.DataFrame
    duplicates: int
    corrects: pl.Series


def resolve(batch: pl.DataFrame, stored: pl.DataFrame | None) -> Resolved:
    """Decide which rows of a cleaned, sorted batch are new, given all stored rows of the keys it touches.

    A row is a duplicate if the very same statement (key, available_at, value, quality) is stored, even if a later
    one replaced it, or if it repeats the statement that is valid at its own available_at. Every other row is kept:
    a later available_at replaces from then on, an earlier one (late, out of order) is valid until the next; at an
    equal available_at the one appended later (higher `revision`) is valid.
    """
    fresh = batch.unique([*KEY, "available_at"], keep="first", maintain_order=True)
    if stored is not None and not stored.is_empty():
        same_statement = [*KEY, "available_at", "value", "quality"]
        fresh = fresh.join(stored, on=same_statement, how="anti", nulls_equal=True, maintain_order="left")
    new = fresh.with_columns(revision=pl.lit(None, pl.Int32), new=pl.lit(1, pl.Int8))
    if stored is not None and not stored.is_empty():
        old = stored.select(STORED_COLUMNS).with_columns(new=pl.lit(0, pl.Int8))
        new = pl.concat([old, new]).sort([*KEY, "available_at", "new", *ORDER[4:]])
    same_key = _same_as_before(KEY)
    repeats = same_key & _unchanged("value") & _unchanged("quality")
    same_instant = same_key & (pl.col("available_at") == pl.col("available_at").shift(1))
    judged = new.with_columns(
        revision=pl.when(pl.col("new") == 0)
        .then("revision")
        .when(same_instant)
        .then(pl.col("revision").shift(1) + 1)
        .otherwise(0)
        .cast(pl.Int32),
        repeats=repeats.fill_null(value=False),
        corrects=same_key.fill_null(value=False),
    ).filter((pl.col("new") == 1) & ~pl.col("repeats"))
    return Resolved(judged.select(STORED_COLUMNS), batch.height - judged.height, judged["corrects"])


def valid_rows(stored: pl.DataFrame) -> pl.DataFrame:
    """Return SAMPLE_SCHEMA, sorted by area, quantity, at, available_at: of several statements at one instant the valid.

    The result depends on the set of stored rows only, not on files, versions or their order.
    """
    ordered, single = _ordered(stored)
    if not single:
        again = (pl.col("key") == pl.col("key").shift(-1)) & (
            pl.col("available_at") == pl.col("available_at").shift(-1)
        )
        ordered = ordered.filter(~again.fill_null(value=False))
    return ordered.select(*SAMPLE_SCHEMA)


def in_order(stored: pl.DataFrame) -> pl.DataFrame:
    """Return STORED_COLUMNS in the one canonical order, without physical repetitions."""
    ordered, single = _ordered(stored)
    if not single:
        same = pl.all_horizontal(_unchanged(name) for name in ["key", *STORED_COLUMNS[3:]])
        ordered = ordered.filter(~same.fill_null(value=False))
    return ordered.select(STORED_COLUMNS)


def _ordered(stored: pl.DataFrame) -> tuple[pl.DataFrame, bool]:
    """Return the rows sorted, with an integer `key` of (area, quantity, at), and whether every key stands once.

    One integer sorts five times faster than three columns: 29 bits for area and quantity, 34 for seconds since 1900.
    """
    codes = [pl.Enum(stored[name].unique().sort()) for name in ("area", "quantity")]
    area, quantity = (
        pl.col(name).cast(code).to_physical().cast(pl.Int64)
        for name, code in zip(("area", "quantity"), codes, strict=True)
    )
    seconds = pl.col("at").dt.epoch("s") - int(FIRST_AT.timestamp())
    keyed = stored.with_columns(key=(area * max(len(codes[1].categories), 1) + quantity) * (1 << 34) + seconds)
    if not _ascends(keyed):
        keyed = keyed.sort("key")
        if not _ascends(keyed):
            return keyed.sort(["key", *ORDER[3:]], nulls_last=False), False
    return keyed, True


def _ascends(keyed: pl.DataFrame) -> bool:
    return bool((keyed["key"].diff() > 0).fill_null(value=True).all())


def _same_as_before(columns: list[str]) -> pl.Expr:
    return pl.all_horizontal(pl.col(name) == pl.col(name).shift(1) for name in columns)


def _unchanged(name: str) -> pl.Expr:
    return pl.col(name).eq_missing(pl.col(name).shift(1))
