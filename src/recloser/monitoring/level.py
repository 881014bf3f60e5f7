"""Owns the check for levels that are wrong for long: feeders against their substation and against neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from recloser.core import FloatArray
from recloser.monitoring.finding import Finding
from recloser.monitoring.window import Days, Window, median


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
    """

    days: int = 3
    balance: float = 0.004
    balance_sigmas: float = 8.0
    alone: float = 0.12
    alone_days: int = 7
    alone_sigmas: float = 6.0


def find_unbalanced(
    load: Window, meters: Window, groups: Mapping[str, tuple[str, ...]], days: tuple[Days, Days], limits: LevelLimits
) -> list[Finding]:
    """Find feeders whose sum left the substation's measurement: a fault, since real load shows in both.

    The feeder whose own recent change explains the imbalance best is named.
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
        shares = np.nanmean(good, axis=(1, 2)) / np.nanmean(good.sum(axis=0))
        own = np.nanmean(changes[:, first : last + 1], axis=1)
        area, change = _culprit(members, shares, gap, own)
        start, end = int(calendar.first[first]), int(calendar.first[last] + calendar.steps[last])
        evidence = {"imbalance": gap, "change": change, "substation": meter, "days": last - first + 1}
        kind, where = ("low" if change < 0 else "high"), (load.areas[area],)
        found.append(
            Finding(kind, load.quantity, where, load.time(start), load.time(end), True, "likely", (), evidence)
        )
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
    level = np.nanmedian(recent, axis=1) - median(before, axis=1)
    agree = (np.sign(recent - median(before, axis=1)[:, None]) == np.sign(level)[:, None]).all(axis=1)
    found = []
    for row in np.flatnonzero((np.abs(level) > limit) & agree):
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
    """Return each feeder's daily deviation from its usual day of the kind, less the typical feeder's; share of its level."""
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


def _culprit(members: list[int], shares: FloatArray, gap: float, own: FloatArray) -> tuple[int, float]:
    """Return (area index, its implied change) of the member whose own change explains the gap best."""
    implied = np.expm1(gap) / np.maximum(shares, 1e-3)
    possible = (implied > -1.05) & (implied < 5.0)
    distance = np.where(possible, np.abs(np.nan_to_num(own[members]) - implied), np.inf)
    best = int(np.argmin(distance)) if possible.any() else int(np.argmax(shares))
    return members[best], float(implied[best])
