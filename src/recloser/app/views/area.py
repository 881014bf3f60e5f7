"""Owns the page of one area (level 2): forecasts and load on one time axis, who served when, and what happened."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from recloser.app.platform import Platform
from recloser.app.verbs import at_time
from recloser.app.views.overview import area_row, judge
from recloser.app.views.sight import Sight, band_of, load_points, usable
from recloser.core import LOAD, Panel, format_utc, unknown_name
from recloser.core.quality import describe
from recloser.ledger import ForecastRecord, SignalRecord, TripRecord

DAYS = 4
MARKS = 40


def area_document(platform: Platform, sight: Sight, area: str, until: datetime | None = None) -> dict[str, Any]:
    """Return the page of an area, JSON-ready.

    Args:
        platform: project.
        sight: what is known now.
        area: name.
        until: end of the time axis (aware UTC); None: the end of the newest forecast, or now.

    Returns:
        The area's row of the overview, with now, from, to, band (valid points), void (recalled points), load, doubted
        (points not used, with their flags), served (who, from, to), marks (events on the axis), signals.

    Raises:
        InvalidInput: no such area.
        Unavailable: ledger or store cannot be read now.
    """
    if area not in platform.areas:
        raise unknown_name("area", area, platform.areas, where="area")
    now = platform.clock.now()
    facts, found, forecasts = judge(platform, sight, now)[area]
    end = until or _axis_end(platform, area, now)
    start = end - timedelta(days=DAYS)
    records = [
        record
        for record in platform.ledger.find(
            ForecastRecord, area=area, since=("last_target", start), order_by="made_at", descending=True
        )
        if record.first_target < end
    ]
    panel = platform.store.read([area], [LOAD], start, end, as_of=now)
    row = area_row(area, facts, found, forecasts, load_points(sight.load(now), area, now - timedelta(days=1), now))
    return row | {
        "now": format_utc(now),
        "from": format_utc(start),
        "to": format_utc(end),
        "days": DAYS,
        "band": _texts(_window(valid_points(records), start, end)),
        "void": _texts(_window([p for r in records if r.void for p in band_of(r)], start, end)),
        "load": _texts(usable(panel).select("at", LOAD).iter_rows()),
        "doubted": doubted(panel),
        "served": served_spans(records, platform.project.resolution, (start, end)),
        "marks": [*trip_marks(platform, start, end), *signal_marks(platform, area, start, end)],
        "releases": sorted({record.release for record in records}),
        "signals": [signal_row(signal) for signal in facts.signals],
    }


def _axis_end(platform: Platform, area: str, now: datetime) -> datetime:
    """Return where the time axis ends: with the last target forecast, a recalled one too, if now is on the axis."""
    last = platform.ledger.find(ForecastRecord, area=area, order_by="last_target", descending=True, limit=1)
    newest = now if not last else last[0].last_target + platform.project.resolution
    return newest if now <= newest < now + timedelta(days=DAYS) else now


def valid_points(records: Sequence[ForecastRecord]) -> list[tuple[datetime, float, float, float]]:
    """Return the band by time; where several valid records cover a target, the one made last counts."""
    points: dict[datetime, tuple[datetime, float, float, float]] = {}
    for record in records:
        if not record.void:
            for point in band_of(record):
                points.setdefault(point[0], point)
    return [points[at] for at in sorted(points)]


def doubted(panel: Panel) -> list[dict[str, Any]]:
    """Return the newest statements that may not be used, with the words of their flags."""
    latest = panel.latest()
    left = latest.join(usable(panel), on=["area", "at"], how="anti").select("at", "value", "quality")
    return [
        {"at": format_utc(at), "load_mw": value, "quality": describe(quality)} for at, value, quality in left.rows()
    ]


def served_spans(
    records: Sequence[ForecastRecord], resolution: timedelta, window: tuple[datetime, datetime]
) -> list[dict[str, Any]]:
    """Return who served from when to when within the window, merged where nothing changed; times by target."""
    by_target: dict[datetime, ForecastRecord] = {}
    for record in records:
        if not record.void:
            for target in record.targets:
                by_target.setdefault(at_time(target), record)
    spans: list[dict[str, Any]] = []
    for at in sorted(at for at in by_target if window[0] <= at < window[1]):
        record, begin = by_target[at], format_utc(at)
        last = spans[-1] if spans else None
        if last and last["to"] == begin and (last["release"], last["served_by"]) == (record.release, record.served_by):
            last["to"] = format_utc(at + resolution)
            continue
        facts = {"release": record.release, "served_by": record.served_by, "reason": record.reason}
        spans.append({"from": begin, "to": format_utc(at + resolution), **facts})
    return spans


def trip_marks(platform: Platform, start: datetime, end: datetime) -> list[dict[str, Any]]:
    """Return the trips in the window as marks on the time axis."""
    trips = platform.ledger.find(TripRecord, since=("at", start), order_by="at", limit=MARKS)
    return [
        {"at": format_utc(trip.at), "kind": "trip", "release": trip.release, "text": f"{trip.tier}: {trip.reason}"}
        for trip in trips
        if trip.at < end
    ]


def signal_marks(platform: Platform, area: str, start: datetime, end: datetime) -> list[dict[str, Any]]:
    """Return the signals that came up in the window, about this area or about everything."""
    found = platform.ledger.find(SignalRecord, since=("at", start), order_by="at", limit=MARKS)
    return [
        {"at": format_utc(signal.at), "kind": signal.signal_class, "release": None, "text": signal.reason}
        for signal in found
        if signal.at < end and (not signal.areas or area in signal.areas)
    ]


def signal_row(signal: SignalRecord) -> dict[str, Any]:
    """Return a signal as JSON-ready data."""
    return {
        "key": signal.key,
        "class": signal.signal_class,
        "severity": signal.severity,
        "areas": list(signal.areas),
        "since": format_utc(signal.since),
        "at": format_utc(signal.at),
        "reason": signal.reason,
        "closed_at": None if signal.closed_at is None else format_utc(signal.closed_at),
    }


def _window(
    points: Sequence[tuple[datetime, float, float, float]], start: datetime, end: datetime
) -> list[tuple[datetime, float, float, float]]:
    return [point for point in points if start <= point[0] < end]


def _texts(points: Any) -> list[list[Any]]:
    return [[format_utc(point[0]), *point[1:]] for point in points]
