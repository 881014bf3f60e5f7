"""Owns the rows of one or several requests, grouped by area. Does not judge them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from recloser.core import TIME, FloatArray, InvalidInput, ModelRows, format_utc, instant

IntArray = npt.NDArray[np.int64]

SCALE = "scale_mw"
KEYS = frozenset({"area", "issued_at", "at", "lead_h", SCALE, "load_mw", "incumbent_mw"})
"""Columns of a feature frame that are not features."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Rows in groups: a group holds the rows of one area in one request, in the order of their targets.

    Attributes:
        rows: what the models get: a feature frame, or arrays where the request came as arrays; n_rows rows.
        areas: the area of each group, shape (n_groups,); distinct within one request.
        bounds: rows bounds[i]:bounds[i+1] belong to group i, shape (n_groups + 1,).
        names: the numeric columns.
        table: their cells, float64 with NaN for missing, shape (n_rows, n_names).
        at_us: target instants in microseconds since 1970 UTC, shape (n_rows,), or None if the caller gave none.
    """

    rows: pl.DataFrame | ModelRows
    areas: tuple[str, ...]
    bounds: tuple[int, ...]
    names: tuple[str, ...]
    table: FloatArray
    at_us: IntArray | None

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return self.bounds[-1]

    def column(self, name: str) -> FloatArray | None:
        """Return a numeric column, shape (n_rows,), or None if there is none of that name."""
        if name not in self.names:
            return None
        column: FloatArray = self.table[:, self.names.index(name)]
        return column

    def scale_mw(self) -> FloatArray:
        """Return the recent level of each group in MW, shape (n_groups,); NaN where any of its rows lacks it."""
        column = self.column(SCALE)
        if column is None:
            return np.full(len(self.areas), np.nan)
        if len(self.areas) == 1 and self.n_rows == 1:
            return column if np.isfinite(column[0]) else np.full(1, np.nan)
        starts = self.bounds[:-1]
        low, high = np.minimum.reduceat(column, starts), np.maximum.reduceat(column, starts)
        scale: FloatArray = np.where(np.isfinite(low) & np.isfinite(high), low, np.nan)
        return scale

    def lengths(self) -> IntArray:
        """Return the number of rows of each group."""
        bounds: IntArray = np.array(self.bounds, dtype=np.int64)
        lengths: IntArray = bounds[1:] - bounds[:-1]
        return lengths

    def rows_of(self, index: int) -> slice:
        """Return the rows of the group with that index."""
        return slice(self.bounds[index], self.bounds[index + 1])

    def take(self, indices: Sequence[int]) -> Batch:
        """Return the batch of some groups only (their indices, ascending)."""
        if len(indices) == len(self.areas):
            return self
        spans = [(self.bounds[index], self.bounds[index + 1]) for index in indices]
        places = np.concatenate([np.arange(*span) for span in spans]) if spans else np.empty(0, np.int64)
        ends = np.cumsum([0, *(stop - start for start, stop in spans)])
        table, times = self.table[places], None if self.at_us is None else self.at_us[places]
        table.flags.writeable = False
        rows: pl.DataFrame | ModelRows
        if isinstance(self.rows, ModelRows):
            rows = ModelRows([self.rows.areas[place] for place in places.tolist()], self.names, table, times)
        else:
            rows = self.rows[places]
        areas = tuple(self.areas[index] for index in indices)
        return Batch(rows, areas, tuple(ends.tolist()), self.names, table, times)

    def targets(self) -> list[tuple[datetime, ...]]:
        """Return the targets of each group (aware UTC, ascending); empty tuples if the caller gave none."""
        if self.at_us is None:
            return [() for _ in self.areas]
        known: dict[bytes, tuple[datetime, ...]] = {}
        result = []
        for index in range(len(self.areas)):
            part = self.at_us[self.rows_of(index)]
            key = part.tobytes()
            if key not in known:
                known[key] = tuple(EPOCH + timedelta(microseconds=us) for us in part.tolist())
            result.append(known[key])
        return result


def batch_of(rows: pl.DataFrame, issued_at: datetime) -> Batch:
    """Group the feature frame of one issue.

    Raises:
        InvalidInput: a key column is missing or null, another issue's rows, an area in two places, or targets that
            do not ascend within an area.
    """
    for name in ("area", "at", SCALE):
        if name not in rows.columns:
            raise InvalidInput(
                "a feature frame lacks a column", got=rows.columns, expected=name, where="gateway.answer"
            )
    if rows["area"].null_count() or rows["at"].null_count():
        raise InvalidInput("a row without area or target", where="gateway.answer")
    if (
        "issued_at" in rows.columns
        and len(rows)
        and not rows.select((pl.col("issued_at") == instant(issued_at)).all()).item()
    ):
        raise InvalidInput("rows of another issue", expected=format_utc(issued_at), where="gateway.answer")
    areas, bounds = _runs(rows["area"])
    at_us = rows["at"].cast(TIME).to_physical().to_numpy()
    inner = np.ones(max(len(rows) - 1, 0), dtype=bool)
    inner[[bound - 1 for bound in bounds[1:-1]]] = False
    if (np.diff(at_us)[inner] <= 0).any():
        raise InvalidInput("targets that do not ascend within an area", where="gateway.answer")
    names, table = _numbers(rows)
    return Batch(rows, areas, bounds, names, table, at_us)


def _runs(column: pl.Series) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return the areas and the bounds of their runs of rows."""
    runs = column.rle().struct.unnest()
    areas = tuple(runs["value"].to_list())
    if len(set(areas)) != len(areas):
        raise InvalidInput(
            "an area's rows are not side by side", expected="rows sorted by area", where="gateway.answer"
        )
    return areas, (0, *runs["len"].cum_sum().to_list())


def _numbers(rows: pl.DataFrame) -> tuple[tuple[str, ...], FloatArray]:
    """Return the numeric columns, without the truth, as float64."""
    names = tuple(
        name
        for name, kind in rows.schema.items()
        if (kind.is_numeric() or kind == pl.Boolean) and name not in {"load_mw", "incumbent_mw"}
    )
    table = np.empty((len(rows), len(names)))
    for index, name in enumerate(names):
        table[:, index] = rows[name].cast(pl.Float64).to_numpy()
    return names, table


def batch_from_arrays(
    areas: Sequence[str], numbers: Mapping[str, FloatArray], at_us: IntArray | None
) -> tuple[Batch, IntArray]:
    """Group loose rows as they come over the wire.

    Args:
        areas: area of each row, shape (n_rows,).
        numbers: the other columns, float64, each of shape (n_rows,); NaN is missing.
        at_us: targets in microseconds since 1970 UTC, shape (n_rows,), or None.

    Returns:
        The batch and the order: row k of the batch is row order[k] of the request.
    """
    return batch_from_table(areas, tuple(numbers), table_of(numbers, len(areas)), at_us)


def table_of(numbers: Mapping[str, FloatArray], n_rows: int) -> FloatArray:
    """Return columns of shape (n_rows,) side by side, C-ordered, of shape (n_rows, n_names)."""
    return np.array(list(numbers.values()), dtype=np.float64).T.copy() if numbers else np.empty((n_rows, 0))


def batch_from_table(
    areas: Sequence[str], names: tuple[str, ...], table: FloatArray, at_us: IntArray | None
) -> tuple[Batch, IntArray]:
    """Group loose rows like `batch_from_arrays`; `table` is C-ordered, of shape (n_rows, n_names), and ours now."""
    if len(areas) == 1:
        table.flags.writeable = False
        only = (areas[0],)
        return Batch(ModelRows(only, names, table, at_us), only, (0, 1), names, table, at_us), FIRST
    distinct = list(dict.fromkeys(areas))
    code_of = {name: code for code, name in enumerate(distinct)}
    codes = np.array([code_of[name] for name in areas], dtype=np.int64)
    order: IntArray = np.lexsort((codes,)) if at_us is None else np.lexsort((at_us, codes))
    moved, times = table[order], None if at_us is None else at_us[order]
    moved.flags.writeable = False
    counts = np.bincount(codes, minlength=len(distinct))
    bounds = (0, *np.cumsum(counts).tolist())
    each = [distinct[code] for code in codes[order].tolist()]
    return Batch(ModelRows(each, names, moved, times), tuple(distinct), bounds, names, moved, times), order


FIRST: IntArray = np.zeros(1, dtype=np.int64)
FIRST.flags.writeable = False


def joined(batches: Sequence[Batch]) -> Batch:
    """Return one batch of the groups of several, in order; all came as arrays with the same columns.

    Groups stay apart, also where two requests ask about one area.
    """
    if len(batches) == 1:
        return batches[0]
    first = batches[0]
    table = np.concatenate([batch.table for batch in batches])
    table.flags.writeable = False
    times = [batch.at_us for batch in batches if batch.at_us is not None]
    at_us = np.concatenate(times) if times else None
    each = [area for batch in batches if isinstance(batch.rows, ModelRows) for area in batch.rows.areas]
    bounds, start = [0], 0
    for batch in batches:
        bounds += [start + bound for bound in batch.bounds[1:]]
        start += batch.n_rows
    areas = tuple(area for batch in batches for area in batch.areas)
    return replace(
        first,
        rows=ModelRows(each, first.names, table, at_us),
        areas=areas,
        bounds=tuple(bounds),
        table=table,
        at_us=at_us,
    )


def joinable(one: Batch, other: Batch) -> bool:
    """Tell whether two batches may be joined: arrays with the same columns, both with or both without targets."""
    arrays = isinstance(one.rows, ModelRows) and isinstance(other.rows, ModelRows)
    return arrays and one.names == other.names and (one.at_us is None) == (other.at_us is None)
