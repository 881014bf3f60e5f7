"""Owns the faults with an exact signature: missing, stuck, unit, out of range, spike. Each is a pure function."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from recloser.core import FloatArray
from recloser.monitoring.finding import Finding
from recloser.monitoring.window import BoolArray, Window, micros

_FAR = 50.0  # times the largest value of an area's history


@dataclass(frozen=True, slots=True)
class Expectation:
    """What each feed usually shows.

    Attributes:
        value: usual value of every step by time of day, shape (n_areas, n_steps); NaN without history.
        scale: median absolute usual value of an area, shape (n_areas,).
        low, high: smallest and largest usable value of an area before the last day, shape (n_areas,).
    """

    value: FloatArray
    scale: FloatArray
    low: FloatArray
    high: FloatArray


def runs_of(mask: BoolArray) -> Iterator[tuple[int, int, int]]:
    """Yield (row, first, last + 1) of every run of True, row by row, in time order."""
    padded = np.zeros((mask.shape[0], mask.shape[1] + 2), dtype=np.int8)
    padded[:, 1:-1] = mask
    edge = np.diff(padded, axis=1)
    rows, starts = np.nonzero(edge == 1)
    _, ends = np.nonzero(edge == -1)
    yield from zip(rows.tolist(), starts.tolist(), ends.tolist(), strict=True)


def find_missing(window: Window, now: datetime, *, at_least: timedelta, recent: int) -> list[Finding]:
    """Find feeds that are silent: due samples that never came, for at least `at_least`.

    A sample is due once the feed's usual delay (the longest but for 1 % of the samples in the window) has
    passed since its `at`; the delay of a forecast is negative. Runs that ended before step `recent` are not told.
    """
    at_us = window.at_us()
    seen = window.known_us >= 0
    if not seen.any():
        return []
    delay = np.quantile((window.known_us - at_us[None, :])[seen], 0.99)
    due = at_us + delay <= micros(now)
    newest = int(np.flatnonzero(due)[-1]) + 1 if due.any() else 0
    silent = ~np.isfinite(window.values) & due[None, :]
    long = max(1, int(at_least / window.resolution))
    found = []
    for row, first, last in runs_of(silent):
        if last - first >= long and last > recent:
            found.append(_finding("missing", window, row, (first, last), newest))
    return found


def find_stuck(window: Window, skip: BoolArray, *, at_least: timedelta, recent: int) -> list[Finding]:
    """Find values that repeat exactly for longer than the feed ever does.

    The shortest run that counts is `at_least`, or one and a half times the longest run that this area has shown
    before (quantised, switched-off or night-time constant feeds repeat); with less than a week of history, a day.
    """
    same = np.zeros(window.values.shape, dtype=bool)
    same[:, 1:] = (window.values[:, 1:] == window.values[:, :-1]) & ~skip[:, 1:]
    day = 24 * window.per_hour
    shortest = max(3, int(at_least / window.resolution))
    usual = np.ones(len(window.areas))
    newest = _newest(window)
    has_history = np.cumsum(window.usable, axis=1)
    found = []
    for row, second, last in runs_of(same):
        first = second - 1
        length = last - first
        limit = max(shortest, int(usual[row]) + 2, int(1.5 * usual[row]) + 1)
        if has_history[row, first] < 7 * day:
            limit = max(limit, day)
        if length >= limit:
            if last > recent:
                evidence = {"value": float(window.values[row, first]), "usual_longest_steps": int(usual[row])}
                found.append(_finding("stuck", window, row, (first, last), newest[row], evidence))
        elif window.usable[row, first:last].all():
            usual[row] = max(usual[row], length)
    return found


def find_dead(window: Window, *, days: int, share: float, recent: int) -> list[Finding]:
    """Find dead channels: feeds that show one and the same value nearly all the time (flickering in a last digit).

    Args:
        window: the feed.
        days: newest days in which the value must rule.
        share: of the samples that must show it; a solar park at night stays well below.
        recent: findings that end before this step are not told.
    """
    reach = days * 24 * window.per_hour
    newest = _newest(window)
    found = []
    for row, values in enumerate(window.values):
        last = int(newest[row])
        part = values[max(0, last - reach) : last]
        known = part[np.isfinite(part)]
        if last <= recent or len(known) < 0.8 * reach:
            continue
        kinds, counts = np.unique(known, return_counts=True)
        if counts.max() < share * len(known):
            continue
        ruling = float(kinds[counts.argmax()])
        other = np.isfinite(values[:last]) & (values[:last] != ruling)
        # Dead since the last six hours in which most samples were something else.
        quarter = 6 * window.per_hour
        busy = np.convolve(other, np.ones(quarter), mode="valid") > 0.5 * quarter
        there = int(np.flatnonzero(np.isfinite(values))[0])
        first = int(np.flatnonzero(busy)[-1]) + quarter if busy.any() else there
        evidence = {"value": ruling, "share": float(counts.max() / len(known))}
        found.append(_finding("stuck", window, row, (first, last), newest[row], evidence))
    return found


def find_unit(window: Window, usual: Expectation, *, at_least: timedelta, recent: int) -> list[Finding]:
    """Find loads that are a thousand (or a million) times too large or too small, and fit once divided by that.

    Two values too large are enough; values too small must last `at_least`, and in feeds that ordinarily come near zero
    for longer than the feed ever stays there (`_small_for_long`).
    """
    largest = np.maximum(np.abs(usual.low), np.abs(usual.high))
    largest = np.where(np.isfinite(largest), largest, np.nan)  # without a usable history nothing is small or far
    with np.errstate(divide="ignore", invalid="ignore"):
        power = np.log10(np.abs(window.values / usual.value))
        beyond = np.abs(window.values) / largest[:, None]
    small = beyond < 1.3e-3
    if not ((np.abs(power) > 2.0) | small | (beyond > _FAR)).any():
        return []
    judged = np.abs(usual.value) > 0.10 * usual.scale[:, None]
    history = np.where(window.usable, np.abs(window.values), np.nan)[:, : max(1, window.steps - 24 * window.per_hour)]
    ordered = np.sort(history, axis=1)
    smallest = ordered[np.arange(len(ordered)), np.isfinite(ordered).sum(axis=1) // 100]
    near_zero = ~(smallest > 0.02 * usual.scale)
    found = _small_for_long(window, usual.scale, largest, small, at_least=at_least, recent=recent)
    told = np.isin(window.areas, [area for finding in found for area in finding.areas])
    for exponent in (3, -3, 6, -6):
        fits = judged & (np.abs(power - exponent) < 0.45)
        if exponent > 0:  # also where about zero is usual: what lies far beyond anything seen, and within it if divided
            fits |= (beyond > _FAR * 10.0 ** (exponent - 3)) & (beyond < 1.3 * 10.0**exponent)
        # Samples near zero load cannot be judged: they do not break a run.
        run = fits | (~judged & np.isfinite(window.values) & (_neighbours(fits, window.per_hour * 6)))
        rows = ~(near_zero | told) if exponent < 0 else np.ones(len(told), dtype=bool)
        soon = 2 * window.resolution if exponent > 0 else at_least
        found += _runs("unit", window, run & rows[:, None], soon, recent, {"factor": 10.0**exponent})
    return found


def _small_for_long(
    window: Window, scale: FloatArray, largest: FloatArray, small: BoolArray, *, at_least: timedelta, recent: int
) -> list[Finding]:
    """Find feeds that stay close to zero for longer than they ever do, and are not dead.

    The shortest run that counts is `at_least`, or one and a half times the longest run of the feed's own history; with
    less than a week of history, half a day. A thousand (or a million) times as much must be an ordinary load, and move.
    """
    day = 24 * window.per_hour
    shortest = max(3, int(at_least / window.resolution))
    own = np.zeros(len(window.areas))
    newest, has_history = _newest(window), np.cumsum(window.usable, axis=1)
    found = []
    for row, first, last in runs_of(small):
        length, values = last - first, np.abs(window.values[row, first:last])
        limit = max(shortest, int(1.5 * own[row]) + 2)
        if has_history[row, first] < 7 * day:
            limit = max(limit, day // 2)
        middle = float(np.median(values))
        factor = next((f for f in (1e3, 1e6) if 0.1 * scale[row] < f * middle <= 1.3 * largest[row]), None)
        if length < limit or factor is None:
            if window.usable[row, first:last].all():
                own[row] = max(own[row], length)
        elif last > recent and float(np.ptp(values)) > 0.002 * middle:
            found.append(_finding("unit", window, row, (first, last), newest[row], {"factor": 1.0 / factor}))
    return found


def find_temperature_unit(window: Window, usual: Expectation, *, at_least: timedelta, recent: int) -> list[Finding]:
    """Find temperatures that fit only when read in the other unit: degF for degC or the reverse."""
    away = np.abs(window.values - usual.value)
    if not (away > 14.0).any():
        return []
    found = []
    for name, read in (("degF", (window.values - 32.0) / 1.8), ("degC read as degF", window.values * 1.8 + 32.0)):
        fits = (away > 14.0) & (np.abs(read - usual.value) < np.minimum(13.0, 0.5 * away))
        found += _runs("unit", window, fits, at_least, recent, {"reads_like": name})
    return found


def find_out_of_range(
    window: Window, limits: tuple[FloatArray, FloatArray], skip: BoolArray, recent: int
) -> list[Finding]:
    """Find two values in a row outside the limits (lows, highs of shape (n_areas,)), but for explained samples."""
    low, high = limits
    with np.errstate(invalid="ignore"):
        wrong = (window.values < low[:, None]) | (window.values > high[:, None])
    return _runs("out_of_range", window, wrong & ~skip, 2 * window.resolution, recent, {})


def find_spikes(window: Window, usual: Expectation, skip: BoolArray, recent: int) -> list[Finding]:
    """Find one or two samples that jump away from both sides and return at once.

    The jump must exceed a third of the local level and six times the 98 % quantile of the feed's own jumps; samples to
    skip count neither as jumps nor as calm.
    """
    values = np.where(skip, np.nan, window.values)
    jump = np.zeros(values.shape)
    for back, ahead in ((1, 1), (1, 2), (2, 1)):
        rise, fall = np.full(values.shape, np.nan), np.full(values.shape, np.nan)
        rise[:, back:] = values[:, back:] - values[:, :-back]
        fall[:, :-ahead] = values[:, :-ahead] - values[:, ahead:]
        both = np.where(rise * fall > 0, np.minimum(np.abs(rise), np.abs(fall)), 0.0)
        jump = np.fmax(jump, both)
    level = np.fmax(np.abs(np.nan_to_num(usual.value)), 0.5 * usual.scale[:, None])
    spiked = jump > 0.33 * level
    spiked[:, :recent] = False
    rows = np.flatnonzero(spiked.any(axis=1))
    # Quantiles are dear: only feeds with something to judge get theirs.
    for row in rows:
        spiked[row] &= jump[row] > 6.0 * float(np.quantile(jump[row, ~skip[row]], 0.98))
    found = []
    newest = _newest(window)
    for row in np.flatnonzero(spiked.any(axis=1)):
        steps = np.flatnonzero(spiked[row])
        area = window.areas[row]
        samples = tuple((area, window.time(int(s))) for s in steps)
        evidence = {"samples": len(steps), "largest_jump": float(jump[row, steps].max())}
        last = int(steps[-1]) + 1
        base = _finding("spike", window, int(row), (int(steps[0]), last), int(newest[row]), evidence)
        found.append(replace(base, samples=samples))
    return found


def explained(window: Window, findings: list[Finding]) -> BoolArray:
    """Return which samples the findings already explain, shape (n_areas, n_steps)."""
    result = np.zeros(window.values.shape, dtype=bool)
    place = {area: k for k, area in enumerate(window.areas)}
    for finding in findings:
        for area, at in finding.samples:
            result[place[area], int((at - window.start) / window.resolution)] = True
        if finding.samples:
            continue
        first = max(0, int((finding.start - window.start) / window.resolution))
        last = max(0, int((finding.end - window.start) / window.resolution))
        result[[place[area] for area in finding.areas], first:last] = True
    return result


def _neighbours(mask: BoolArray, reach: int) -> BoolArray:
    """Return whether a True lies within `reach` steps on both sides."""
    steps = np.arange(mask.shape[1])
    before = np.maximum.accumulate(np.where(mask, steps, -(10**9)), axis=1)
    after = np.minimum.accumulate(np.where(mask, steps, 10**9)[:, ::-1], axis=1)[:, ::-1]
    near: BoolArray = (steps - before <= reach) & (after - steps <= reach)
    return near


def _newest(window: Window) -> FloatArray:
    """Return the step after the newest sample of every area."""
    there = np.isfinite(window.values)
    last = window.steps - np.argmax(there[:, ::-1], axis=1)
    result: FloatArray = np.where(there.any(axis=1), last, 0)
    return result


def _runs(
    kind: str, window: Window, mask: BoolArray, at_least: timedelta, recent: int, evidence: Mapping[str, float | str]
) -> list[Finding]:
    long = max(1, int(at_least / window.resolution))
    newest = _newest(window)
    found = []
    for row, first, last in runs_of(mask):
        if last - first >= long and last > recent:
            found.append(_finding(kind, window, row, (first, last), int(newest[row]), evidence))
    return found


def _finding(
    kind: str,
    window: Window,
    row: int,
    span: tuple[int, int],
    newest: float,
    evidence: Mapping[str, float | str] | None = None,
) -> Finding:
    first, last = span
    area = window.areas[row]
    return Finding(
        kind,
        window.quantity,
        (area,),
        window.time(first),
        window.time(last),
        last >= newest,
        "exact",
        (),
        dict(evidence or {}),
    )
