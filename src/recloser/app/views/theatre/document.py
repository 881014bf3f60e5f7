"""Owns the document of the replay theatre, and keeping a life's course until the ledger grows. Draws nothing."""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from recloser.app.platform import Platform
from recloser.app.views.area import doubted, served_spans, signal_marks, signal_row, trip_marks, valid_points
from recloser.app.views.overview import event_rows
from recloser.app.views.sight import band_of, usable
from recloser.app.views.theatre.course import Course, area_course, course_of, rollouts_at, stride
from recloser.app.views.theatre.moment import Moment, known_forecasts, moment_of
from recloser.app.views.trust import Trust
from recloser.core import LOAD, format_utc, unknown_name

BACK, AHEAD = timedelta(days=3), timedelta(days=1)
DECISIONS, ABNORMAL, KEPT, MOST_STEPS = 12, 12, 64, 1_000_000


@dataclass(frozen=True, slots=True)
class Where:
    """Which moment is wanted: an instant (aware UTC), or a step of the time axis; with neither, the latest."""

    at: datetime | None = None
    step: int | None = None


class Theatre:
    """Makes the document of any moment; thread safe. What holds for a whole life is kept until the ledger grows.

    Args:
        platform: project.
    """

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self._lock = threading.Lock()
        self._length: int | None = None
        self._course: Course | None = None
        self._areas: OrderedDict[str, dict[str, Any]] = OrderedDict()

    def document(self, area: str | None, where: Where) -> dict[str, Any]:
        """Return a moment as it was known then, JSON-ready; times in ISO 8601 UTC, powers in MW.

        Args:
            area: name, None for the first.
            where: which moment; what lies outside of the life is moved to its end.

        Returns:
            {"now", "area", "areas", "course": null} where nothing has happened yet; else with "at", "first", "last",
            "step", "steps", "stride_h", "previous" and "next" (instants of decisions or null), "counts" by trust state,
            "abnormal" (areas), "view" (the area: as its page, "later": load that came after), "rollouts", "signals",
            "decisions" (newest first) and "course" (see `area_course`).

        Raises:
            InvalidInput: no such area.
            Unavailable: ledger or store cannot be read now.
        """
        platform = self.platform
        name = platform.areas[0] if area is None else area
        if name not in platform.areas:
            raise unknown_name("area", name, platform.areas, where="area")
        course, axis = self._known(name)
        found = {"now": format_utc(platform.clock.now()), "area": name, "areas": list(platform.areas), "course": axis}
        if course is None:
            return found
        at, length = _instant(course, where), stride(course)
        moment = moment_of(platform, at)
        times = [entry.at for entry in course.decisions]
        before, after = bisect_left(times, at), bisect_right(times, at)
        return found | {
            "at": format_utc(at),
            "first": format_utc(course.first),
            "last": format_utc(course.last),
            "step": round((at - course.first) / length),
            "steps": -(-(course.last - course.first) // length),
            "stride_h": length.total_seconds() / 3600.0,
            "previous": format_utc(times[before - 1]) if before else None,
            "next": format_utc(times[after]) if after < len(times) else None,
            "counts": {state.name.lower(): sum(j[1].state is state for j in moment.judged.values()) for state in Trust},
            "abnormal": _abnormal(moment),
            "view": area_at(platform, name, moment),
            "rollouts": rollouts_at(course, at),
            "signals": [{**signal_row(signal), "closed_at": None} for signal in moment.signals],
            "decisions": event_rows(course.decisions[max(0, after - DECISIONS) : after][::-1]),
        }

    def _known(self, area: str) -> tuple[Course | None, dict[str, Any] | None]:
        with self._lock:
            length = self.platform.ledger.length()
            if length != self._length:
                self._course, self._length = course_of(self.platform), length
                self._areas.clear()
            course = self._course
            if course is None:
                return None, None
            if area not in self._areas:
                self._areas[area] = area_course(self.platform, area, course)
                while len(self._areas) > KEPT:
                    self._areas.popitem(last=False)
            return course, self._areas[area]


def area_at(platform: Platform, area: str, moment: Moment) -> dict[str, Any]:
    """Return an area's days around a moment as they were known then; `later` is the load that nobody knew yet."""
    at, resolution = moment.at, platform.project.resolution
    facts, found, _ = moment.judged[area]
    records = known_forecasts(platform, at, at - BACK, area)
    ahead = max((record.last_target + resolution for record in records), default=at)
    start, end = at - BACK, max(ahead, at + AHEAD)
    panel = platform.store.read([area], [LOAD], start, end, as_of=at)
    known = usable(panel).select("at", LOAD)
    after = usable(platform.store.read([area], [LOAD], start, end, as_of=platform.clock.now())).select("at", LOAD)
    record, past = facts.forecast, at + timedelta(microseconds=1)
    return {
        "area": area,
        "now": format_utc(at),
        "from": format_utc(start),
        "to": format_utc(end),
        "state": int(found.state),
        "trust": found.state.words,
        "why": found.why,
        "others": list(found.others),
        "data_until": None if facts.data_until is None else format_utc(facts.data_until),
        "issued_at": None if record is None else format_utc(record.issued_at),
        "served_by": None if record is None else record.served_by,
        "release": None if record is None else record.release,
        "band": _texts([point for point in valid_points(records) if start <= point[0] < end]),
        "void": _texts([p for r in records if r.void for p in band_of(r) if start <= p[0] < end]),
        "load": _texts(known.iter_rows()),
        "later": _texts(after.join(known.select("at"), on="at", how="anti").iter_rows()),
        "doubted": doubted(panel),
        "served": served_spans(records, resolution, (start, end)),
        "marks": [*trip_marks(platform, start, past), *signal_marks(platform, area, start, past)],
    }


def _instant(course: Course, where: Where) -> datetime:
    wanted = course.last if where.at is None else where.at
    if where.step is not None:
        wanted = course.first + min(where.step, MOST_STEPS) * stride(course)
    return min(max(wanted, course.first), course.last)


def _abnormal(moment: Moment) -> list[dict[str, Any]]:
    """Return the areas that were not as planned, the worst first."""
    bad = [(found, area) for area, (_, found, _) in moment.judged.items() if found.state is not Trust.AS_PLANNED]
    bad.sort(key=lambda pair: (-pair[0].state, pair[1]))
    return [
        {"area": area, "state": int(found.state), "trust": found.state.words, "why": found.why}
        for found, area in bad[:ABNORMAL]
    ]


def _texts(points: Iterable[Sequence[Any]]) -> list[list[Any]]:
    return [[format_utc(point[0]), *point[1:]] for point in points]
