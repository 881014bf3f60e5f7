"""Owns the watch over stamps: load that fits its forecasts only when moved by an hour. The test is monitoring's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from recloser.app.loop.book import DayBook
from recloser.app.loop.days import ClosedDay
from recloser.app.loop.relation.learning import holidays
from recloser.app.loop.upstream.hours import by_hour, measured, span_of
from recloser.app.platform import Platform
from recloser.core import INCUMBENT, LOAD, FloatArray, Quality, format_utc, local_midnight, parse_utc
from recloser.ledger import StateRecord
from recloser.monitoring import Finding
from recloser.monitoring.detectors.day import is_special
from recloser.monitoring.detectors.stamps import StampLimits, can_tell, stamp_matches, stamp_shift
from recloser.monitoring.questions.stamped import Stamped, whose_stamps

ACTOR = "monitoring"
STATE = "monitor/stamps"
DAY = timedelta(days=1)
HISTORY, RECENT, LEAST = 50, 5, 28
MODEL, UPSTREAM = "model", "upstream"


class StampWatch:
    """Compares each area's closed days with the champion's forecast and the operator's, both moved by an hour.

    How a day compares is worked out once, by what was known when it closed, and can be worked out again: only what
    stands open is in the ledger.

    Args:
        platform: the project.
        book: closed days.
    """

    def __init__(self, platform: Platform, book: DayBook) -> None:
        self._platform = platform
        self._book = book
        self._limits = StampLimits()
        self._days: dict[date, dict[str, FloatArray]] = {}
        self._suspect: dict[date, frozenset[str]] = {}

    def see(self, now: datetime) -> bool:
        """Judge the newest day that has closed; return whether what stands open changed."""
        newest = self._book.latest()
        if newest is None or self._platform.project.resolution > timedelta(hours=1):
            return False
        span = [newest - k * DAY for k in range(HISTORY + RECENT, -1, -1)]
        for day in span:
            if day not in self._days and (closed := self._book.closed(day, now)) is not None:
                self._compare(day, closed, now)
        self._days = {day: found for day, found in self._days.items() if day in span}
        self._suspect = {day: found for day, found in self._suspect.items() if day in span}
        before, past = self._open(), [one for one in self._past() if one[2] >= span[0].isoformat()]
        off: dict[str, list[tuple[str, str]]] = {}
        for area, first, last in (*past, *((area, one["first"], newest.isoformat()) for area, one in before.items())):
            off.setdefault(area, []).append((first, last))
        after: dict[str, dict[str, Any]] = {}
        matches = {by: self._matches(by, span) for by in (MODEL, UPSTREAM)}
        for row, area in enumerate(self._platform.areas):
            in_time = self._in_time(area, off.get(area, ()), span[:-RECENT])
            found = {by: self._hours(table[:, row], in_time) for by, table in matches.items()}
            if found[MODEL] and found[UPSTREAM] is None and not self._sharp(matches[MODEL][:, row], in_time):
                found[MODEL] = None
            after |= self._judged(area, found, span, before.get(area))
        if after == before:
            return False
        past += [[area, one["first"], newest.isoformat()] for area, one in before.items() if area not in after]
        with self._platform.ledger.change(ACTOR, now) as change:
            change.put(StateRecord(STATE, now, {"open": after, "past": past}))
            change.note("stamps.see", newest.isoformat(), {"open": sorted(after)})
        return True

    @property
    def compared(self) -> Mapping[date, Mapping[str, FloatArray]]:
        """Return how the days of the window compare with each forecast, shape (n_areas, 2, 4); NaN where not judged."""
        return self._days

    def findings(self, now: datetime) -> list[Finding]:
        """Return the open faults of load's stamps; they last until now."""
        return [
            Finding(
                "shift",
                LOAD,
                (area,),
                parse_utc(one["since"], STATE),
                now,
                confidence="likely" if one["sure"] else "ambiguous",
                evidence={"hours": one["hours"], "by": "the forecast"},
            )
            for area, one in self._open().items()
            if one["whose"] == "load"
        ]

    def upstream(self) -> dict[str, dict[str, Any]]:
        """Return by area what is open about the stamps of the operator's forecast: hours, since."""
        return {area: one for area, one in self._open().items() if one["whose"] == "upstream"}

    def _open(self) -> dict[str, dict[str, Any]]:
        state = self._platform.ledger.get(StateRecord, STATE)
        return {} if state is None else dict(state.state["open"])

    def _past(self) -> list[list[str]]:
        """Return area, first and last day of each shift that is over."""
        state = self._platform.ledger.get(StateRecord, STATE)
        return [] if state is None else list(state.state["past"])

    def _matches(self, by: str, span: list[date]) -> FloatArray:
        """Return how all days compare with a forecast, shape (n_days, n_areas, 2, 4); NaN for days without."""
        absent = np.full((len(self._platform.areas), 2, 4), np.nan)
        return np.stack([self._days[day][by] if day in self._days else absent for day in span])

    def _judged(
        self, area: str, found: Mapping[str, int | None], span: list[date], known: Mapping[str, Any] | None
    ) -> dict[str, dict[str, Any]]:
        """Return what is open about an area after the newest day: what was open lasts until the same test says no."""
        if known is not None:
            said = [(found[by], hours) for by, hours in known["by"].items() if found[by] is not None]
            return {area: dict(known)} if not said or any(now == then for now, then in said) else {}
        stamped: Stamped = whose_stamps(found[MODEL], found[UPSTREAM])
        if not stamped.whose:
            return {}
        first = span[-self._limits.days]
        since = local_midnight(first, self._platform.horizon.zone)
        by = {name: hours for name, hours in found.items() if hours}
        told = {"whose": stamped.whose, "hours": stamped.hours, "sure": stamped.sure, "since": format_utc(since)}
        return {area: {**told, "first": first.isoformat(), "by": by}}

    def _in_time(self, area: str, off: Sequence[tuple[str, str]], days: Sequence[date]) -> npt.NDArray[np.bool_]:
        """Return on which days nothing was said or suspected of an area's stamps; `off`: spans in which they were."""
        said = [any(first <= day.isoformat() <= last for first, last in off) for day in days]
        suspect = [area in self._suspect.get(day, frozenset()) for day in days]
        result: npt.NDArray[np.bool_] = ~(np.array(said) | np.array(suspect))
        return result

    def _sharp(self, matches: FloatArray, in_time: npt.NDArray[np.bool_]) -> bool:
        """Return whether a forecast that stands alone, without a second one to bear it out, can tell of stamps."""
        known = np.isfinite(matches[:-RECENT, 0, 0])
        return can_tell(matches[:-RECENT][in_time & known], self._limits)

    def _hours(self, matches: FloatArray, in_time: npt.NDArray[np.bool_]) -> int | None:
        """Return the hours by which load is late against a forecast, None where that cannot be told."""
        recent, known = matches[-RECENT:], np.isfinite(matches[:-RECENT, 0, 0])
        if known.sum() < LEAST or not np.isfinite(recent[-self._limits.days :, 0, 0]).all():
            return None
        if not (recent[-self._limits.days :, :, 0].mean(axis=0) > self._limits.match).any():
            return 0  # most days: nothing that looks like a shift
        history = matches[:-RECENT][in_time & known]
        return stamp_shift(history, recent, self._limits) if len(history) >= LEAST else None

    def _compare(self, day: date, closed: ClosedDay, now: datetime) -> None:
        """Work out how a day compares with both forecasts, beside the day before, by what was known as it closed."""
        zone, areas = self._platform.horizon.zone, self._platform.areas
        panel = self._book.history.panel(self._book.closed_at(day) or now, *span_of(day, zone))
        both = (day - DAY, day)
        load = by_hour(measured(panel, LOAD), zone, areas, both)
        before = self._book.closed(day - DAY, now)
        ours = [_median_of(one) for one in (before, closed) if one is not None]
        forecasts = {
            MODEL: by_hour(pl.concat(ours), zone, areas, both),
            UPSTREAM: by_hour(measured(panel, INCUMBENT), zone, areas, both),
        }
        if is_special(day, holidays(self._platform, span_of(day, zone))):  # hours of its own, by no stamp
            load = np.full_like(load, np.nan)
        self._days[day] = {by: _matched(load, forecast) for by, forecast in forecasts.items()}
        bit = (pl.col("quality").cast(pl.Int64) & int(Quality.SHIFT_SUSPECT)) != 0
        suspect = panel.frame.filter((pl.col("quantity") == LOAD) & bit)
        self._suspect[day] = frozenset(suspect["area"].unique())


def _matched(load: FloatArray, forecast: FloatArray) -> FloatArray:
    """Return how the last day of each area compares, shape (n_areas, 2, 4), from (n_areas, 2, 24) MW; all in one call.

    A day without hours stands between two areas, so that an hour moved out of one does not come into the next.
    """
    apart = np.full((len(load), 1, 24), np.nan)
    rows = (np.concatenate([table, apart], axis=1).reshape(-1, 24) for table in (load, forecast))
    return stamp_matches(*rows)[1::3]


def _median_of(closed: ClosedDay) -> pl.DataFrame:
    """Return area, at, value (MW): the median of the release that was champion; of none, where there was none."""
    return closed.rows.select("area", "at", value=pl.Series(closed.median_mw(closed.champion)))
