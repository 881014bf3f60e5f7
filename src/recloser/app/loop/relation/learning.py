"""Owns what the detectors of areas learn from: a frozen reference, or the forecasts' own errors. Steps no detector."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from recloser.app.loop.days import ClosedDay
from recloser.app.platform import Platform
from recloser.core import LOAD, TEMPERATURE, InvalidInput, Panel, local_midnight
from recloser.ledger import Change as LedgerChange
from recloser.ledger import SignalRecord, StateRecord
from recloser.monitoring.detectors import DayErrors, errors_of_rows
from recloser.monitoring.detectors.frozen import FrozenReference, block_load, freeze, frozen_days
from recloser.monitoring.reference import DailyLoad
from recloser.pipelines import days_off

LEARNED_FROM = timedelta(days=400)
AROUND = timedelta(days=12)
KEPT_MONTHS = 13
DAYS = "monitor/areas/days"

Histories = dict[str, list[DayErrors]]


def learn_frozen(platform: Platform, now: datetime) -> tuple[FrozenReference, Histories] | None:
    """Return a reference by area and block from the last 400 days, and its out-of-sample history by area.

    Days of known drifts are left out. None without weather or with too few days.
    """
    zone = platform.horizon.zone
    end = local_midnight(now.astimezone(zone).date(), zone)
    panel = platform.store.read(list(platform.areas), [LOAD, TEMPERATURE], now - LEARNED_FROM, as_of=now)
    first = panel.frame["at"].min()
    if not isinstance(first, datetime):
        return None
    off = holidays(platform, (first, now))
    daily = _without_drifts(platform, block_load(panel, first, end, zone.key))
    try:
        return freeze(daily, off, off)
    except InvalidInput:
        return None


def frozen_errors(platform: Platform, panel: Panel, frozen: FrozenReference, day: date) -> dict[str, DayErrors]:
    """Return how far each area's load of a local day lies off the reference; `panel` reaches `AROUND` further back."""
    zone = platform.horizon.zone
    start, end = local_midnight(day, zone), local_midnight(day + timedelta(days=1), zone)
    off = holidays(platform, (start, end))
    found = frozen_days(frozen, block_load(panel, start - AROUND, end, zone.key), off, off)
    return {area: one for area, days in found.items() for one in days if one.day == day}


def forecast_errors(platform: Platform, closed: ClosedDay, champion: str) -> dict[str, DayErrors]:
    """Return each area's errors of the champion's forecast of a closed day; areas without an answer are left out."""
    answer = closed.answers.get(champion)
    if answer is None:
        return {}
    rows = closed.rows.with_columns(truth_mw=pl.col(LOAD), median_mw=pl.Series(answer[:, answer.shape[1] // 2]))
    zone = platform.horizon.zone
    middle = local_midnight(closed.day, zone)
    found = errors_of_rows(rows, zone.key, holidays(platform, (middle, middle)))
    return {area: days[-1] for area, days in found.items() if days}


def holidays(platform: Platform, span: tuple[datetime, datetime]) -> frozenset[date]:
    """Return the public holidays of the years around a span."""
    return days_off(platform.features, range(span[0].year - 1, span[1].year + 2))


def remember(
    change: LedgerChange, known: Mapping[str, Any] | None, errors: Mapping[str, DayErrors], now: datetime
) -> None:
    """Add a day's errors to the record of its month; a day that is there already stays as it is."""
    if not errors:
        return
    day = next(iter(errors.values())).day
    months = dict(known or {})
    rows = dict(months.get(day.isoformat(), {})) or {area: to_row(one) for area, one in sorted(errors.items())}
    change.put(StateRecord(month_key(day), now, {**months, day.isoformat(): rows}))


def month_key(day: date) -> str:
    """Return the key of the record that keeps a month's errors."""
    return f"{DAYS}/{day:%Y-%m}"


def remembered(platform: Platform, now: datetime) -> Histories:
    """Return the forecasts' errors of the last thirteen months by area, days of known drifts left out."""
    month = now.astimezone(platform.horizon.zone).date().replace(day=1)
    found: Histories = {}
    months = []
    for _ in range(KEPT_MONTHS):
        months.append(month_key(month))
        month = (month - timedelta(days=1)).replace(day=1)
    spans = list(drifts(platform))
    for key in reversed(months):
        state = platform.ledger.get(StateRecord, key)
        for text, rows in sorted(({} if state is None else state.state).items()):
            day = date.fromisoformat(text)
            for area, row in rows.items():
                if not any(first <= day <= last and area in areas for first, last, areas in spans):
                    found.setdefault(area, []).append(from_row(day, row))
    return found


def drifts(platform: Platform) -> Iterable[tuple[date, date, frozenset[str]]]:
    """Return first day, last day and areas of the drifts that signals told of, open ones up to now."""
    zone = platform.horizon.zone
    for signal in platform.ledger.find(SignalRecord, signal_class="concept_drift"):
        if not signal.areas or signal.evidence.get("cause") == "drift":
            last = platform.clock.now() if signal.closed_at is None else signal.closed_at
            areas = frozenset(signal.areas or platform.areas)
            yield signal.since.astimezone(zone).date(), last.astimezone(zone).date(), areas


def _without_drifts(platform: Platform, daily: DailyLoad) -> DailyLoad:
    days = np.array([day.toordinal() for day in daily.days])
    load = daily.load_mw.copy()
    for first, last, areas in drifts(platform):
        rows = np.array([name.rpartition("/")[0] in areas for name in daily.areas])
        load[np.ix_(rows, (days >= first.toordinal()) & (days <= last.toordinal()))] = np.nan
    return replace(daily, load_mw=load)


def to_row(day: DayErrors) -> list[Any]:
    """Return a day's errors as JSON-ready data: eight blocks, absolute error, off, special."""
    blocks = [None if np.isnan(block) else round(block, 7) for block in day.blocks]
    return [*blocks, round(day.absolute, 7), day.off, day.special]


def from_row(day: date, row: list[Any]) -> DayErrors:
    """Return what `to_row` wrote."""
    blocks = tuple(float("nan") if block is None else float(block) for block in row[:-3])
    return DayErrors(day, blocks, float(row[-3]), bool(row[-2]), bool(row[-1]))
