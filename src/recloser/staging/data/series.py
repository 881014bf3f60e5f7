"""Owns the training load as a regular grid, which the data checks look at. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import polars as pl

from recloser.core import LOAD, FloatArray

_US_PER_DAY = 86_400_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Load of every area on one regular time axis.

    Attributes:
        areas: row names, sorted.
        load: MW, shape (n_areas, n_steps); NaN where unknown.
        steps_per_day: intervals of a day.
        first: index of the first interval since 1970 (UTC).
        day: local day number of every step, shape (n_steps,).
        slot: local interval of the day of every step, shape (n_steps,).
    """

    areas: tuple[str, ...]
    load: FloatArray
    steps_per_day: int
    first: int
    day: npt.NDArray[np.int64]
    slot: npt.NDArray[np.int64]

    @property
    def hours_per_step(self) -> float:
        """Return the resolution in hours."""
        return 24.0 / self.steps_per_day

    def row(self, index: int) -> Grid:
        """Return one area alone."""
        return replace(self, areas=(self.areas[index],), load=self.load[index : index + 1])

    def filled(self) -> FloatArray:
        """Return whether each value is known as 0.0 or 1.0, shape (n_areas, n_steps)."""
        return np.isfinite(self.load).astype(np.float64)


def resolution_of(frame: pl.DataFrame) -> timedelta | None:
    """Return the most common distance of neighbouring `at` in the largest area; None where there are no two."""
    largest = frame["area"].value_counts().sort("count", "area", descending=[True, False])["area"][0]
    steps = frame.filter(pl.col("area") == largest)["at"].unique().sort().diff().drop_nulls()
    if steps.is_empty():
        return None
    step: timedelta = steps.mode().min()  # type: ignore[assignment]
    return step


def to_grid(frame: pl.DataFrame, resolution: timedelta, zone: ZoneInfo) -> Grid:
    """Put load_mw on the grid; of several rows of one (area, at) the last one counts, rows off the grid round down."""
    step_us = int(resolution / timedelta(microseconds=1))
    index = frame["at"].dt.epoch("us").to_numpy() // step_us
    areas = tuple(sorted(frame["area"].unique().to_list()))
    codes = frame["area"].cast(pl.Enum(areas)).to_physical().to_numpy().astype(np.int64)
    first, last = int(index.min()), int(index.max())
    load = np.full((len(areas), last - first + 1), np.nan)
    known = frame[LOAD].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    load[codes, index - first] = np.where(np.isfinite(known), known, np.nan)
    instants = pl.Series((np.arange(first, last + 1) * step_us).astype("datetime64[us]")).dt.replace_time_zone("UTC")
    local = instants.dt.convert_time_zone(str(zone)).dt.replace_time_zone(None).dt.epoch("us").to_numpy()
    return Grid(areas, load, _US_PER_DAY // step_us, first, local // _US_PER_DAY, local % _US_PER_DAY // step_us)


def profiles(grid: Grid, days: int) -> FloatArray:
    """Return mean load by local interval for each block of `days` local days.

    Returns:
        Shape (n_areas, n_blocks, steps_per_day), each profile with mean 0 and norm 1; NaN where an interval of the
        block has no value, or the profile is flat.
    """
    return _scaled(*_by_interval(grid, days))


def rolling_profiles(grid: Grid, days: int) -> FloatArray:
    """Return mean load by local interval for every `days` neighbouring local days, as `profiles`.

    Returns:
        Shape (n_areas, n_days - days + 1, steps_per_day); no rows where there are fewer days.
    """
    sums, counts = (np.cumsum(part, axis=1) for part in _by_interval(grid, 1))
    sums, counts = (np.pad(part, ((0, 0), (1, 0), (0, 0))) for part in (sums, counts))
    return _scaled(sums[:, days:] - sums[:, :-days], counts[:, days:] - counts[:, :-days])


def _by_interval(grid: Grid, days: int) -> tuple[FloatArray, FloatArray]:
    """Return sums and counts of the known load by block and local interval, (n_areas, n_blocks, steps_per_day)."""
    block = (grid.day - grid.day[0]) // days
    cell = block * grid.steps_per_day + grid.slot
    size = (int(block[-1]) + 1) * grid.steps_per_day
    shape = (len(grid.areas), -1, grid.steps_per_day)
    known = np.isfinite(grid.load)
    counts = np.array([np.bincount(cell[row], minlength=size) for row in known], dtype=np.float64)
    sums = [np.bincount(cell[k], load[k], minlength=size) for k, load in zip(known, grid.load, strict=True)]
    return np.array(sums, dtype=np.float64).reshape(shape), counts.reshape(shape)


def _scaled(sums: FloatArray, counts: FloatArray) -> FloatArray:
    means = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    level = means.mean(axis=2, keepdims=True)
    means = means - level
    norm = np.linalg.norm(means, axis=2, keepdims=True)
    uneven = norm > 1e-9 * np.abs(level)  # what is left of a flat profile is rounding
    result: FloatArray = np.where(uneven & (norm > 0), means / np.maximum(norm, 1e-300), np.nan)
    return result


def correlation_at(grid: Grid, lag: int) -> FloatArray:
    """Return the correlation of load with itself `lag` steps later per area; NaN below two days of pairs."""
    early, late = grid.load[:, :-lag] if lag else grid.load, grid.load[:, lag:]
    both = np.isfinite(early) & np.isfinite(late)
    n = both.sum(axis=1)
    x, y = np.where(both, early, 0.0), np.where(both, late, 0.0)
    size = np.maximum(n, 1)[:, None]
    x = np.where(both, x - x.sum(axis=1, keepdims=True) / size, 0.0)
    y = np.where(both, y - y.sum(axis=1, keepdims=True) / size, 0.0)
    spread = np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1))
    enough = (n >= 2 * grid.steps_per_day) & (spread > 0)
    result: FloatArray = np.where(enough, (x * y).sum(axis=1) / np.where(spread > 0, spread, 1.0), np.nan)
    return result


def between(grid: Grid, first_day: int, last_day: int) -> Grid | None:
    """Return the steps of the local days [first_day, last_day); None when there are none."""
    inside = np.flatnonzero((grid.day >= first_day) & (grid.day < last_day))
    if inside.size == 0:
        return None
    a, b = int(inside[0]), int(inside[-1]) + 1
    return Grid(grid.areas, grid.load[:, a:b], grid.steps_per_day, grid.first + a, grid.day[a:b], grid.slot[a:b])


def on_standard_time(grid: Grid) -> Grid:
    """Return the grid with the intervals of the day counted in UTC, which knows no clock changes."""
    slot = (grid.first + np.arange(grid.load.shape[1])) % grid.steps_per_day
    return replace(grid, slot=slot)
