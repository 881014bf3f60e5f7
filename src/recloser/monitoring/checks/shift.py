"""Owns the check for whole-hour errors of time stamps. Judges the shape of whole local days, never levels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from recloser.core import FloatArray
from recloser.monitoring.finding import Finding
from recloser.monitoring.window import Days, Window, fold, median

_HYPOTHESES = (0, 1, -1)


@dataclass(frozen=True, slots=True)
class ShiftLimits:
    """When a shift is called; a match of +1 is a day exactly one hour off, -1 a day exactly in time.

    Attributes:
        days: complete days in a row that must agree.
        single_day: smallest match of a day that belongs to the run.
        match: smallest mean match of the run.
        total: smallest sum of the run's matches: a faint shift needs more days than a clear one.
        sigmas: how far the run's mean must stand out from the feed's own days before, in robust deviations.
        half: smallest mean match of each half of the day; a later morning alone is a change of habits.
        regularity: share of the variance within days that the usual day must explain, else a feed is not judged.
        reach: days looked back; an older start is kept by whoever reconciles findings.
        fewest: areas from which on the fleet's common deviation is taken off first.
    """

    days: int = 2
    single_day: float = -0.2
    match: float = 0.2
    total: float = 0.7
    sigmas: float = 2.5
    half: float = 0.0
    fewest: int = 5
    reach: int = 7
    regularity: float = 0.7


def find_shift(window: Window, days: Days, limits: ShiftLimits, recent: int) -> list[Finding]:
    """Find feeds whose recent days fit their usual shape only when moved by one hour.

    A feeder is judged after what the whole fleet does on that day (weather, holidays, a change of habits) has
    been taken off; the fleet itself is judged by its typical feeder, so that a fault of the common feed shows too.
    """
    count = days.complete(window.per_hour)
    if count < 10:
        return []
    # A cheap look at the newest days first; only a suspicion is held against the feed's own weeks.
    if not _look(window, days, window.areas, limits, count - min(limits.reach, count)):
        return []
    regular = np.flatnonzero(_regularity(days, count) >= limits.regularity)
    if not len(regular):
        return []
    judged = replace(
        window,
        areas=tuple(window.areas[k] for k in regular),
        values=window.values[regular],
        quality=window.quality[regular],
        usable=window.usable[regular],
        known_us=window.known_us[regular],
    )
    judged_days = replace(days, values=days.values[regular], good=days.good[regular])
    first_told = window.time(recent)
    return [f for f in _look(judged, judged_days, window.areas, limits, 0) if f.end > first_told]


def _look(window: Window, days: Days, fleet: tuple[str, ...], limits: ShiftLimits, first: int) -> list[Finding]:
    """Judge the days from `first` on: the fleet by its typical feeder, else each feeder against the fleet."""
    count = days.complete(window.per_hour)
    spread = _usual_ramp(days.good)
    history = _ramps(days.good[:, :count], spread)
    span = slice(first, count)
    moved = {hours: _ramps(_moved(window, days, hours).values[:, span], spread) for hours in _HYPOTHESES}
    many = len(window.areas) >= limits.fewest
    if many:
        typical = {hours: median(rows, axis=0)[None] for hours, rows in moved.items()}
        matches = _matches(typical, median(history, axis=0)[None], days, None)
        found = _judge(window, days, matches, {0: fleet}, limits)
        if found:
            return found
    common = _common(moved[0], history, days) if many else None
    alone: dict[int, tuple[str, ...]] = {k: (area,) for k, area in enumerate(window.areas)}
    # Without a fleet to compare with, weather looks like a shift more often: ask for twice the evidence.
    strict = limits if many else replace(limits, match=2 * limits.match, total=2 * limits.total)
    return _judge(window, days, _matches(moved, history, days, common), alone, strict)


def _regularity(days: Days, count: int) -> FloatArray:
    """Return the share of the variance within days that the usual days explain, shape (n_areas,).

    Feeders driven by wind or clouds have no usual day to be shifted against.
    """
    good = days.good[:, :count]
    off = days.calendar.weekend[:count]
    away, around = [], []
    for kind in (off, ~off):
        usual = median(good[:, kind], axis=1)
        centre = median(good[:, kind], axis=2)[:, :, None]
        left = good[:, kind] - centre - (usual - median(usual, axis=1)[:, None])[:, None, :]
        away.append(np.nansum(left**2, axis=(1, 2)))
        around.append(np.nansum((good[:, kind] - centre) ** 2, axis=(1, 2)))
    total = around[0] + around[1]
    result: FloatArray = np.where(total > 0, 1.0 - (away[0] + away[1]) / np.where(total > 0, total, 1.0), 0.0)
    return result


def _moved(window: Window, days: Days, hours: int) -> Days:
    """Return the days as they would be if their stamps were `hours` late."""
    if not hours:
        return days
    steps = hours * window.per_hour
    values = np.full(window.values.shape, np.nan)
    if steps > 0:
        values[:, :-steps] = window.values[:, steps:]
    else:
        values[:, -steps:] = window.values[:, :steps]
    return fold(replace(window, values=values), days.calendar)


def _judge(
    window: Window, days: Days, matches: FloatArray, rows: dict[int, tuple[str, ...]], limits: ShiftLimits
) -> list[Finding]:
    found = []
    count = matches.shape[3]
    newest = days.complete(window.per_hour)
    first, steps = days.calendar.first[newest - count : newest], days.calendar.steps[newest - count : newest]
    for k, hours in enumerate((1, -1)):
        for row, areas in rows.items():
            span = _run(matches[k, :, row], limits)
            if span is None:
                continue
            part = slice(span[0], span[1] + 1)
            evidence = {"hours": hours, "days": span[1] - span[0] + 1, "match": float(matches[k, 0, row, part].mean())}
            start, end = window.time(int(first[span[0]])), window.time(int(first[span[1]] + steps[span[1]]))
            active = span[1] == count - 1
            found.append(Finding("shift", window.quantity, areas, start, end, active, "likely", (), evidence))
    return found


def _run(matches: FloatArray, limits: ShiftLimits) -> tuple[int, int] | None:
    """Return (first, last) of the newest run of shifted days, or None; matches (3 parts, n_days)."""
    agrees = matches[0] > limits.single_day
    if not agrees.any():
        return None
    last = int(np.flatnonzero(agrees)[-1])
    first = last
    while first > 0 and agrees[first - 1]:
        first -= 1
    while first < last and matches[0, first] == 0.0:  # a run begins with a day that could be judged
        first += 1
    if last - first + 1 < limits.days:
        return None
    whole, morning, evening = matches[:, first : last + 1].mean(axis=1)
    enough = whole >= limits.match and whole * (last - first + 1) >= limits.total
    before = matches[0, :first][matches[0, :first] != 0.0]
    if len(before) >= 10:
        usual = float(np.median(before))
        spread = 1.4826 * float(np.median(np.abs(before - usual))) + 0.05
        enough = enough and whole - usual >= limits.sigmas * spread
    return (first, last) if enough and min(morning, evening) >= limits.half else None


def _usual_ramp(good: FloatArray) -> FloatArray:
    """Return the typical size of an area's change from step to step, shape (n_areas,)."""
    size = median(np.abs(np.diff(good, axis=2)).reshape(good.shape[0], -1), axis=1)
    return np.where(size > 0, size, 1.0)


def _ramps(values: FloatArray, spread: FloatArray) -> FloatArray:
    """Return changes from step to step over the area's usual change, so that areas compare.

    Load noise is nearly a random walk within a day: its ramps are nearly independent, its levels are not.
    """
    return np.diff(values, axis=2, prepend=np.nan) / spread[:, None, None]


def _shapes(history: FloatArray, days: Days) -> list[FloatArray]:
    off = days.calendar.weekend[: history.shape[1]]
    return [median(history[:, ~off], axis=1), median(history[:, off], axis=1)]


def _common(target: FloatArray, history: FloatArray, days: Days) -> FloatArray:
    """Return an orthonormal basis of what the fleet does beyond its usual day, shape (n_days, n_slots, 2)."""
    work, off = _shapes(history, days)
    weekend = days.calendar.weekend[history.shape[1] - target.shape[1] : history.shape[1]]
    away = median(target - np.where(weekend[None, :, None], off[:, None, :], work[:, None, :]), axis=0)
    hours = (np.arange(target.shape[2]) + 0.5) * 24.0 / target.shape[2]
    # Clouds over solar feeders: what only some feeders show, and no median can.
    bell = np.broadcast_to((hours - 13.0) * np.exp(-0.5 * ((hours - 13.0) / 2.5) ** 2), away.shape)
    return _orthonormal(np.nan_to_num(away), bell)


def _orthonormal(one: FloatArray, other: FloatArray) -> FloatArray:
    """Return both curves of each day centred, at right angles and of unit length, shape (n_days, n_slots, 2)."""
    first = one - one.mean(axis=1, keepdims=True)
    first = first / np.maximum(np.linalg.norm(first, axis=1, keepdims=True), 1e-9)
    second = other - other.mean(axis=1, keepdims=True)
    second = second - (second * first).sum(axis=1, keepdims=True) * first
    second = second / np.maximum(np.linalg.norm(second, axis=1, keepdims=True), 1e-9)
    return np.stack([first, second], axis=2)


def _matches(moved: dict[int, FloatArray], history: FloatArray, days: Days, common: FloatArray | None) -> FloatArray:
    """Return how each day compares with its usual shape moved by one hour, shape (2 directions, 3 parts, areas, days).

    The match is (misfit in time - misfit moved) over the misfit that the usual shape itself would show when moved:
    +1 for a day that is off by just that hour, -1 for one in time; parts: day, morning, evening. Of the two usual
    shapes (working day, day off) the one with the smaller misfit counts. Where the clocks changed inside the
    window, moving with the sun is a second way to be in time, so that solar feeders are not called shifted.
    """
    shapes = _shapes(history, days)
    per_hour = history.shape[2] // 24
    count, reach = history.shape[1], moved[0].shape[1]
    straight, curve = _fit(moved[0], shapes, common)
    turned = days.calendar.offset_h[:count]
    turned = (turned - np.median(turned))[count - reach :]
    enough = np.isfinite(moved[0]).mean(axis=2) >= 0.8
    result = []
    for hours in (1, -1):
        misfit, moved_curve = _fit(moved[hours], shapes, common)
        curve = np.where(misfit.sum(axis=2, keepdims=True) < straight.sum(axis=2, keepdims=True), moved_curve, curve)
        wrong, _ = _fit(np.roll(curve, -hours * per_hour, axis=2), shapes, common)
        match = _parts(straight - misfit) / np.maximum(_parts(wrong), 1e-9)
        match = np.where((turned == hours)[None, None, :], np.fmin(match, 0.0), match)
        result.append(np.where(enough[None], np.clip(match, -2.0, 2.0), 0.0))
    return np.stack(result)


def _fit(rows: FloatArray, shapes: list[FloatArray], common: FloatArray | None) -> tuple[FloatArray, FloatArray]:
    """Return squared misfit and fitted shape per slot of the better shape; slopes below zero count as zero."""
    known = np.isfinite(rows)
    y = _free(np.where(known, rows, 0.0), common)
    best: tuple[FloatArray, FloatArray] | None = None
    for shape in shapes:
        x = _free(np.where(known, np.nan_to_num(shape)[:, None, :], 0.0), common)
        slope = np.maximum((x * y).sum(axis=2, keepdims=True), 0.0) / np.maximum(
            (x * x).sum(axis=2, keepdims=True), 1e-9
        )
        misfit = np.where(known, (y - slope * x) ** 2, 0.0)
        curve = slope * np.nan_to_num(shape)[:, None, :]
        if best is None:
            best = (misfit, curve)
        else:
            better = misfit.sum(axis=2, keepdims=True) < best[0].sum(axis=2, keepdims=True)
            best = (np.where(better, misfit, best[0]), np.where(better, curve, best[1]))
    assert best is not None
    return best


def _free(rows: FloatArray, common: FloatArray | None) -> FloatArray:
    """Return rows (areas, days, slots) without the fleet's common directions."""
    if common is None:
        return rows
    by_day = np.swapaxes(rows, 0, 1)
    along = by_day @ common
    result: FloatArray = rows - np.swapaxes(along @ np.swapaxes(common, 1, 2), 0, 1)
    return result


def _parts(rows: FloatArray) -> FloatArray:
    """Return sums over the day, its first and its second half, shape (3, areas, days)."""
    half = rows.shape[2] // 2
    return np.stack([rows.sum(axis=2), rows[:, :, :half].sum(axis=2), rows[:, :, half:].sum(axis=2)])
