"""Owns the check for levels that are wrong for long: feeders against their substation and against neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from recloser.core import FloatArray
from recloser.monitoring.finding import Confidence, Finding
from recloser.monitoring.window import Days, Window, median

CLEAR_MARGIN = 9.0


@dataclass(frozen=True, slots=True)
class LevelLimits:
    """When a level is called wrong.

    Attributes:
        days: complete days that must agree.
        balance: smallest change of (feeders / substation) that counts, as a share.
        balance_sigmas: the same in robust standard deviations of the daily ratio.
        alone: smallest change of a feeder against its neighbours without a second measurement, as a share.
        alone_days: days that must agree then.
        alone_sigmas: the same in robust standard deviations of the feeder's own weeks.
        steady: feeders whose daily level usually varies more than this (wind, sun) are not judged alone.
    """

    days: int = 3
    balance: float = 0.004
    balance_sigmas: float = 8.0
    alone: float = 0.12
    alone_days: int = 7
    alone_sigmas: float = 6.0
    steady: float = 0.15


def find_unbalanced(
    load: Window, meters: Window, groups: Mapping[str, tuple[str, ...]], days: tuple[Days, Days], limits: LevelLimits
) -> list[Finding]:
    """Find feeders whose sum left the substation's measurement: a fault, since real load shows in both.

    The feeder that explains the imbalance best is named; if two do nearly as well, both are, as ambiguous.
    """
    place = {area: k for k, area in enumerate(load.areas)}
    calendar = days[0].calendar
    count = days[0].complete(load.per_hour)
    changes = _changes(days[0])
    found = []
    for row, meter in enumerate(meters.areas):
        members = [place[a] for a in groups.get(meter, ()) if a in place]
        if not members or len(members) != len(groups[meter]):
            continue
        feeders, good = days[0].values[members, :count], days[0].good[members, :count]
        measured = days[1].good[row, :count]
        span = _step(_balance(feeders, measured), _balance(good, measured), limits)
        if span is None:
            continue
        first, last, gap = span
        part = slice(first, last + 1)
        ratio = float(np.exp(median(_balance(good, measured), 0)))
        own = median(changes[members, part], axis=1)
        named, change, margin = _culprits(feeders[:, part], measured[part], ratio, own)
        start, end = int(calendar.first[first]), int(calendar.first[last] + calendar.steps[last])
        evidence = {"imbalance": gap, "change": change, "substation": meter, "margin": margin}
        kind = "low" if change < 0 else "high"
        where = tuple(load.areas[members[k]] for k in named)
        sure: Confidence = "likely" if len(named) == 1 else "ambiguous"
        found.append(Finding(kind, load.quantity, where, load.time(start), load.time(end), True, sure, (), evidence))
    return found


def find_alone(load: Window, days: Days, watched: set[str], limits: LevelLimits) -> list[Finding]:
    """Find feeders without a second measurement whose level left their neighbours': cause unknown.

    Args:
        load: the feeders' window.
        days: its local days.
        watched: areas that a substation meter covers, which are left out.
        limits: thresholds.
    """
    calendar = days.calendar
    count = days.complete(load.per_hour)
    if len(load.areas) < 4 or count < limits.alone_days + 14:
        return []
    change = _changes(days)[:, :count]
    recent, before = change[:, -limits.alone_days :], change[:, : -limits.alone_days]
    spread = 1.4826 * median(np.abs(before - median(before, axis=1)[:, None]), axis=1)
    # Days are correlated (about 0.7), so a week's mean is only a quarter quieter than a day.
    limit = np.maximum(limits.alone, limits.alone_sigmas * 0.75 * spread)
    level = median(recent, axis=1) - median(before, axis=1)
    agree = (np.sign(recent - median(before, axis=1)[:, None]) == np.sign(level)[:, None]).all(axis=1)
    found = []
    for row in np.flatnonzero((np.abs(level) > limit) & agree & (spread < limits.steady)):
        area = load.areas[row]
        if area in watched:
            continue
        start, end = (
            int(calendar.first[count - limits.alone_days]),
            int(calendar.first[count - 1] + calendar.steps[count - 1]),
        )
        kind = "low" if level[row] < 0 else "high"
        evidence = {"change": float(level[row]), "limit": float(limit[row]), "days": limits.alone_days}
        found.append(
            Finding(kind, load.quantity, (area,), load.time(start), load.time(end), True, "unknown", (), evidence)
        )
    return found


def _changes(days: Days) -> FloatArray:
    """Return daily deviations from the usual day of the kind, less the typical feeder's, as shares of the level."""
    with np.errstate(invalid="ignore", divide="ignore"):
        known = np.isfinite(days.values)
        daily = np.where(known, days.values, 0.0).sum(axis=2) / known.sum(axis=2)
        daily = np.where(known.sum(axis=2) >= 0.6 * known.shape[2], daily, np.nan)
        fine = np.where(np.isfinite(days.good).sum(axis=2) >= 0.6 * known.shape[2], daily, np.nan)
    off = days.calendar.weekend
    usual = np.where(off[None, :], median(fine[:, off], 1)[:, None], median(fine[:, ~off], 1)[:, None])
    scale = np.maximum(median(median(np.abs(days.good), 2), 1), 1e-9)
    away = (daily - usual) / scale[:, None]
    result: FloatArray = away - median(away, axis=0)[None, :]
    return result


def _balance(feeders: FloatArray, measured: FloatArray) -> FloatArray:
    """Return log(sum of feeders / meter) per day from the steps that all have, shape (n_days,); NaN below 12 hours."""
    total = feeders.sum(axis=0)
    known = np.isfinite(total) & np.isfinite(measured)
    above = np.where(known, total, 0.0).sum(axis=1)
    below = np.where(known, measured, 0.0).sum(axis=1)
    enough = (known.sum(axis=1) >= known.shape[1] // 2) & (above > 0) & (below > 0)
    result: FloatArray = np.where(enough, np.log(np.where(enough, above, 1.0) / np.where(enough, below, 1.0)), np.nan)
    return result


def _step(balance: FloatArray, usual: FloatArray, limits: LevelLimits) -> tuple[int, int, float] | None:
    """Return (first day, last day, gap) of the run of days, up to the newest, that left the usual ratio."""
    base = float(median(usual, 0))
    spread = 1.4826 * float(median(np.abs(usual - base), 0))
    away = balance - base
    known = np.flatnonzero(np.isfinite(away))
    if len(known) < limits.days + 7 or not np.isfinite(base):
        return None
    wrong = np.abs(away) > max(limits.balance, limits.balance_sigmas * spread)
    sign = np.sign(away[known[-1]])
    run = 0
    for day in known[::-1]:
        if not wrong[day] or np.sign(away[day]) != sign:
            break
        run += 1
    if run < limits.days:
        return None
    chosen = known[-run:]
    return int(chosen[0]), int(chosen[-1]), float(np.median(away[chosen]))


def _culprits(
    feeders: FloatArray, measured: FloatArray, ratio: float, own: FloatArray
) -> tuple[list[int], float, float]:
    """Return (rows, change, margin): the feeder that explains the missing power best, or the best two if close.

    Two witnesses: the missing power follows the culprit's curve, and the culprit's level left its neighbours' by
    just as much. Scored like Gaussian log likelihoods, with 5 % noise of a level over days and a new, independent
    error of the meter every six hours. A feeder that measures (1 + x) of the truth leaves a difference of
    x / (1 + x) times its measured curve.

    Args:
        feeders: MW of the days at fault, shape (n_members, n_days, n_slots).
        measured: the meter's MW, shape (n_days, n_slots).
        ratio: usual sum over meter.
        own: change of each feeder's level against its neighbours, as a share, shape (n_members,).
    """
    difference = feeders.sum(axis=0) - ratio * measured
    known = np.isfinite(difference)
    d, v = difference[known], feeders[:, known]
    share = (v @ d) / np.maximum((v * v).sum(axis=1), 1e-9)
    left = ((d[None, :] - share[:, None] * v) ** 2).sum(axis=1)
    change = share / np.where(np.abs(1.0 - share) > 1e-6, 1.0 - share, 1e-6)
    curve = 4.0 * feeders.shape[1] * np.log(np.maximum(left, 1e-12) / max(float(left.min()), 1e-12))
    level = ((np.nan_to_num(own) - change) / 0.05) ** 2
    # A feeder cannot have lost more than it has.
    score = np.where((change > -1.0) & (change < 10.0), curve + level, np.inf)
    order = np.argsort(score)
    margin = float(score[order[1]] - score[order[0]]) if len(order) > 1 else np.inf
    rows = [int(order[0])] if margin >= CLEAR_MARGIN else sorted(int(k) for k in order[:2])
    return rows, float(change[order[0]]), margin
