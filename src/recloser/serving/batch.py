"""Owns the rows of one request, grouped by area. Does not judge them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from recloser.core import TIME, FloatArray, InvalidInput, format_utc, instant

IntArray = npt.NDArray[np.int64]

SCALE = "scale_mw"
KEYS = frozenset({"area", "issued_at", "at", "lead_h", SCALE, "load_mw", "incumbent_mw"})
"""Columns of a feature frame that are not features."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one request with the rows of an area side by side, in the order of their targets.

    Attributes:
        frame: feature frame as the models get it, n_rows rows.
        areas: the distinct areas, in order, shape (n_areas,).
        bounds: rows bounds[i]:bounds[i+1] belong to areas[i], shape (n_areas + 1,).
        numbers: numeric columns of the frame by name, float64 with NaN for missing, each of shape (n_rows,).
        at_us: target instants in microseconds since 1970 UTC, shape (n_rows,), or None if the caller gave none.
    """

    frame: pl.DataFrame
    areas: tuple[str, ...]
    bounds: IntArray
    numbers: Mapping[str, FloatArray]
    at_us: IntArray | None

    def scale_mw(self) -> FloatArray:
        """Return the recent level of each area in MW, shape (n_areas,); NaN where any of its rows lacks it."""
        column = self.numbers.get(SCALE)
        if column is None:
            return np.full(len(self.areas), np.nan)
        low, high = np.minimum.reduceat(column, self.bounds[:-1]), np.maximum.reduceat(column, self.bounds[:-1])
        scale: FloatArray = np.where(np.isfinite(low) & np.isfinite(high), low, np.nan)
        return scale

    def lengths(self) -> IntArray:
        """Return the number of rows of each area, shape (n_areas,)."""
        result: IntArray = np.diff(self.bounds)
        return result

    def rows_of(self, index: int) -> slice:
        """Return the rows of the area with that index."""
        return slice(int(self.bounds[index]), int(self.bounds[index + 1]))

    def take(self, indices: Sequence[int]) -> Batch:
        """Return the batch of some areas only (their indices, ascending)."""
        if len(indices) == len(self.areas):
            return self
        slices = [self.rows_of(index) for index in indices]
        rows = np.concatenate([np.arange(s.start, s.stop) for s in slices]) if slices else np.empty(0, np.int64)
        return Batch(
            self.frame[rows],
            tuple(self.areas[index] for index in indices),
            np.concatenate([[0], np.cumsum([s.stop - s.start for s in slices])]).astype(np.int64),
            {name: column[rows] for name, column in self.numbers.items()},
            None if self.at_us is None else self.at_us[rows],
        )

    def targets(self) -> list[tuple[datetime, ...]]:
        """Return the targets of each area (aware UTC, ascending); empty tuples if the caller gave none."""
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
    inner[bounds[1:-1] - 1] = False
    if (np.diff(at_us)[inner] <= 0).any():
        raise InvalidInput("targets that do not ascend within an area", where="gateway.answer")
    return Batch(rows, areas, bounds, _numbers(rows), at_us)


def _runs(column: pl.Series) -> tuple[tuple[str, ...], IntArray]:
    """Return the areas and the bounds of their runs of rows."""
    runs = column.rle().struct.unnest()
    areas = tuple(runs["value"].to_list())
    if len(set(areas)) != len(areas):
        raise InvalidInput(
            "an area's rows are not side by side", expected="rows sorted by area", where="gateway.answer"
        )
    bounds = np.concatenate([[0], np.cumsum(runs["len"].to_numpy())]).astype(np.int64)
    return areas, bounds


def _numbers(rows: pl.DataFrame) -> dict[str, FloatArray]:
    """Return the numeric columns, without the truth, as float64."""
    names = [
        name
        for name, kind in rows.schema.items()
        if (kind.is_numeric() or kind == pl.Boolean) and name not in {"load_mw", "incumbent_mw"}
    ]
    return {name: rows[name].cast(pl.Float64).to_numpy() for name in names}


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
    names = list(dict.fromkeys(areas))
    code_of = {name: code for code, name in enumerate(names)}
    codes = np.fromiter((code_of[name] for name in areas), dtype=np.int64, count=len(areas))
    order: IntArray = np.lexsort((codes,)) if at_us is None else np.lexsort((at_us, codes))
    moved = {name: column[order] for name, column in numbers.items()}
    times = None if at_us is None else at_us[order]
    columns: dict[str, pl.Series] = {"area": pl.Series([names[code] for code in codes[order]], dtype=pl.String)}
    if times is not None:
        columns["at"] = pl.Series(times).cast(TIME)
    frame = pl.DataFrame(columns | {name: pl.Series(column) for name, column in moved.items()})
    bounds = np.concatenate([[0], np.cumsum(np.bincount(codes, minlength=len(names)))]).astype(np.int64)
    return Batch(frame, tuple(names), bounds, moved, times), order
