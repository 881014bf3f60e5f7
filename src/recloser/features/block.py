"""Owns what one batch of issues looks like to a feature: rows, views as of each issue, calendar and scale."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol

import numpy as np

from recloser.core import LOAD, FloatArray, Horizon
from recloser.features.calendar import HOUR, Calendar
from recloser.features.grid import IntArray, View


class Feature(Protocol):
    """One declared column.

    `column` is a pure function of the block: float64 of shape (n_areas, n_rows) or (1, n_rows) where all areas
    share it; NaN where an input is missing. A value depends only on its own area and issue, never on the rest of
    the block. Thread safe.
    """

    @property
    def name(self) -> str:
        """Return the column name, unique within a feature set."""
        ...

    @property
    def quantity(self) -> str | None:
        """Return the series it reads, or None."""
        ...

    @property
    def reach(self) -> timedelta:
        """Return how far before the issue it reads."""
        ...

    def check(self, horizon: Horizon) -> None:
        """Raise InvalidInput where it would look past the issue."""
        ...

    def column(self, block: Block) -> FloatArray:
        """Return the values, shape (n_areas, n_rows) or (1, n_rows)."""
        ...


@dataclass(frozen=True, slots=True)
class Block:
    """A batch of issues of all areas.

    Attributes:
        issue_cell: (n_issues,), grid cell that the issue instant falls into.
        row_issue: (n_rows,), index of each row's issue.
        row_cell: (n_rows,), grid cell of each row's target.
        views: quantity -> as-of view.
        calendar: local time and holidays on the grid.
        scale_mw: (n_areas, n_issues), recent level of each area as known at the issue; NaN where unknown.
    """

    issue_cell: IntArray
    row_issue: IntArray
    row_cell: IntArray
    views: dict[str, View]
    calendar: Calendar
    scale_mw: FloatArray
    memo: dict[Any, FloatArray] = field(default_factory=dict)

    def steps(self, hours: float) -> int:
        """Return how many intervals `hours` are, at least one."""
        return max(1, round(hours * HOUR / self.calendar.grid.step))

    def per_unit(self, load_mw: FloatArray) -> FloatArray:
        """Divide row values in MW by the scale of their area and issue; NaN where the scale is zero or unknown."""
        if "scale" not in self.memo:
            scale = np.where(self.scale_mw > 0, self.scale_mw, np.nan)
            self.memo["scale"] = scale[:, self.row_issue]
        result: FloatArray = load_mw / self.memo["scale"]
        return result

    def load_back(self, days: int) -> FloatArray:
        """Return the load in MW at the target's local wall time `days` local days earlier, (n_areas, n_rows)."""
        key = ("load", days)
        if key not in self.memo:
            cell = self.calendar.days_back(self.row_cell, days)
            self.memo[key] = self.views[LOAD].at(self.row_issue, cell)
        return self.memo[key]

    def recent_load(self, cells: int, back: int = 0) -> FloatArray:
        """Return the `cells` intervals before the issue, or before `back` cells earlier, (n_areas, n_issues, cells)."""
        values = self.views[LOAD].values
        end = values.shape[2] - back
        return values[:, :, end - cells : end]

    def rolling(
        self, quantity: str, cells: int, values: FloatArray | None = None, key: str = "plain", back: int = 0
    ) -> FloatArray:
        """Return the mean over the `cells` intervals that end with each target, (n_areas, n_rows).

        Args:
            quantity: which view's window to use.
            cells: window length.
            values: transformed window of that view; default the view itself.
            key: names `values` in the memo.
            back: intervals between the window's end and the target.

        Sums run from the window's start of each issue, so a result cannot depend on other issues. NaN where fewer
        than half of the intervals are known.
        """
        view = self.views[quantity]
        source = view.values if values is None else values
        total, count = self._running(source, (quantity, key))
        last = self.row_cell - view.first[self.row_issue] + 1 - back
        first = last - cells
        number = count[:, self.row_issue, last] - count[:, self.row_issue, first]
        amount = total[:, self.row_issue, last] - total[:, self.row_issue, first]
        result: FloatArray = np.where(2 * number >= cells, amount / np.maximum(number, 1), np.nan)
        return result

    def _running(self, source: FloatArray, key: Any) -> tuple[FloatArray, FloatArray]:
        if (key, "total") not in self.memo:
            self.memo[key, "total"] = running_sum(np.nan_to_num(source))
            self.memo[key, "count"] = running_sum(np.isfinite(source).astype(np.float64))
        return self.memo[key, "total"], self.memo[key, "count"]


def running_sum(values: FloatArray) -> FloatArray:
    """Return sums of the first 0..n entries along the last axis, always added from the left."""
    result = np.zeros((*values.shape[:-1], values.shape[-1] + 1))
    np.cumsum(values, axis=-1, out=result[..., 1:])
    return result


def mean_of_known(values: FloatArray, least: int) -> FloatArray:
    """Return the mean of finite entries along the last axis, NaN where fewer than `least` are finite.

    Added from the left (cumsum), so that equal rows give equal bytes whatever the array around them.
    """
    known = np.isfinite(values)
    count = known.sum(axis=-1)
    total = np.cumsum(np.where(known, values, 0.0), axis=-1)[..., -1]
    result: FloatArray = np.where(count >= least, total / np.maximum(count, 1), np.nan)
    return result
