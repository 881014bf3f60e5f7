"""Owns the overview (level 1): the areas' rows, worst first and page by page, signals and events. Draws nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from recloser.app.platform import Platform
from recloser.app.verbs import status_document
from recloser.app.views.alarms import Alarm, alarms_document, alarms_of
from recloser.app.views.sight import (
    NOTHING,
    TREND,
    AreaForecasts,
    Sight,
    loads_by_area,
    newest_load,
    plain_points,
    signals_by_area,
)
from recloser.app.views.trust import AreaFacts, Opinion, Trust, opinion
from recloser.core import format_utc
from recloser.ledger import Entry, SignalRecord

EVENTS = 14
PAGE = 50
QUIET = (
    "calibration.online",
    "rollout.lease",
    "days.close",
    "rollout.days",
    "data.check",
    "monitor.step",
    "forecast.issue",
    "http.wish",
    "gateway.limits",
    "store.maintain",
    "registry.aliases",
    "registry.version",
    "lineage.carry",
    "step.start",
    "step.done",
    "store.pin",
    "console.sign_in",
    "console.sign_out",
)
"""Audit actions that are routine: not told among the latest events."""


@dataclass(frozen=True, slots=True)
class OverviewAsk:
    """Which rows are wanted: page (from 1), part of the area's name, and whether only those not as planned."""

    page: int = 1
    find: str = ""
    abnormal: bool = False


ALL = OverviewAsk()


def overview(platform: Platform, sight: Sight | None = None, ask: OverviewAsk = ALL) -> dict[str, Any]:
    """Return the overview of one moment, JSON-ready.

    Keys: project, now, sentences, alarms (how many active and unacknowledged), signals (reasons), areas (rows of the
    page wanted), events (newest first), counts by trust state, page, pages, found (rows that match). Loads and
    forecasts in MW, times in ISO 8601 UTC.

    Raises:
        Unavailable: ledger or store cannot be read now.
    """
    document, now = status_document(platform), platform.clock.now()
    known = sight or Sight(platform)
    judged = judge(platform, known, now)
    names = sorted(judged, key=lambda area: (-judged[area][1].state, area))
    wanted = [area for area in names if ask.find.casefold() in area.casefold()]
    wanted = [area for area in wanted if not ask.abnormal or judged[area][1].state is not Trust.AS_PLANNED]
    pages = max(1, -(-len(wanted) // PAGE))
    page = min(max(1, ask.page), pages)
    shown = wanted[(page - 1) * PAGE : page * PAGE]
    loads = loads_by_area(known.load(now), shown, now - TREND, now)
    return {
        "project": document["project"],
        "now": format_utc(now),
        "sentences": document["sentences"][1:],
        "alarms": alarms_told(platform, judged, now),
        "signals": [signal["reason"] for signal in document["signals"]],
        "areas": [area_row(area, *judged[area], loads.get(area, [])) for area in shown],
        "events": event_rows(platform.ledger.latest(EVENTS, without=QUIET)),
        "counts": {state.name.lower(): sum(item[1].state is state for item in judged.values()) for state in Trust},
        "page": page,
        "pages": pages,
        "found": len(wanted),
    }


def judge(platform: Platform, sight: Sight, now: datetime) -> dict[str, tuple[AreaFacts, Opinion, AreaForecasts]]:
    """Return of every area the facts, how far it may be trusted, and its forecasts."""
    seen = Seen(
        sight.forecasts(now),
        newest_load(sight.load(now), platform.project.resolution),
        signals_by_area(platform.ledger.find(SignalRecord, closed_at=None, order_by="at")),
    )
    return judge_seen(platform, seen, now)


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known at one moment, by area: forecasts, end of the newest usable load, open signals."""

    forecasts: Mapping[str, AreaForecasts]
    ends: Mapping[str, datetime]
    signals: Mapping[str, Sequence[SignalRecord]]


Judged = tuple[AreaFacts, Opinion, AreaForecasts]


def judge_seen(platform: Platform, seen: Seen, now: datetime) -> dict[str, Judged]:
    """Return of every area the facts of a moment, how far it may be trusted then, and its forecasts."""
    due, resolution = due_at(platform, now), platform.project.resolution
    delay = timedelta(minutes=platform.project.data.telemetry_delay_minutes)
    judged = {}
    for area in platform.areas:
        known = seen.forecasts.get(area, NOTHING)
        about = [*seen.signals.get(area, ()), *seen.signals.get("", ())]
        end = seen.ends.get(area)
        facts = AreaFacts(known.newest, known.recalled, due, end, about, resolution, delay)
        judged[area] = (facts, opinion(facts, now), known)
    return judged


def alarms_in(
    platform: Platform, judged: Mapping[str, tuple[AreaFacts, Opinion, AreaForecasts]], now: datetime
) -> list[Alarm]:
    """Return the alarms that follow from how the areas are judged and from the open signals."""
    signals = {signal.key: signal for signal in platform.ledger.find(SignalRecord, closed_at=None)}
    return alarms_of({area: item[:2] for area, item in judged.items()}, signals, now)


def alarms_told(
    platform: Platform, judged: Mapping[str, tuple[AreaFacts, Opinion, AreaForecasts]], now: datetime
) -> dict[str, int]:
    """Return how many alarms there are, and how many nobody has acknowledged or shelved."""
    document = alarms_document(platform, alarms_in(platform, judged, now))
    return {"active": document["active"], "unacknowledged": document["unacknowledged"]}


def due_at(platform: Platform, now: datetime) -> datetime | None:
    """Return the latest instant not after `now` at which a forecast was to be issued."""
    return max(platform.horizon.issues(now - timedelta(hours=30), now + timedelta(seconds=1)), default=None)


def area_row(
    area: str,
    facts: AreaFacts,
    found: Opinion,
    forecasts: AreaForecasts,
    actual: Sequence[tuple[datetime, float]],
) -> dict[str, Any]:
    """Return one area's row; q10, q50 and q90 are of the newest forecast, `trend` of the whole window."""
    record = facts.forecast
    row: dict[str, Any] = {
        "area": area,
        "trust": found.state.words,
        "state": int(found.state),
        "why": found.why,
        "others": list(found.others),
        "data_until": None if facts.data_until is None else format_utc(facts.data_until),
        "trend": plain_points([(format_utc(at), low, mid, high) for at, low, mid, high in forecasts.points]),
        "actual": plain_points([(format_utc(at), number) for at, number in actual]),
        "q10": [],
        "q50": [],
        "q90": [],
        "peak_mw": None,
        "peak_at": None,
        **dict.fromkeys(("issued_at", "served_by", "release")),
    }
    if record is None:
        return row
    mine = [point for point in forecasts.points if record.first_target <= point[0] <= record.last_target]
    peak = max(mine, key=lambda point: point[2], default=None)
    return row | {
        "q10": [point[1] for point in mine],
        "q50": [point[2] for point in mine],
        "q90": [point[3] for point in mine],
        "peak_mw": None if peak is None else peak[2],
        "peak_at": None if peak is None else format_utc(peak[0]),
        "issued_at": format_utc(record.issued_at),
        "served_by": record.served_by,
        "release": record.release,
    }


def event_rows(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Return audit entries as rows for people, in their order."""
    return [
        {
            "seq": entry.seq,
            "at": format_utc(entry.at),
            "actor": entry.actor,
            "action": entry.action,
            "subject": entry.subject,
            "reason": str(entry.facts.get("reason") or ""),
            "text": f"{entry.action} {entry.subject}: {entry.facts.get('reason') or ''}".removesuffix(": "),
        }
        for entry in entries
    ]
