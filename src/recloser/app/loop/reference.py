"""Owns feeding the frozen reference: what load should be by calendar and weather alone. The monitor decides."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

from recloser.app.platform import Platform
from recloser.core import LOAD, TEMPERATURE, InvalidInput, local_midnight
from recloser.monitoring import Baseline, DayScore, DriftPlan, fit_baseline
from recloser.monitoring.reference import Reference, daily_load, reference_scores, train_reference
from recloser.pipelines import days_off

LEARNED_FROM = timedelta(days=400)
AROUND = timedelta(days=12)


def new_reference(platform: Platform, plan: DriftPlan, now: datetime) -> tuple[Reference, Baseline] | None:
    """Return a reference learned from the last year with the baseline of its errors; None without weather or data."""
    zone = platform.horizon.zone
    end = local_midnight(now.astimezone(zone).date(), zone)
    panel = platform.store.read(list(platform.areas), [LOAD, TEMPERATURE], now - LEARNED_FROM, as_of=now)
    extent = panel.frame["at"].min()
    if not isinstance(extent, datetime):
        return None
    off = days_off(platform.features, range(extent.year, now.year + 1))
    try:
        reference, history = train_reference(daily_load(panel, extent, end, zone.key), off)
        return reference, fit_baseline(history, plan)
    except InvalidInput:
        return None


def score_of(platform: Platform, history: Any, kept: dict[str, Any], day: date, now: datetime) -> DayScore | None:
    """Return how far the fleet's load of a day lies off the reference, None where too little is known."""
    zone = platform.horizon.zone
    start = local_midnight(day, zone)
    end = local_midnight(day + timedelta(days=1), zone)
    daily = daily_load(history.panel(now, start - AROUND, end), start - AROUND, end, zone.key)
    off = days_off(platform.features, {start.year, end.year})
    scores = reference_scores(Reference.from_dict(kept), daily, off)
    return next((score for score in reversed(scores) if score.day == day), None)
