"""Owns what was known at a moment of the past: forecasts, load, signals and how far areas could be trusted then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from recloser.app.platform import Platform
from recloser.app.views.overview import Judged, Seen, judge_seen
from recloser.app.views.sight import BACK, TREND, newest_load, signals_by_area, standing_of, usable
from recloser.core import LOAD
from recloser.ledger import ForecastRecord, SignalRecord

AHEAD = timedelta(days=3)
"""Targets lie at most so far ahead of a forecast's making, beyond the days it is for."""
SIGNALS = 400
"""So many of the latest signals are looked at for those that were open."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What was known at an instant.

    Attributes:
        at: the instant, aware UTC.
        judged: by area: facts, trust with its reasons, forecasts without their points.
        signals: those open then, oldest first.
    """

    at: datetime
    judged: dict[str, Judged]
    signals: Sequence[SignalRecord]


def moment_of(platform: Platform, at: datetime) -> Moment:
    """Return what the platform knew at `at` (aware UTC); nothing that came later is in it.

    Raises:
        Unavailable: ledger or store cannot be read now.
    """
    by_area: dict[str, list[ForecastRecord]] = {}
    for record in known_forecasts(platform, at, at - TREND):
        by_area.setdefault(record.area, []).append(record)
    if len(by_area) < len(platform.areas):
        for record in _ended(platform, at, at - TREND, len(platform.areas)):
            by_area.setdefault(record.area, []).append(record)
    panel = platform.store.read(list(platform.areas), [LOAD], at - BACK, at, as_of=at)
    signals = open_signals(platform, at)
    seen = Seen(
        {area: standing_of(records) for area, records in by_area.items()},
        newest_load(usable(panel), platform.project.resolution),
        signals_by_area(signals),
    )
    return Moment(at, judge_seen(platform, seen, at), signals)


def known_forecasts(platform: Platform, at: datetime, start: datetime, area: str | None = None) -> list[ForecastRecord]:
    """Return the forecasts made by `at` whose targets reach past `start`, as they stood then; newest made first.

    Args:
        platform: project.
        at: the moment (aware UTC).
        start: aware UTC; forecasts that ended before it are left out.
        area: one area, None for all.
    """
    last = at + timedelta(days=platform.project.horizon.days) + AHEAD
    one: dict[str, Any] = {} if area is None else {"area": area}
    found = platform.ledger.find(
        ForecastRecord,
        since=("last_target", start),
        until=("last_target", last),
        order_by="made_at",
        descending=True,
        **one,
    )
    return [as_known(record, at) for record in found if record.made_at <= at]


def as_known(record: ForecastRecord, at: datetime) -> ForecastRecord:
    """Return a forecast as it stood at `at`: a recall that came later is not known yet."""
    if record.void_at is None or record.void_at <= at:
        return record
    return replace(record, void=False, void_at=None, void_reason=None, replaced_by=None)


def open_signals(platform: Platform, at: datetime) -> list[SignalRecord]:
    """Return the signals that were open at `at`, oldest first."""
    found = platform.ledger.find(SignalRecord, until=("at", at), order_by="at", descending=True, limit=SIGNALS)
    return [signal for signal in reversed(found) if signal.closed_at is None or signal.closed_at > at]


def _ended(platform: Platform, at: datetime, start: datetime, areas: int) -> list[ForecastRecord]:
    """Return the last forecasts before `start`, for areas without newer ones: they are known to have ended."""
    found = platform.ledger.find(
        ForecastRecord, until=("last_target", start), order_by="last_target", descending=True, limit=areas
    )
    return [as_known(record, at) for record in found if record.made_at <= at]
