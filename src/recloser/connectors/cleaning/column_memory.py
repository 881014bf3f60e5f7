"""Owns what is remembered of many points between their readings, as arrays: what `steps.History` is, for all at once.

Every array has a column for each point. Rings are written round and round, each column at its own pace.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recloser.connectors.cleaning.steps import LAGS, LONGEST_PERIOD, NUMBERS
from recloser.connectors.points import Point

Columns = slice | NDArray[np.intp]
TRAIL = LONGEST_PERIOD + 8  # numbers in which a cycle is looked for: those of the longest, and the two before each
KEPT = 512  # statements of a point that are known again
NEVER = np.iinfo(np.int64).min


class Ring:
    """The latest `depth` values of each column; `count` tells how many each had."""

    def __init__(self, depth: int, width: int, empty: float, kind: Any) -> None:
        self.depth, self.count = depth, np.zeros(width, np.int64)
        self.values = np.full((depth, width), empty, kind)

    def put(self, columns: Columns, values: NDArray[Any] | float) -> None:
        """Append a value to each of the columns."""
        slots = self.count[columns] % self.depth
        if not len(slots):
            return
        if (slots == slots[0]).all():
            self.values[slots[0], columns] = values
        else:
            where = np.arange(len(self.count))[columns]
            self.values[slots, where] = values
        self.count[columns] += 1


class ColumnMemory:
    """Histories and statements of points.

    Attributes:
        points: one a column.
        low, high, rate_per_s, stuck_after_s: of the registry, NaN where there is none.
        last_number, last_ns: the latest usable reading that was no jump; NaN for none.
        level_number, level_ns, level_count: readings in a row at another level.
        same, same_since_ns: the latest number, and since when it is what it is.
        lags_ns: ages at arrival; window: the latest usable numbers; trail: more of them.
        period, repeated: how long ago the same three numbers came last, and for how many readings in a row.
        alike: where the trail has the latest number; paired: and before it the one before; None for nowhere.
        said_ns, said_number, said_quality: statements, numbers by their bits; newest_ns: the latest time of one.
    """

    def __init__(self, points: Sequence[Point]) -> None:
        self.points, width = tuple(points), len(points)
        self.low = _setting([point.low for point in points])
        self.high = _setting([point.high for point in points])
        self.rate_per_s = _setting([point.rate_per_s for point in points])
        self.stuck_after_s = _setting([point.stuck_after_s for point in points])
        self.limited = bool(np.isfinite(self.low).any() or np.isfinite(self.high).any())
        self.rated = not bool(np.isnan(self.rate_per_s).all())
        self.sticks = not bool(np.isnan(self.stuck_after_s).all())
        self.last_number, self.last_ns = np.full(width, np.nan), np.zeros(width, np.int64)
        self.level_number, self.level_ns = np.full(width, np.nan), np.zeros(width, np.int64)
        self.level_count = np.zeros(width, np.int64)
        self.same, self.same_since_ns = np.full(width, np.nan), np.zeros(width, np.int64)
        self.lags_ns = Ring(LAGS, width, 0, np.int64)
        self.window = Ring(NUMBERS, width, np.nan, np.float64)
        self.trail = Ring(TRAIL, width, np.nan, np.float64)
        self.period, self.repeated = np.zeros(width, np.int64), np.zeros(width, np.int64)
        self.alike: NDArray[np.bool_] | None = None
        self.paired: NDArray[np.bool_] | None = None
        self.said_ns = Ring(KEPT, width, NEVER, np.int64)
        self.said_number = Ring(KEPT, width, 0, np.int64)
        self.said_quality = Ring(KEPT, width, 0, np.int32)
        self.newest_ns = np.full(width, NEVER, np.int64)

    def indices(self, columns: Columns) -> NDArray[np.intp]:
        """Return the numbers of columns."""
        return np.arange(len(self.points))[columns]

    def state(self, source_ns: int, number: NDArray[np.float64], quality: NDArray[np.int32], columns: Columns) -> None:
        """Note what is said about a time: numbers, and the bits that are the source's."""
        self.said_ns.put(columns, source_ns)
        self.said_number.put(columns, bits_of(number))
        self.said_quality.put(columns, quality)
        self.newest_ns[columns] = np.maximum(self.newest_ns[columns], source_ns)

    def known(
        self, source_ns: int, number: NDArray[np.float64], quality: NDArray[np.int32], columns: Columns
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return which statements were made before, and which of these are their point's latest, each (columns,)."""
        before = self.newest_ns[columns] >= source_ns
        found, latest = np.zeros(len(before), bool), np.zeros(len(before), bool)
        if not before.any():
            return found, latest
        places = np.flatnonzero(before)
        where, bits, marks = self.indices(columns)[places], bits_of(number[places]), quality[places]
        newest = (self.said_ns.count[where] - 1) % KEPT
        for age in range(KEPT):
            slot = int((newest[0] - age) % KEPT)
            same = self.said_ns.values[slot, where] == source_ns
            if not same.any():
                continue
            same &= (self.said_number.values[slot, where] == bits) & (self.said_quality.values[slot, where] == marks)
            found[places[same]] = True
            latest[places[same & (newest == slot)]] = True
            if found[places].all():
                break
        return found, latest


def bits_of(number: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return numbers by their bits, for which none is like none, and both zeros are one."""
    plain = np.where(np.isnan(number), np.nan, number + 0.0)
    return plain.view(np.int64)


def _setting(values: Sequence[float | None]) -> NDArray[np.float64]:
    return np.array([np.nan if value is None else value for value in values], np.float64)
