"""Owns the cutting of series into series-years: the history before or around, the year lived, windows with a drift."""

from __future__ import annotations

from datetime import date

import numpy as np
from driver import Array, Days, Unit
from injected import AFTER, BEFORE, CHANGES, erosion, onsets
from streams import Series

from recloser.core import FloatArray
from recloser.monitoring.detectors.day import is_special

EPOCH = date(1970, 1, 1)
NOTHING = "nothing"
EROSION = "erosion 0.5 % a month"


def units_of(series: Series) -> list[Unit]:
    """Return the series-years of a series that have at least 300 days with errors."""
    errors = series.errors(series.load, 15, len(series.days))
    whole = np.concatenate([np.full((15, 24), np.nan), errors])
    seen = np.flatnonzero(np.isfinite(whole).sum(axis=1) > 12)
    found = []
    years = sorted({series.days[k].year for k in seen})
    if series.kind == "reference":
        years = [int(series.name[-4:])]
    for year in years:
        first, last = series.place(date(year, 1, 1)), series.place(date(year + 1, 1, 1))
        before = seen[seen < first]
        own = seen[(seen >= first) & (seen < last)]
        rest = seen[(seen < first) | (seen >= last)]
        if len(own) < 300 or len(rest) < 300:
            continue
        forward = len(before) >= 300
        history = _days(series, before if forward else rest, whole)
        lived = _days(series, np.arange(first, last), whole)
        windows = [(kind, *_window(series, kind, day, depth)) for day, depth in onsets(first, last) for kind in KINDS]
        windows.append((EROSION, *_eroded(series, whole, first, last)))
        found.append(Unit(f"{series.name} {year}", series.kind, series.real, forward, history, lived, windows))
    return found


KINDS = (NOTHING, *CHANGES)


def _days(series: Series, places: Array, whole: FloatArray) -> Days:
    names = [series.days[k] for k in places]
    return Days(
        np.array([(day - EPOCH).days for day in names]),
        whole[places],
        np.array([day.weekday() >= 5 or day in series.holidays for day in names]),
        np.array([is_special(day, series.holidays) for day in names]),
    )


def _window(series: Series, kind: str, day: int, depth: float) -> tuple[Days, int]:
    first, last = max(0, day - BEFORE), min(day + AFTER, len(series.days))
    early = max(0, first - 15)
    load = series.load.copy()
    if kind != NOTHING:
        since = (np.arange(early, last) - day)[:, None].astype(float)
        load[early:last] = CHANGES[kind](load[early:last], since, depth)
    errors = np.full((last, 24), np.nan)
    errors[first:last] = series.errors(load, first, last)
    return _days(series, np.arange(first, last), errors), day - first


def _eroded(series: Series, whole: FloatArray, first: int, last: int) -> tuple[Days, int]:
    load = series.load.copy()
    since = (np.arange(first, last) - first)[:, None].astype(float)
    load[first:last] = erosion(load[first:last], since, 0.0)
    errors = whole.copy()
    errors[first:last] = series.errors(load, first, last)
    return _days(series, np.arange(first, last), errors), 0


def pooled(units: list[Unit], fleet: str) -> list[Unit]:
    """Return one unit per year and kind: the trimmed mean over the series hour by hour, the same change in all."""
    found = []
    keys = sorted({(unit.kind, unit.name[-4:], unit.forward) for unit in units})
    for kind, year, forward in keys:
        own = [u for u in units if (u.kind, u.name[-4:], u.forward) == (kind, year, forward)]
        if len(own) < 4:
            continue
        shared = _mean([unit.history for unit in own])
        windows = [
            (parts[0][0], _mean([part[1] for part in parts]), parts[0][2])
            for parts in zip(*(unit.windows for unit in own), strict=True)
        ]
        lived = _mean([unit.lived for unit in own])
        found.append(
            Unit(f"{fleet} {kind} of {len(own)} {year}", f"pooled {kind}", own[0].real, forward, shared, lived, windows)
        )
    return found


def _mean(parts: list[Days]) -> Days:
    numbers = sorted(set.intersection(*(set(part.numbers.tolist()) for part in parts)))
    picked = [part.cut(0, len(part.numbers)) for part in parts]
    rows = [np.searchsorted(part.numbers, numbers) for part in picked]
    stack = np.stack([part.hours[row] for part, row in zip(picked, rows, strict=True)])
    ordered = np.sort(stack, axis=0)
    known = np.isfinite(stack).sum(axis=0)
    cut = (0.2 * known).astype(int)
    place = np.arange(len(parts))[:, None, None]
    kept = (place >= cut) & (place < known - cut)
    total = np.where(kept, np.nan_to_num(ordered), 0.0).sum(axis=0)
    hours = np.where(known >= max(1, len(parts) // 2), total / np.maximum(kept.sum(axis=0), 1), np.nan)
    return Days(np.array(numbers), hours, picked[0].off[rows[0]], picked[0].special[rows[0]])
