"""Owns the quality steps for one time of many points: what `steps` says of one reading, for a row of them at once.

Both must say the same; a test holds them to it. No step changes a number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from recloser.connectors.cleaning.column_memory import TRAIL, ColumnMemory, Columns
from recloser.connectors.cleaning.steps import (
    CLOSE,
    HOUR_NS,
    LAGS,
    LEAST_PERIOD,
    LEAST_REPEATED,
    LONGEST_PERIOD,
    NOT_OF_THE_PLANT,
    NUMBERS,
    ROUNDS,
    SECOND_NS,
    CleaningRules,
    clock_ahead,
    clock_shifted,
    frozen,
    jumped,
    outside,
    repeating,
    thousandfold,
)
from recloser.connectors.points import Point, PointQuality

Mask = NDArray[np.bool_]
DOUBTFUL = int(PointQuality.TIME_INVALID | PointQuality.CLOCK_SUSPECT)
UNUSABLE, TIME_INVALID, JUMP = int(PointQuality.UNUSABLE), int(PointQuality.TIME_INVALID), int(PointQuality.JUMP)
SLOTS = np.arange(TRAIL)[:, None]


@dataclass(slots=True)
class Row:
    """What is said about one time, of the points in `columns`; the steps add to `quality` and `reasons`.

    Attributes:
        columns: of the memory.
        source_ns: None where the source told no time.
        receive_ns: of arrival.
        number: NaN for none.
        quality: bits.
        reasons: by place in the row.
        alike, paired: see ColumnMemory; what they become if the numbers count.
        period: how long ago these three numbers came last; 0 for never.
    """

    columns: Columns
    source_ns: int | None
    receive_ns: int
    number: NDArray[np.float64]
    quality: NDArray[np.int32]
    reasons: dict[int, list[str]] = field(default_factory=dict)
    alike: Mask | None = None
    paired: Mask | None = None
    period: NDArray[np.int64] | None = None

    @property
    def at_ns(self) -> NDArray[np.int64]:
        """Return the times that the values are about."""
        if self.source_ns is None:
            return np.full(len(self.number), self.receive_ns, np.int64)
        return np.where(self.quality & DOUBTFUL, self.receive_ns, self.source_ns)

    @property
    def usable(self) -> Mask:
        """Return which values say something about the plant."""
        usable: Mask = ~np.isnan(self.number) & (self.quality & UNUSABLE == 0)
        return usable

    def mark(self, which: Mask, mark: PointQuality, memory: ColumnMemory, say: Callable[[int, Point], str]) -> None:
        """Add a mark and its reason; `say` is asked with the place in the row and the point."""
        places = np.flatnonzero(which)
        if not len(places):
            return
        self.quality[places] |= int(mark)
        for place, column in zip(places.tolist(), memory.indices(self.columns)[places].tolist(), strict=True):
            self.reasons.setdefault(place, []).append(say(place, memory.points[column]))


def clock(row: Row, memory: ColumnMemory, rules: CleaningRules) -> None:
    """A clock that is ahead, or shifted by whole hours, does not tell the time of a value."""
    if row.source_ns is None:
        return
    lag = row.receive_ns - row.source_ns
    if abs(lag) < HOUR_NS // 2 and -lag <= rules.ahead_s * SECOND_NS:
        return
    trusted = row.quality & TIME_INVALID == 0
    within, hours = int(rules.shift_within_s * SECOND_NS), round(lag / HOUR_NS)
    shifted = np.zeros(len(row.number), bool)
    if within and hours and abs(lag - hours * HOUR_NS) <= within:
        past, count = memory.lags_ns.values[:, row.columns], memory.lags_ns.count[row.columns]
        near = (np.rint(past / HOUR_NS) == hours) & (np.abs(past - hours * HOUR_NS) <= within)
        none = np.arange(LAGS)[:, None] >= count
        shifted = trusted & (count + 1 >= LAGS) & (near | none).all(axis=0)
        row.mark(shifted, PointQuality.CLOCK_SUSPECT, memory, lambda _place, _point: clock_shifted(hours))
    if -lag > rules.ahead_s * SECOND_NS:
        row.mark(trusted & ~shifted, PointQuality.CLOCK_SUSPECT, memory, lambda _place, _point: clock_ahead(lag))


def limits(row: Row, memory: ColumnMemory, _rules: CleaningRules) -> None:
    """A number beyond the registry's limits is not the plant's."""
    if memory.limited:
        beyond = (row.number < memory.low[row.columns]) | (row.number > memory.high[row.columns])
        number = row.number
        row.mark(beyond, PointQuality.OUT_OF_LIMITS, memory, lambda place, point: outside(float(number[place]), point))


def rate(row: Row, memory: ColumnMemory, rules: CleaningRules) -> None:
    """A change faster than the registry allows is a spike until enough readings stay there."""
    if not memory.rated:
        return
    last = memory.last_number[row.columns]
    fast = _faster(last, memory.last_ns[row.columns], row, memory) & row.usable
    fast &= memory.level_count[row.columns] + 1 < rules.confirmed_by
    number = row.number
    row.mark(
        fast, PointQuality.JUMP, memory, lambda place, point: jumped(float(last[place]), float(number[place]), point)
    )


def stuck(row: Row, memory: ColumnMemory, _rules: CleaningRules) -> None:
    """A number that never changes although readings come is a frozen one, where the registry says so."""
    if not memory.sticks:
        return
    age_s = (row.at_ns - memory.same_since_ns[row.columns]) / SECOND_NS
    still = (row.number == memory.same[row.columns]) & (age_s >= memory.stuck_after_s[row.columns])
    number = row.number
    row.mark(
        still, PointQuality.UNCHANGED, memory, lambda place, _point: frozen(float(number[place]), float(age_s[place]))
    )


def unit(row: Row, memory: ColumnMemory, rules: CleaningRules) -> None:
    """A number about a thousand times the usual, or a thousandth, is one in another unit."""
    if not rules.unit_check:
        return
    size, known = np.abs(row.number), np.abs(memory.window.values[:, row.columns])
    far = (size > known.max(axis=0) * CLOSE) | (size < known.min(axis=0) / CLOSE)  # NaN until there are twenty
    places = np.flatnonzero(far & (size > 0))
    if not len(places):
        return
    ordered = np.sort(memory.window.values[:, row.columns][:, places], axis=0)
    usual = np.full(len(size), np.nan)
    usual[places] = np.abs((ordered[NUMBERS // 2 - 1] + ordered[NUMBERS // 2]) / 2)
    with np.errstate(divide="ignore", over="ignore"):
        ratio = size / usual
    which = ((ratio >= 500.0) & (ratio <= 2000.0)) | ((ratio >= 0.0005) & (ratio <= 0.002))
    number = row.number
    row.mark(
        which & (usual > 0),
        PointQuality.UNIT_SUSPECT,
        memory,
        lambda place, _point: thousandfold(float(number[place]), float(usual[place])),
    )


def cycling(row: Row, memory: ColumnMemory, rules: CleaningRules) -> None:
    """A measurement that repeats the same numbers in the same order, exactly, is a recording and not the plant."""
    if not rules.cycle_check:
        return
    look_back(row, memory)
    period = row.period
    if period is None:
        return
    repeated = memory.repeated[row.columns] + 1
    which = (period >= LEAST_PERIOD) & (period == memory.period[row.columns])
    which &= repeated >= np.maximum(LEAST_REPEATED, ROUNDS * period)
    places = np.flatnonzero(which)
    if len(places):
        ordered = np.sort(memory.window.values[:, row.columns][:, places], axis=0)
        which[places] = (np.diff(ordered, axis=0) != 0).sum(axis=0) + 1 >= LEAST_PERIOD
        row.mark(
            which,
            PointQuality.CYCLING,
            memory,
            lambda place, _point: repeating(int(period[place]), int(repeated[place])),
        )


STEPS = (clock, limits, rate, stuck, unit, cycling)


def remember(row: Row, memory: ColumnMemory) -> None:
    """Bring the memory up to date with a row that all steps have looked at."""
    columns = row.columns
    if row.source_ns is not None:
        memory.lags_ns.put(columns, row.receive_ns - row.source_ns)
    at_ns, changed = row.at_ns, ~np.isnan(row.number) & (row.number != memory.same[columns])
    if changed.all():
        memory.same[columns], memory.same_since_ns[columns] = row.number, at_ns
    elif changed.any():
        where = memory.indices(columns)[changed]
        memory.same[where], memory.same_since_ns[where] = row.number[changed], at_ns[changed]
    counts = row.usable & (row.quality & NOT_OF_THE_PLANT == 0)
    leaps = counts & (row.quality & JUMP != 0)
    if leaps.any():
        _remember_jumps(row, memory, leaps, at_ns)
        counts &= ~leaps
    if counts.all():
        _remember_numbers(row, memory, columns, counts)
    elif counts.any():
        _remember_numbers(row, memory, memory.indices(columns)[counts], counts)


def _remember_jumps(row: Row, memory: ColumnMemory, leaps: Mask, at_ns: NDArray[np.int64]) -> None:
    where = memory.indices(row.columns)[leaps]
    level = memory.level_number[row.columns]
    alike = (memory.level_count[where] > 0) & (memory.rate_per_s[where] > 0)
    alike &= ~_faster(level, memory.level_ns[row.columns], row, memory)[leaps]
    memory.level_count[where] = np.where(alike, memory.level_count[where] + 1, 1)
    memory.level_number[where], memory.level_ns[where] = row.number[leaps], at_ns[leaps]


def _remember_numbers(row: Row, memory: ColumnMemory, columns: Columns, which: Mask) -> None:
    """Note the numbers that count: `which` in the row, `columns` of the memory."""
    number = row.number[which]
    memory.last_number[columns], memory.last_ns[columns] = number, row.at_ns[which]
    memory.level_count[columns] = 0
    before = memory.period[columns]
    if row.period is None:
        memory.period[columns], memory.repeated[columns] = 0, 0
    else:
        period = row.period[which]
        same = (period > 0) & (period == before)
        memory.repeated[columns] = np.where(same, memory.repeated[columns] + 1, 0)
        memory.period[columns] = period
    if isinstance(columns, slice):  # all of them
        memory.alike, memory.paired = row.alike, row.paired
    else:
        memory.alike = _merged(memory.alike, row.alike, columns, which, len(memory.points))
        memory.paired = _merged(memory.paired, row.paired, columns, which, len(memory.points))
    memory.window.put(columns, number)
    memory.trail.put(columns, number)


def _merged(old: Mask | None, new: Mask | None, columns: Columns, which: Mask, width: int) -> Mask | None:
    """Return what is alike after some columns went on; `new` has the columns of the row, of which `which` did."""
    if old is None and new is None:
        return None
    merged = np.zeros((TRAIL, width), bool) if old is None else old
    merged[:, columns] = False if new is None else new[:, which]
    return merged


def look_back(row: Row, memory: ColumnMemory) -> None:
    """Find where the trail has the row's numbers after the same two numbers as now."""
    alike = memory.trail.values[:, row.columns] == row.number
    if not alike.any():
        return
    row.alike = alike
    if memory.alike is None:
        return
    row.paired = _after(memory.alike[:, row.columns], alike)
    if memory.paired is None or not row.paired.any():
        return
    tripled = _after(memory.paired[:, row.columns], alike)
    places = np.flatnonzero(tripled.any(axis=0))
    if len(places):
        count = memory.trail.count[row.columns][places]
        ages = (count - 1 - SLOTS) % TRAIL + 1
        ages[~tripled[:, places] | (ages > LONGEST_PERIOD)] = TRAIL + 1
        nearest = ages.min(axis=0)
        row.period = np.zeros(len(row.number), np.int64)
        row.period[places] = np.where(nearest > LONGEST_PERIOD, 0, nearest)


def _after(before: Mask, now: Mask) -> Mask:
    """Return where `now` holds in a slot of the trail and `before` in the one before it."""
    both = np.empty_like(now)
    np.logical_and(now[1:], before[:-1], out=both[1:])
    np.logical_and(now[0], before[-1], out=both[0])
    return both


def _faster(number: NDArray[np.float64], at_ns: NDArray[np.int64], row: Row, memory: ColumnMemory) -> Mask:
    passed_s = np.maximum(np.abs(row.at_ns - at_ns) / SECOND_NS, 1e-3)
    fast: Mask = np.abs(row.number - number) > memory.rate_per_s[row.columns] * passed_s
    return fast
