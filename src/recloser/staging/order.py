"""Owns recognising load that is scrambled or shifted in time. Pure.

Measured on six real areas over three years (Victoria, five US balancing areas): neighbouring fortnights never look
shifted by an hour or more at these thresholds, and four of five one-hour shifts put into them do.
"""

from __future__ import annotations

import numpy as np

from recloser.core import FloatArray
from recloser.staging.policy import GatePolicy
from recloser.staging.series import Grid, between, correlation_at, profiles
from recloser.staging.verdict import PASS, REFUSE, CheckResult

_FORTNIGHT = 14
_NEAR_DAYS = 28
_YEAR_DAYS = 364


def check_order(grid: Grid, recent: Grid | None, policy: GatePolicy) -> CheckResult:
    """Check that load is smooth from step to step, and repeats by day and week where the recent load does."""
    day = grid.steps_per_day
    step, daily, weekly = (correlation_at(grid, lag) for lag in (1, day, 7 * day))
    thresholds = {
        "min_step_correlation": policy.min_step_correlation,
        "min_day_correlation": policy.min_day_correlation,
    }
    worst = int(np.nanargmin(step)) if np.isfinite(step).any() else 0
    numbers = {"worst_area": grid.areas[worst], "step": step[worst], "day": daily[worst], "week": weekly[worst]}
    if step[worst] < policy.min_step_correlation:
        reason = f"scrambled load: neighbouring intervals of {grid.areas[worst]} correlate by only {step[worst]:.2f}"
        return CheckResult("data.order", REFUSE, reason, numbers, thresholds)
    if recent is not None:
        usual = correlation_at(recent, day)
        for row, area in enumerate(recent.areas):
            mine = grid.areas.index(area)
            collapsed = max(daily[mine], weekly[mine]) < policy.min_day_correlation
            if collapsed and usual[row] > 2 * policy.min_day_correlation:
                numbers |= {"worst_area": area, "day": daily[mine], "week": weekly[mine], "recent_day": usual[row]}
                reason = (
                    f"scrambled load: {area} no longer repeats by day ({daily[mine]:.2f}) or week ({weekly[mine]:.2f})"
                )
                return CheckResult("data.order", REFUSE, reason, numbers, thresholds)
    return CheckResult("data.order", PASS, "load is smooth and repeats as the recent load does", numbers, thresholds)


def check_clock(grid: Grid, recent: Grid | None, policy: GatePolicy) -> CheckResult:
    """Check that the daily profile keeps its place in local time, between fortnights and against recent load."""
    thresholds = {
        "shift_gain": policy.shift_gain,
        "max_shifted_share": policy.max_shifted_share,
        "max_shifted_area_share": policy.max_shifted_area_share,
    }
    if recent is not None:
        found = _against_recent(grid, recent, policy)
        if found:
            area, hours = max(found.items(), key=lambda item: (abs(item[1]), item[0]))
            numbers = {"area": area, "hours": hours, "areas": len(found)}
            reason = f"shifted load: {area} lies {hours:+.3g} h off the recent verified load"
            return CheckResult("data.clock", REFUSE, reason, numbers, thresholds)
    shifted = _shifted_blocks(profiles(grid, _FORTNIGHT), grid, policy)
    shares, overall = shifted.mean(axis=1), float(shifted.mean())
    worst = int(shares.argmax())
    numbers = {"share": overall, "worst_area": grid.areas[worst], "worst_share": float(shares[worst])}
    if overall > policy.max_shifted_share or shares[worst] > policy.max_shifted_area_share:
        reason = f"shifted load: {shares[worst]:.0%} of the fortnights of {grid.areas[worst]} lie an hour or more off"
        return CheckResult("data.clock", REFUSE, reason, numbers, thresholds)
    return CheckResult("data.clock", PASS, f"{overall:.1%} of the fortnights look shifted", numbers, thresholds)


def shift_hours(first: FloatArray, second: FloatArray, policy: GatePolicy) -> float:
    """Return by how many hours `second` lies later than `first`; 0 unless it is an hour or more and certain.

    Both are profiles of mean 0 and norm 1 over the local day, shape (steps_per_day,). The squared distance at the
    best circular shift must be small, and a small part of the one without a shift.
    """
    steps = first.size
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        return 0.0
    # |a - b|^2 of unit vectors is 2 - 2 a.b; all circular shifts at once by FFT.
    dots = np.fft.irfft(np.fft.rfft(second) * np.conj(np.fft.rfft(first)), steps)
    distance = np.maximum(2.0 - 2.0 * dots, 0.0)
    lag = int(distance.argmin())
    lag = lag - steps if lag > steps // 2 else lag
    hours = lag * 24.0 / steps
    certain = distance.min() <= (1.0 - policy.shift_gain) * distance[0] and distance.min() <= policy.shift_match
    return hours if certain and abs(hours) >= 1.0 else 0.0


def _shifted_blocks(table: FloatArray, grid: Grid, policy: GatePolicy) -> np.ndarray:
    """Return which fortnights lie off the phase that most of their area's fortnights have."""
    shifted = np.zeros(table.shape[:2], dtype=bool)
    for row in range(len(grid.areas)):
        phase, last = np.zeros(table.shape[1]), None
        for block in range(table.shape[1]):
            if not np.isfinite(table[row, block]).all():
                phase[block] = phase[block - 1] if block else 0.0
                continue
            if last is not None:
                phase[block] = phase[last] + shift_hours(table[row, last], table[row, block], policy)
            last = block
        values, counts = np.unique(phase, return_counts=True)
        shifted[row] = phase != values[counts.argmax()]
    return shifted


def _against_recent(grid: Grid, recent: Grid, policy: GatePolicy) -> dict[str, float]:
    """Return areas whose load of the same season lies off the recent profile, with the hours."""
    start, end = int(recent.day[0]), int(recent.day[-1]) + 1
    windows = ((start - _NEAR_DAYS, end), (start - _YEAR_DAYS, end - _YEAR_DAYS))
    usual = profiles(recent, end - start)[:, 0]
    parts = [between(grid, first, last) for first, last in windows]
    tables = [None if part is None else profiles(part, len(grid.day))[:, 0] for part in parts]
    found = {}
    for row, area in enumerate(recent.areas):
        hours = [
            shift_hours(usual[row], table[grid.areas.index(area)], policy) for table in tables if table is not None
        ]
        if hours and hours[0] != 0:
            found[area] = hours[0]
    return found
