"""Owns dense arrays of a panel on its time grid and the as-of view of each issue. Knows no feature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from recloser.core import FloatArray, InvalidInput, Panel, Quality, format_utc

IntArray = npt.NDArray[np.int64]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
NEVER = np.iinfo(np.int64).max


def microseconds(instant: datetime) -> int:
    """Return whole microseconds since 1970 of an aware time."""
    return (instant - EPOCH) // MICROSECOND


def ceil_steps(span: timedelta, resolution: timedelta) -> int:
    """Return how many intervals of `resolution` cover `span`."""
    return -(-span // resolution)


@dataclass(frozen=True, slots=True)
class Grid:
    """A stretch of interval starts: cell k begins at `origin` + k * `step`, both in microseconds since 1970."""

    origin: int
    step: int
    size: int

    def cell(self, instants: IntArray) -> IntArray:
        """Return the cell that each instant (microseconds) falls into; may lie outside [0, size)."""
        cells: IntArray = (instants - self.origin) // self.step
        return cells


@dataclass(frozen=True, slots=True)
class Superseded:
    """Revisions that a later one replaced, with the span of instants in which each was the valid one.

    Arrays of equal length: area index, cell, value (NaN if unusable), valid from and until (microseconds).
    """

    area: IntArray
    cell: IntArray
    value: FloatArray
    since: IntArray
    until: IntArray


@dataclass(frozen=True, slots=True)
class Series:
    """One quantity of all areas on a grid: last revisions and what they replaced.

    Attributes:
        value: (n_areas, size), NaN where absent or unusable.
        known: (n_areas, size), microseconds at which the last revision became available; NEVER where absent.
        superseded: earlier revisions.
    """

    value: FloatArray
    known: IntArray
    superseded: Superseded


@dataclass(frozen=True, slots=True)
class View:
    """What each issue could know of one quantity: a window of cells per area and issue.

    Attributes:
        values: (n_areas, n_issues, length), NaN where not known at the issue, absent or unusable.
        first: (n_issues,), grid cell of the window's first column.
    """

    values: FloatArray
    first: IntArray

    def at(self, issue: IntArray, cell: IntArray) -> FloatArray:
        """Return values (n_areas, n_rows) at each row's grid cell as its issue knew them; NaN outside the window."""
        position = cell - self.first[issue]
        length = self.values.shape[2]
        inside = (position >= 0) & (position < length)
        picked: FloatArray = self.values[:, issue, np.clip(position, 0, length - 1)]
        if not inside.all():
            picked[:, ~inside] = np.nan
        return picked


def series_of(panel: Panel, quantities: Sequence[str], areas: Sequence[str], grid: Grid) -> dict[str, Series]:
    """Put the panel's revisions of the named quantities on the grid; rows outside it are left out.

    Raises:
        InvalidInput: a row's `at` does not lie on the grid.
    """
    low = EPOCH + grid.origin * MICROSECOND
    high = low + grid.size * grid.step * MICROSECOND
    frame = (
        panel.frame.lazy()
        .filter(pl.col("at").is_between(low, high, closed="left"))
        .select(
            pl.col("area").cast(pl.Enum(areas), strict=False).to_physical().cast(pl.Int64),
            pl.col("quantity").cast(pl.Enum(quantities), strict=False).to_physical().cast(pl.Int64),
            pl.col("at", "available_at").dt.epoch("us"),
            pl.when((pl.col("quality").fill_null(0).cast(pl.Int64) & int(Quality.UNUSABLE)) == 0)
            .then(pl.col("value"))
            .fill_null(float("nan")),
        )
        .filter(pl.col("area").is_not_null() & pl.col("quantity").is_not_null())
        .collect()
    )
    at = frame["at"].to_numpy()
    off = (at - grid.origin) % grid.step != 0
    if off.any():
        raise InvalidInput(
            "a sample off the grid of the targets",
            got=format_utc(EPOCH + int(at[off][0]) * MICROSECOND),
            expected=f"interval starts every {panel.resolution} like the targets",
            where="FeatureSet.compute",
            next_step="Check the resolution and the time stamps of the series.",
        )
    value = frame["value"].to_numpy()
    value = np.where(np.isfinite(value), value, np.nan)
    row = frame["quantity"].to_numpy() * len(areas) + frame["area"].to_numpy()
    slot = row * grid.size + grid.cell(at)
    return _split(slot, value, frame["available_at"].to_numpy(), quantities, (len(areas), grid.size))


def view_of(series: Series, issues: IntArray, first: IntArray, length: int) -> View:
    """Return the window of `length` cells from `first` as each issue (microseconds, ascending) could know it."""
    size = series.value.shape[1]
    value, known, start = series.value, series.known, first
    before, after = max(0, -int(first.min())), max(0, int(first.max()) + length - size)
    if before or after:
        pad = ((0, 0), (before, after))
        value = np.pad(value, pad, constant_values=np.nan)
        known = np.pad(known, pad, constant_values=NEVER)
        start = first + before
    windows = np.lib.stride_tricks.sliding_window_view(value, length, axis=1)[:, start]
    stamps = np.lib.stride_tricks.sliding_window_view(known, length, axis=1)[:, start]
    values = np.where(stamps <= issues[None, :, None], windows, np.nan)
    _restore(values, series.superseded, issues, first)
    return View(values, first)


def _restore(values: FloatArray, old: Superseded, issues: IntArray, first: IntArray) -> None:
    """Write into `values` the superseded revisions that were the valid ones at each issue."""
    low = np.searchsorted(issues, old.since, side="left")
    high = np.searchsorted(issues, old.until, side="left")
    count = high - low
    if not count.any():
        return
    revision = np.repeat(np.arange(old.cell.size), count)
    issue = np.arange(revision.size) - np.repeat(np.cumsum(count) - count, count) + low[revision]
    position = old.cell[revision] - first[issue]
    inside = (position >= 0) & (position < values.shape[2])
    revision, issue, position = revision[inside], issue[inside], position[inside]
    values[old.area[revision], issue, position] = old.value[revision]


def _split(
    slot: IntArray, value: FloatArray, known: IntArray, quantities: Sequence[str], shape: tuple[int, int]
) -> dict[str, Series]:
    """Separate last revisions from superseded ones; `slot` numbers (quantity, area, cell)."""
    order = np.lexsort((known, slot)) if _unsorted(slot, known) else None
    if order is not None:
        slot, value, known = slot[order], value[order], known[order]
    n_cells = shape[0] * shape[1]
    latest = np.full(len(quantities) * n_cells, np.nan)
    stamps = np.full(len(quantities) * n_cells, NEVER, dtype=np.int64)
    last = np.ones(slot.size, dtype=bool)
    last[:-1] = slot[1:] != slot[:-1]
    latest[slot[last]] = value[last]
    stamps[slot[last]] = known[last]
    replaced = np.flatnonzero(~last)
    result = {}
    for index, quantity in enumerate(quantities):
        mine = replaced[slot[replaced] // n_cells == index]
        place = slot[mine] % n_cells
        old = Superseded(place // shape[1], place % shape[1], value[mine], known[mine], known[mine + 1])
        span = slice(index * n_cells, (index + 1) * n_cells)
        result[quantity] = Series(latest[span].reshape(shape), stamps[span].reshape(shape), old)
    return result


def _unsorted(slot: IntArray, known: IntArray) -> bool:
    step = np.diff(slot)
    return bool(((step < 0) | ((step == 0) & (np.diff(known) < 0))).any())
