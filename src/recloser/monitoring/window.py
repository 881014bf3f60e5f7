"""Owns the matrix view of one quantity in a Panel: areas by even steps, values, quality, first-known times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from recloser.core import TIME, FloatArray, Panel, Quality

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICRO = timedelta(microseconds=1)


def micros(instant: datetime) -> int:
    """Return microseconds since the epoch."""
    result: int = (instant - _EPOCH) // _MICRO
    return result


@dataclass(frozen=True, slots=True)
class Window:
    """The latest revision of one quantity, shape (n_areas, n_steps) throughout.

    Attributes:
        quantity: the feed.
        areas: sorted names.
        start: first interval start (aware UTC).
        resolution: length of a step.
        values: canonical unit, NaN where there is no sample; faulty samples keep their value.
        quality: bits.
        usable: finite and without any bit of Quality.UNUSABLE: what baselines are learnt from.
        known_us: microseconds since the epoch at which the first revision was known; -1 without one.
    """

    quantity: str
    areas: tuple[str, ...]
    start: datetime
    resolution: timedelta
    values: FloatArray
    quality: IntArray
    usable: BoolArray
    known_us: IntArray

    @property
    def steps(self) -> int:
        """Return the number of steps."""
        return int(self.values.shape[1])

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


@dataclass(frozen=True, slots=True)
class Blocks:
    """A panel's columns as arrays with the row span of each series, so that no row is searched or copied twice.

    Attributes:
        spans: (area, quantity) -> (first row, last row + 1).
        at_us, known_us: microseconds since the epoch, shape (n_rows,).
        values: NaN for null, shape (n_rows,).
        quality: bits, shape (n_rows,).
        resolution: of the panel.
    """

    spans: dict[tuple[str, str], tuple[int, int]]
    at_us: IntArray
    known_us: IntArray
    values: FloatArray
    quality: IntArray
    resolution: timedelta


def blocks_of(panel: Panel) -> Blocks:
    """Index a panel by series; relies on its promised order (area, quantity, at, available_at)."""
    frame = panel.frame
    columns = frame.select(
        pl.col("at", "available_at").to_physical(),
        pl.col("value").fill_null(float("nan")),
        pl.col("quality").cast(pl.Int64),
        begins=(pl.col("area") != pl.col("area").shift()) | (pl.col("quantity") != pl.col("quantity").shift()),
    )
    begins = np.flatnonzero(columns["begins"].fill_null(value=True).to_numpy())
    ends = np.append(begins[1:], frame.height)[: begins.size]
    names = frame.select("area", "quantity")[begins].rows()
    spans = {(area, quantity): (int(f), int(e)) for (area, quantity), f, e in zip(names, begins, ends, strict=True)}
    at, known = columns["at"].to_numpy(), columns["available_at"].to_numpy()
    return Blocks(spans, at, known, columns["value"].to_numpy(), columns["quality"].to_numpy(), panel.resolution)


def window_of(blocks: Blocks, quantity: str, start: datetime, end: datetime, expected: Sequence[str] = ()) -> Window:
    """Cut [start, end) of one quantity out of an indexed panel.

    Args:
        blocks: from `blocks_of`.
        quantity: which feed.
        start: snapped down to the grid.
        end: excluded; may lie in the future (weather).
        expected: areas that must have a row even when the panel has no sample of them.
    """
    step_us = blocks.resolution // _MICRO
    start_us = micros(start) // step_us * step_us
    steps = max(0, -(-(micros(end) - start_us) // step_us))
    mine = {area: span for (area, name), span in blocks.spans.items() if name == quantity}
    areas = tuple(sorted({*mine, *expected}))
    shape = (len(areas), steps)
    values, quality = np.full(shape, np.nan), np.zeros(shape, dtype=np.int64)
    known = np.full(shape, -1, dtype=np.int64)
    for row, area in enumerate(areas):
        first, last = mine.get(area, (0, 0))
        low, high = first + np.searchsorted(blocks.at_us[first:last], (start_us, start_us + steps * step_us))
        index = (blocks.at_us[low:high] - start_us) // step_us
        # Revisions of a sample stand in order of available_at: the last written stays, or the first when reversed.
        values[row, index] = blocks.values[low:high]
        quality[row, index] = blocks.quality[low:high]
        known[row, index[::-1]] = blocks.known_us[low:high][::-1]
    usable = np.isfinite(values) & ((quality & int(Quality.UNUSABLE)) == 0)
    return Window(quantity, areas, _EPOCH + start_us * _MICRO, blocks.resolution, values, quality, usable, known)


@dataclass(frozen=True, slots=True)
class Calendar:
    """Local days of a window's steps.

    Attributes:
        begin: the first local day, in days since 1970-01-01.
        slot: place of each step in its local day, 0 at local midnight, shape (n_steps,).
        row: local day of each step, -1 in a first partial day, shape (n_steps,).
        first: step at which each local day begins, shape (n_days,).
        steps: steps of each day inside the window, shape (n_days,); 23 to 25 hours unless it is the last one.
        weekend: True on Saturdays and Sundays, shape (n_days,).
        offset_h: local minus UTC at noon, shape (n_days,).
    """

    begin: int
    slot: IntArray
    row: IntArray
    first: IntArray
    steps: IntArray
    weekend: BoolArray
    offset_h: FloatArray


def calendar_of(window: Window, zone: str) -> Calendar:
    """Return the local days of a window; the last one may be incomplete."""
    stamps = pl.Series("at", window.at_us()).cast(TIME)
    local = pl.col("at").dt.convert_time_zone(zone)
    parts = pl.DataFrame([stamps]).select(
        day=local.dt.date().to_physical().cast(pl.Int64),
        minute=local.dt.hour().cast(pl.Int64) * 60 + local.dt.minute(),
        offset=(local.dt.base_utc_offset() + local.dt.dst_offset()).dt.total_seconds() / 3600.0,
    )
    day, offset = parts["day"].to_numpy(), parts["offset"].to_numpy()
    slot = parts["minute"].to_numpy() // max(1, int(window.resolution / timedelta(minutes=1)))
    begin = int(day[0] + (slot[0] != 0)) if len(day) else 0
    row = np.maximum(day - begin, -1)
    count = int(row.max(initial=-1)) + 1
    numbers = np.arange(count)
    first = np.searchsorted(row, numbers)
    steps = np.bincount(row[row >= 0], minlength=count)
    noon = np.minimum(first + 12 * window.per_hour, max(0, window.steps - 1))
    # 1970-01-01 was a Thursday.
    return Calendar(begin, slot, row, first, steps, (numbers + begin + 3) % 7 >= 5, offset[noon])


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
