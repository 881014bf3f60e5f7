"""Owns recognising load that is scrambled or shifted in time. Pure.

Measured on six real areas over three years (Victoria, five US balancing areas) and 14 Dutch feeders and stations over
three months: none looks shifted. On simulated feeders: `benchmarks/staging/clock.py`.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from recloser.core import FloatArray
from recloser.staging.data.series import Grid, between, correlation_at, on_standard_time, profiles, rolling_profiles
from recloser.staging.policy import GatePolicy
from recloser.staging.verdict import PASS, REFUSE, CheckResult

_SPAN = 28  # days on either side: weather evens out, the season does not yet matter
_LASTING = 7  # neighbouring midnights at which a step must show
_NEAR_DAYS = 28
_YEAR_DAYS = 364


def check_order(grid: Grid, recent: Grid | None, policy: GatePolicy) -> CheckResult:
    """Check that load is smooth from step to step, and repeats by day and week where the recent load does."""
    day = grid.steps_per_day
    step, weekly = correlation_at(grid, 1), _first_known(grid, (7 * day, 14 * day, 21 * day, 28 * day))
    daily = _first_known(grid, tuple(days * day for days in range(1, 7)))
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
            collapsed = np.nanmax([daily[mine], weekly[mine], -1.0]) < policy.min_day_correlation
            collapsed = collapsed and bool(np.isfinite([daily[mine], weekly[mine]]).any())
            if collapsed and usual[row] > 2 * policy.min_day_correlation:
                numbers |= {"worst_area": area, "day": daily[mine], "week": weekly[mine], "recent_day": usual[row]}
                reason = (
                    f"scrambled load: {area} no longer repeats by day ({daily[mine]:.2f}) or week ({weekly[mine]:.2f})"
                )
                return CheckResult("data.order", REFUSE, reason, numbers, thresholds)
    return CheckResult("data.order", PASS, "load is smooth and repeats as the recent load does", numbers, thresholds)


def _first_known(grid: Grid, lags: tuple[int, ...]) -> FloatArray:
    """Return per area the correlation at the first lag that has enough pairs: training data may be a sample of days."""
    result = np.full(len(grid.areas), np.nan)
    for lag in lags:
        open_rows = ~np.isfinite(result)
        if not open_rows.any():
            break
        result = np.where(open_rows, correlation_at(grid, lag), result)
    return result


def check_clock(grid: Grid, recent: Grid | None, policy: GatePolicy, whole: Grid | None = None) -> CheckResult:
    """Check that the daily profile keeps its place in local time, from four weeks to the next and against recent load.

    Weeks are compared on `whole` where the training data is a sample of days: their profiles need all days.
    """
    thresholds = {
        "shift_gain": policy.shift_gain,
        "max_shifted_share": policy.max_shifted_share,
        "max_shifted_area_share": policy.max_shifted_area_share,
        "max_affected_areas": policy.max_affected_areas,
    }
    if recent is not None:
        found = _against_recent(grid, recent, policy)
        if found:
            area, hours = max(found.items(), key=lambda item: (abs(item[1]), item[0]))
            numbers = {"area": area, "hours": hours, "areas": len(found)}
            reason = f"shifted load: {area} lies {hours:+.3g} h off the recent verified load"
            return CheckResult("data.clock", REFUSE, reason, numbers, thresholds)
    grid = grid if whole is None else whole
    shares = shifted_shares(grid, policy)
    overall = float(shares.mean())
    worst = int(shares.argmax())
    numbers = {"share": overall, "worst_area": grid.areas[worst], "worst_share": float(shares[worst])}
    affected = float((shares > policy.max_shifted_area_share).mean())
    numbers["affected_areas"] = affected
    if overall > policy.max_shifted_share or affected > policy.max_affected_areas:
        reason = f"shifted load: {shares[worst]:.0%} of the days of {grid.areas[worst]} lie an hour or more off"
        return CheckResult("data.clock", REFUSE, reason, numbers, thresholds)
    return CheckResult("data.clock", PASS, f"{overall:.1%} of the days look shifted", numbers, thresholds)


def shift_hours(first: FloatArray, second: FloatArray, policy: GatePolicy) -> FloatArray:
    """Return by how many hours each profile `second` lies later than `first`; 0 unless an hour or more and certain.

    Profiles have mean 0 and norm 1 over the day, shape (n, steps_per_day), NaN where unknown; the result (n,). The
    squared distance at the best circular shift must be small, and a small part of the one without a shift.
    """
    return _shifts(first, second, policy)[0]


def _shifts(first: FloatArray, second: FloatArray, policy: GatePolicy) -> tuple[FloatArray, FloatArray]:
    """Return the hours of `shift_hours`, and which part of the distance the best shift leaves, both (n,)."""
    steps = first.shape[1]
    known = np.asarray(np.isfinite(first).all(axis=1) & np.isfinite(second).all(axis=1))
    x, y = (np.where(known[:, None], side, 0.0) for side in (first, second))
    # |a - b|^2 of unit vectors is 2 - 2 a.b; all circular shifts at once by FFT.
    dots = np.fft.irfft(np.fft.rfft(y) * np.conj(np.fft.rfft(x)), steps)
    distance = np.maximum(2.0 - 2.0 * dots, 0.0)
    lag = distance.argmin(axis=1)
    hours = np.where(lag > steps // 2, lag - steps, lag) * 24.0 / steps
    least = distance.min(axis=1)
    certain = (least <= (1.0 - policy.shift_gain) * distance[:, 0]) & (least <= policy.shift_match)
    left: FloatArray = least / np.maximum(distance[:, 0], 1e-12)
    return np.where(known & certain & (np.abs(hours) >= 1.0), hours, 0.0), left


def shifted_shares(grid: Grid, policy: GatePolicy) -> FloatArray:
    """Return by area the share of its days that lie an hour or more off the phase of most of its days."""
    return np.array([_shifted_share(grid.row(k), policy) for k in range(len(grid.areas))])


def _shifted_share(area: Grid, policy: GatePolicy) -> float:
    """Return the share of one area's days that lie off the phase that most of its days have.

    At each midnight the four weeks before are compared with the four weeks after. A step counts when it shows in local
    and in fixed time (at a clock change people's load moves in fixed time and the sun's in local time, a wrong stamp
    moves in both) and at a week of midnights: a wrong stamp stays, while the profile of a feeder with much sun moves
    by an hour within days of other weather. It must be one against the same weeks of another year too, where they are
    known: the profile of such a feeder moves with the season, each year.
    """
    local, fixed = (rolling_profiles(grid, _SPAN)[0] for grid in (area, on_standard_time(area)))
    if len(local) <= _SPAN:
        return 0.0
    one, two = (_shifts(table[:-_SPAN], table[_SPAN:], policy) for table in (local, fixed))
    hours = np.where(one[0] * two[0] > 0, np.where(np.abs(one[0]) < np.abs(two[0]), one[0], two[0]), 0.0)
    if not hours.any():
        return 0.0
    unlike = np.logical_or(_unlike_other_years(local, policy), _unlike_other_years(fixed, policy))
    phase, left = np.zeros(len(local) + _SPAN - 1), np.maximum(one[1], two[1])
    edges = np.flatnonzero(np.diff(np.sign(hours), prepend=0, append=0))
    for first, last in pairwise(edges.tolist()):
        if hours[first] and last - first >= _LASTING and unlike[first:last].sum() >= _LASTING:
            sharpest = first + int(left[first:last].argmin())
            phase[sharpest + _SPAN :] += hours[sharpest]
    days = np.unique(area.day[np.isfinite(area.load[0])]) - area.day[0]
    values, counts = np.unique(phase[days], return_counts=True)
    return float((phase[days] != values[counts.argmax()]).mean()) if days.size else 0.0


def _unlike_other_years(table: FloatArray, policy: GatePolicy) -> FloatArray:
    """Return by midnight whether the step there is one beside the year before and the year after, or both are unknown.

    Against another year the weeks before it and the weeks after it lie off by the same hours, mostly none, unless the
    step is a wrong stamp's of one of the two years.

    Args:
        table: rolling profiles, shape (n, steps_per_day); NaN where unknown.
        policy: what counts as a shift.
    """
    result: FloatArray = np.ones(len(table) - _SPAN, dtype=bool)
    if len(table) > _YEAR_DAYS:
        earlier, later = table[:-_YEAR_DAYS], table[_YEAR_DAYS:]
        hours = shift_hours(earlier, later, policy)
        known = np.asarray(np.isfinite(earlier).all(axis=1) & np.isfinite(later).all(axis=1))
        alike = known[:-_SPAN] & known[_SPAN:] & (hours[:-_SPAN] == hours[_SPAN:])
        result[: len(alike)][alike] = False
        result[_YEAR_DAYS:][alike] = False
    return result


def _against_recent(grid: Grid, recent: Grid, policy: GatePolicy) -> dict[str, float]:
    """Return areas whose load of the same season lies off the recent profile, with the hours."""
    start, end = int(recent.day[0]), int(recent.day[-1]) + 1
    windows = ((start - _NEAR_DAYS, end), (start - _YEAR_DAYS, end - _YEAR_DAYS))
    usual = profiles(recent, end - start)[:, 0]
    parts = [between(grid, first, last) for first, last in windows]
    tables = [None if part is None else profiles(part, len(grid.day))[:, 0] for part in parts]
    mine = [grid.areas.index(area) for area in recent.areas]
    for table in tables:
        if table is not None:
            hours = shift_hours(usual, table[mine], policy)
            return {area: float(h) for area, h in zip(recent.areas, hours, strict=True) if h != 0}
    return {}
