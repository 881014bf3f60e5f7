"""Owns the walk from a panel to the feature frame: stretches, blocks of issues, and the table. One code path only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from recloser.core import LOAD, TIME, FloatArray, InvalidInput, Panel, format_utc, instant, require_utc
from recloser.features.block import Block, mean_of_known
from recloser.features.calendar import HOUR, Calendar, calendar_of
from recloser.features.extra import extra_columns
from recloser.features.grid import Grid, IntArray, Series, ceil_steps, microseconds, series_of, view_of

if TYPE_CHECKING:
    from recloser.features.feature_set import FeatureSet

SCALE_DAYS = 28
CELLS_AT_ONCE = 3_000_000


@dataclass(frozen=True, slots=True)
class Rows:
    """All rows of one area: issue instants, and per row the issue's index and the target (microseconds)."""

    issues: IntArray
    issue: IntArray
    at: IntArray


def compute_frame(features: FeatureSet, panel: Panel, issues: Sequence[datetime], areas: Sequence[str]) -> pl.DataFrame:
    """Compute the table described at `FeatureSet.compute`."""
    ordered = sorted({require_utc(issue, "FeatureSet.compute") for issue in issues})
    if not ordered or not areas:
        return _table(features, areas, _rows(features, []), np.empty((len(areas), 0)), {})
    if ordered[-1] > panel.as_of:
        raise InvalidInput(
            "the panel ends before the issue",
            got=format_utc(panel.as_of),
            expected=f"as_of >= {format_utc(ordered[-1])}",
            where="FeatureSet.compute",
            next_step="Read the store as of the issue time or later.",
        )
    if panel.resolution != features.horizon.resolution:
        raise InvalidInput(
            "the panel has another resolution than the horizon",
            got=str(panel.resolution),
            expected=str(features.horizon.resolution),
            where="FeatureSet.compute",
        )
    rows = _rows(features, ordered)
    grid, reach = _grid(features, rows)
    series = series_of(panel, sorted({LOAD, *features.quantities}), areas, grid)
    calendar = calendar_of(grid, features.horizon.zone, features.country, features.subdivision)
    scale, columns = _filled(features, series, calendar, rows, reach)
    table = _table(features, areas, rows, scale, columns)
    return _with_extra(features, panel, ordered, table)


def _rows(features: FeatureSet, issues: Sequence[datetime]) -> Rows:
    targets = [[microseconds(at) for at in features.horizon.targets(issue)] for issue in issues]
    counts = [len(item) for item in targets]
    return Rows(
        np.array([microseconds(issue) for issue in issues], dtype=np.int64),
        np.repeat(np.arange(len(issues)), counts),
        np.array([at for item in targets for at in item], dtype=np.int64),
    )


def _grid(features: FeatureSet, rows: Rows) -> tuple[Grid, tuple[int, int]]:
    """Return the grid on which the targets lie, and how many cells before and after an issue are looked at."""
    step = microseconds_of(features.horizon.resolution)
    phase = int(rows.at[0] % step)
    if ((rows.at - phase) % step).any():
        raise InvalidInput(
            "targets that lie on no common grid",
            got=str(features.horizon.resolution),
            expected="a resolution that divides the local day, before and after clock changes",
            where="Horizon",
        )
    before = ceil_steps(max(_reach(features), timedelta(days=SCALE_DAYS)), features.horizon.resolution)
    after = ceil_steps(timedelta(hours=25 * (features.horizon.days + 1)), features.horizon.resolution) + 1
    first = (int(rows.issues[0]) - phase) // step - before
    last = (int(rows.issues[-1]) - phase) // step + after
    return Grid(first * step + phase, step, last - first + 1), (before, after)


def _reach(features: FeatureSet) -> timedelta:
    return max((item.reach for item in features.features), default=timedelta(0))


def microseconds_of(span: timedelta) -> int:
    """Return a span in microseconds."""
    return span // timedelta(microseconds=1)


def _filled(
    features: FeatureSet, series: dict[str, Series], calendar: Calendar, rows: Rows, reach: tuple[int, int]
) -> tuple[FloatArray, dict[str, npt.NDArray[np.float32]]]:
    """Compute block by block: scale per area and issue, and (n_areas, n_rows) per feature."""
    n_areas = series[LOAD].value.shape[0]
    scale = np.empty((n_areas, rows.issues.size))
    columns = {item.name: np.empty((n_areas, rows.at.size), dtype=np.float32) for item in features.features}
    at_once = max(1, CELLS_AT_ONCE // (n_areas * sum(reach)))
    bounds = np.searchsorted(rows.issue, np.arange(rows.issues.size + 1))
    for start in range(0, rows.issues.size, at_once):
        stop = min(start + at_once, rows.issues.size)
        mine = slice(int(bounds[start]), int(bounds[stop]))
        block = _block(series, calendar, rows, reach, slice(start, stop))
        scale[:, start:stop] = block.scale_mw
        for item in features.features:
            columns[item.name][:, mine] = item.column(block)
    return scale, columns


def _block(series: dict[str, Series], calendar: Calendar, rows: Rows, reach: tuple[int, int], part: slice) -> Block:
    issues = rows.issues[part]
    issue_cell = calendar.grid.cell(issues)
    mine = (rows.issue >= part.start) & (rows.issue < part.stop)
    views = {}
    for quantity, item in series.items():
        length = reach[0] if quantity == LOAD else sum(reach)
        views[quantity] = view_of(item, issues, issue_cell - reach[0], length)
    day = int(24 * HOUR // calendar.grid.step)
    recent = np.abs(views[LOAD].values[:, :, -SCALE_DAYS * day :])
    return Block(
        issue_cell,
        rows.issue[mine] - part.start,
        calendar.grid.cell(rows.at[mine]),
        views,
        calendar,
        mean_of_known(recent, day),
    )


def _table(
    features: FeatureSet,
    areas: Sequence[str],
    rows: Rows,
    scale: FloatArray,
    columns: dict[str, npt.NDArray[np.float32]],
) -> pl.DataFrame:
    issued = rows.issues[rows.issue]
    n = len(areas)
    data: dict[str, pl.Series] = {
        "area": pl.Series(areas, dtype=pl.String).gather(np.repeat(np.arange(n), rows.at.size)),
        "issued_at": pl.Series(np.tile(issued, n)).cast(TIME),
        "at": pl.Series(np.tile(rows.at, n)).cast(TIME),
        "lead_h": pl.Series(np.tile((rows.at - issued) / HOUR, n)),
        "scale_mw": pl.Series(scale[:, rows.issue].ravel(), nan_to_null=True, dtype=pl.Float64),
    }
    for item in features.features:
        values = columns.get(item.name, np.empty((0, 0), dtype=np.float32))
        data[item.name] = pl.Series(values.ravel(), nan_to_null=True, dtype=pl.Float32)
    for extra in features.extra:
        data[extra.name] = pl.Series([None] * (n * rows.at.size), dtype=pl.Float32)
    return pl.DataFrame(data)


def _with_extra(features: FeatureSet, panel: Panel, issues: Sequence[datetime], table: pl.DataFrame) -> pl.DataFrame:
    """Fill the user's columns issue by issue, so that each sees only what its issue could know."""
    if not features.extra:
        return table
    parts = []
    for issue in issues:
        part = table.filter(pl.col("issued_at") == instant(issue))
        parts.append(part.with_columns(extra_columns(features.extra, panel, issue, part.select("area", "at"))))
    return pl.concat(parts).sort("area", "issued_at", "at")
