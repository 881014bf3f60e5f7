"""Owns the matrix view of one quantity in a Panel: areas by even steps, values, quality, first-known times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from recloser.core import FloatArray, Panel, Quality

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICRO = timedelta(microseconds=1)


def micros(instant: datetime) -> int:
    """Return microseconds since the epoch."""
    return (instant - _EPOCH) // _MICRO


@dataclass(frozen=True, slots=True)
class Window:
    """The latest revision of one quantity, shape (n_areas, n_steps) throughout.

    Attributes:
        quantity: the feed.
        areas: sorted names.
        start: first interval start (aware UTC).
        resolution: length of a step.
        values: canonical unit, NaN where there is no sample; faulty samples keep their value.
        usable: finite and without any bit of Quality.UNUSABLE: what baselines are learnt from.
        known_us: microseconds since the epoch at which the first revision was known; -1 without one.
    """

    quantity: str
    areas: tuple[str, ...]
    start: datetime
    resolution: timedelta
    values: FloatArray
    usable: BoolArray
    known_us: IntArray

    @property
    def steps(self) -> int:
        """Return the number of steps."""
        return self.values.shape[1]

    @property
    def per_hour(self) -> int:
        """Return the number of steps in an hour, at least one."""
        return max(1, int(timedelta(hours=1) / self.resolution))

    def time(self, step: int) -> datetime:
        """Return the interval start of a step (may lie at the end of the window)."""
        return self.start + step * self.resolution

    def at_us(self) -> IntArray:
        """Return the interval starts in microseconds since the epoch, shape (n_steps,)."""
        return micros(self.start) + np.arange(self.steps, dtype=np.int64) * (self.resolution // _MICRO)

    def good(self) -> FloatArray:
        """Return the values with unusable ones as NaN."""
        return np.where(self.usable, self.values, np.nan)


def window_of(panel: Panel, quantity: str, start: datetime, end: datetime, expected: Sequence[str] = ()) -> Window:
    """Cut [start, end) of one quantity out of a panel.

    Args:
        panel: sorted by area, quantity, at, available_at, as its class promises.
        quantity: which feed.
        start: snapped down to the grid.
        end: excluded; may lie in the future (weather).
        expected: areas that must have a row even when the panel has no sample of them.
    """
    step_us = panel.resolution // _MICRO
    start_us = ((start - _EPOCH) // _MICRO) // step_us * step_us
    end_us = (end - _EPOCH) // _MICRO
    steps = max(0, -(-(end_us - start_us) // step_us))
    cut = panel.frame.lazy().filter(
        (pl.col("quantity") == quantity)
        & pl.col("at").is_between(_EPOCH + start_us * _MICRO, _EPOCH + end_us * _MICRO, closed="left")
    )
    rows = cut.select("area", "at", "available_at", "value", "quality").collect()
    runs = rows["area"].rle()
    names = runs.struct.field("value").to_list()
    areas = tuple(sorted({*names, *expected}))
    place = {name: k for k, name in enumerate(areas)}
    code = np.repeat(np.array([place[n] for n in names], dtype=np.int64), runs.struct.field("len").to_numpy())
    index = (rows["at"].to_physical().to_numpy() - start_us) // step_us
    shape = (len(areas), steps)
    values = np.full(shape, np.nan)
    quality = np.zeros(shape, dtype=np.int64)
    known = np.full(shape, -1, dtype=np.int64)
    # Revisions of one sample stand in order of available_at: the last one written stays, the first one when reversed.
    values[code, index] = rows["value"].fill_null(np.nan).to_numpy()
    quality[code, index] = rows["quality"].to_numpy()
    known[code[::-1], index[::-1]] = rows["available_at"].to_physical().to_numpy()[::-1]
    usable = np.isfinite(values) & ((quality & int(Quality.UNUSABLE)) == 0)
    return Window(quantity, areas, _EPOCH + start_us * _MICRO, panel.resolution, values, usable, known)


@dataclass(frozen=True, slots=True)
class Calendar:
    """Local days of a window's steps.

    Attributes:
        slot: place of each step in its local day, 0 at local midnight, shape (n_steps,).
        row: local day of each step, -1 in a first partial day, shape (n_steps,).
        first: step at which each local day begins, shape (n_days,).
        steps: steps of each day inside the window, shape (n_days,); 23 to 25 hours unless it is the last one.
        weekend: True on Saturdays and Sundays, shape (n_days,).
        offset_h: local minus UTC at noon, shape (n_days,).
    """

    slot: IntArray
    row: IntArray
    first: IntArray
    steps: IntArray
    weekend: BoolArray
    offset_h: FloatArray


def calendar_of(window: Window, zone: str) -> Calendar:
    """Return the local days of a window; the last one may be incomplete."""
    stamps = pl.datetime_range(window.start, window.time(window.steps), window.resolution, closed="left", eager=True)
    local = stamps.dt.convert_time_zone(zone)
    day = local.dt.date().to_physical().to_numpy().astype(np.int64)
    minute = local.dt.hour().to_numpy().astype(np.int64) * 60 + local.dt.minute().to_numpy()
    slot = minute // max(1, int(window.resolution / timedelta(minutes=1)))
    offset = (local.dt.base_utc_offset() + local.dt.dst_offset()).dt.total_seconds().to_numpy() / 3600.0
    begin = int(day[0] + (slot[0] != 0)) if len(day) else 0
    row = np.maximum(day - begin, -1)
    count = int(row.max(initial=-1)) + 1
    numbers = np.arange(count)
    first = np.searchsorted(row, numbers)
    steps = np.bincount(row[row >= 0], minlength=count)
    noon = np.minimum(first + 12 * window.per_hour, max(0, window.steps - 1))
    # 1970-01-01 was a Thursday.
    return Calendar(slot, row, first, steps, (numbers + begin + 3) % 7 >= 5, offset[noon])


@dataclass(frozen=True, slots=True)
class Days:
    """A window folded into local days: shape (n_areas, n_days, n_slots), NaN where there is nothing.

    A day of 23 hours has an empty hour, of a day of 25 hours the second one counts.

    Attributes:
        values: all finite samples.
        good: usable ones only.
        calendar: the days.
    """

    values: FloatArray
    good: FloatArray
    calendar: Calendar

    def complete(self, per_hour: int) -> int:
        """Return the number of days without a last incomplete one."""
        steps = self.calendar.steps
        return len(steps) if len(steps) and steps[-1] >= 23 * per_hour else max(0, len(steps) - 1)


def fold(window: Window, calendar: Calendar) -> Days:
    """Fold a window into its local days."""
    shape = (len(window.areas), len(calendar.first), 24 * window.per_hour)
    values, good = np.full(shape, np.nan), np.full(shape, np.nan)
    inside = calendar.row >= 0
    row, slot = calendar.row[inside], calendar.slot[inside]
    values[:, row, slot] = window.values[:, inside]
    good[:, row, slot] = window.good()[:, inside]
    return Days(values, good, calendar)


def median(values: FloatArray, axis: int) -> FloatArray:
    """Return the median along an axis without NaN (NaN where there is nothing); faster than numpy's own."""
    ordered = np.sort(values, axis=axis)
    count = np.isfinite(values).sum(axis=axis, keepdims=True)
    low = np.maximum(count - 1, 0) // 2
    high = np.minimum(count // 2, values.shape[axis] - 1)
    middle = 0.5 * (np.take_along_axis(ordered, low, axis=axis) + np.take_along_axis(ordered, high, axis=axis))
    result: FloatArray = np.where(count > 0, middle, np.nan).squeeze(axis)
    return result
