"""Owns closed days and the online calibration learned from them. All it keeps can be rebuilt from the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from recloser.app.loop.days import AreaForecast, ClosedDay, closed_day, forecasts_of
from recloser.app.loop.history import History
from recloser.app.loop.online.correcting import Correctors, correctors_of, put_correctors
from recloser.app.platform import Platform
from recloser.core import QUANTILES, FloatArray, RecloserError, format_utc, instant, instants, local_midnight, parse_utc
from recloser.ledger import RouteRecord, StateRecord
from recloser.models import AdaptiveCoverage, Calibration, CoveragePlan, covering, follow, recalibrate
from recloser.models.calibration import FOLLOW_SHARE
from recloser.models.online.corrector import bias_corrected

ACTOR = "monitoring"
ONLINE = "online"
LOOK_BACK = 12
WINDOW_DAYS = 56
LEAST_DAYS = 14
DAILY_ROWS = 20_000
FOLLOW_DAYS = 15
LABEL_SHARE = 0.75
DEADLINE = timedelta(days=3)


class DayBook:
    """Closes days once enough truth is there and keeps the latest in memory.

    Args:
        platform: the project.
        history: the store as of an instant.
    """

    def __init__(self, platform: Platform, history: History) -> None:
        self._platform = platform
        self.history = history
        self._days: dict[date, ClosedDay] = {}
        self._due: dict[date, ClosedDay] = {}
        self._restored: set[str] = set()

    def due(self, now: datetime) -> list[date]:
        """Return every recent day that may be closed and was not, in order."""
        horizon = self._platform.horizon
        today, closed = now.astimezone(horizon.zone).date(), self._closed()
        self._due = {}
        for back in range(LOOK_BACK, 0, -1):
            day = today - timedelta(days=back)
            if day.isoformat() in closed:
                continue
            found = self._read(day, now)
            if found is None:
                continue
            known = found.rows["load_mw"].is_not_null().mean()
            end = local_midnight(day + timedelta(days=1), horizon.zone)
            if float(known or 0.0) >= LABEL_SHARE or now >= end + DEADLINE:  # type: ignore[arg-type]
                self._due[day] = found
        return list(self._due)

    def close(self, now: datetime) -> None:
        """Close the days that were due; late labels never reopen one."""
        if not self._due:
            return
        days = [day.isoformat() for day in self._due]
        with self._platform.ledger.change(ACTOR, now) as change:
            kept = self._closed() | dict.fromkeys(days, format_utc(now))
            change.put(StateRecord("days", now, {"closed": dict(sorted(kept.items())[-60:])}))
            change.note("days.close", days[-1], {"days": days})
        self._days |= self._due
        self._due = {}
        for day in sorted(self._days)[: -WINDOW_DAYS - 4]:
            del self._days[day]

    def _closed(self) -> dict[str, str]:
        """Return the closed days with the instant of their closing; '' where an earlier version did not note it."""
        state = self._platform.ledger.get(StateRecord, "days")
        closed: dict[str, str] | list[str] = {} if state is None else state.state["closed"]
        return dict(closed) if isinstance(closed, dict) else dict.fromkeys(closed, "")

    def latest(self) -> date | None:
        """Return the newest day that was closed, None before the first."""
        newest = max(self._closed(), default="")
        return date.fromisoformat(newest) if newest else None

    def closed_at(self, day: date) -> datetime | None:
        """Return when a day was closed (aware UTC); None for one that was not, or of which that was not noted."""
        text = self._closed().get(day.isoformat())
        return parse_utc(text) if text else None

    def day(self, day: date, now: datetime) -> ClosedDay | None:
        """Return a day, from memory or from ledger and store; None if it was not forecast.

        A closed day is what was known when it closed, also after a restart; one that is due or open, what is known now.
        """
        if day in self._due:
            return self._due[day]
        if day in self._days:
            return self._days[day]
        closed_at = self.closed_at(day)
        found = self._read(day, now if closed_at is None else closed_at)
        if found is not None and day.isoformat() in self._closed():
            self._days[day] = found
        return found

    def closed(self, day: date, now: datetime) -> ClosedDay | None:
        """Return the day if it was closed, else None."""
        if day not in self._days and day.isoformat() not in self._closed():
            return None
        return self.day(day, now)

    def _read(self, day: date, now: datetime) -> ClosedDay | None:
        records = forecasts_of(self._platform.ledger, self._platform.horizon, day)
        if not records:
            return None
        zone = self._platform.horizon.zone
        ends = (local_midnight(day, zone), local_midnight(day + timedelta(days=1), zone))
        areas = closed_day(records, self.history.panel(now, *ends), self._platform.horizon, day)
        issue = self._platform.ledger.get(StateRecord, issue_key(areas[0].issued_at))
        return joined(day, areas, {} if issue is None else issue.state, self._platform.horizon.zone.key)

    def restore(self) -> None:
        """Bring back the online offsets of the route's releases, as the ledger holds them.

        One that does not load waits: the rollout deals with it.
        """
        route = self._platform.ledger.get(RouteRecord, "route")
        for release in () if route is None else (route.champion, route.canary, route.shadow):
            if release is not None and release not in self._restored:
                try:
                    self._restore(release, self._platform.ledger.get(StateRecord, f"{ONLINE}/{release}"))
                except RecloserError:
                    self._restored.discard(release)

    def _restore(self, release: str, state: StateRecord | None) -> None:
        if release not in self._restored:
            self._restored.add(release)
            if state is not None:
                self._platform.set_online(release, Calibration.from_dict(state.state["calibration"]))

    def calibrate(self, now: datetime, asked_at: datetime | None = None) -> None:
        """Learn the online offsets of the route's releases from their own recent errors.

        Daily; for large fleets weekly, and in between they only move along with the bias.

        Args:
            now: aware UTC.
            asked_at: when a signal asked for it (aware UTC): what was learned before is learned anew as a whole.
        """
        route = self._platform.ledger.get(RouteRecord, "route")
        if route is None:
            return
        today = now.astimezone(self._platform.horizon.zone).date()
        for release in (route.champion, route.canary, route.shadow):
            if release is not None:
                self._calibrate(release, today, now, asked_at)

    def _calibrate(self, release: str, today: date, now: datetime, asked_at: datetime | None) -> None:
        key = f"{ONLINE}/{release}"
        state = self._platform.ledger.get(StateRecord, key)
        self._restore(release, state)
        rows_a_day = len(self._platform.areas) * int(timedelta(days=1) / self._platform.horizon.resolution)
        large = rows_a_day * WINDOW_DAYS > DAILY_ROWS
        every, window = (7, WINDOW_DAYS // 2) if large else (1, WINDOW_DAYS)
        if state is not None and now - state.at < timedelta(days=1, hours=-2):
            return
        kept = {} if state is None else state.state
        fitted_at = parse_utc(kept["fitted_at"]) if kept.get("fitted_at") else None
        asked = fitted_at is not None and asked_at is not None and asked_at > fitted_at
        whole = fitted_at is None or asked or now - fitted_at >= timedelta(days=every, hours=-2)
        span = [today - timedelta(days=back) for back in range(window if whole else FOLLOW_DAYS, 0, -1)]
        known = [found for found in (self.day(day, now) for day in span) if found and release in found.answers]
        if len(known) < (LEAST_DAYS if whole else 1):
            return
        before = Calibration.from_dict(kept.get("base", kept["calibration"])) if kept else Calibration.none(QUANTILES)
        base = self._base(before, known, release, whole=whole)
        controls = self._controls(release, kept.get("coverage", {}), now)
        correctors_before = correctors_of(self._platform, release)
        correctors = self._corrected(release, correctors_before, today, now)
        found = covering(bias_corrected(base, correctors.areas), controls)
        self._platform.set_online(release, found)
        fitted = format_utc(now if fitted_at is None or whole else fitted_at)
        online = {"calibration": found.to_dict(), "fitted_at": fitted}
        if controls:
            online["coverage"] = {area: control.to_dict() for area, control in controls.items()}
        if controls or correctors.areas:
            online["base"] = base.to_dict()
        with self._platform.ledger.change(ACTOR, now) as change:
            change.put(StateRecord(key, now, online))
            facts = {"rows": found.rows, "whole": whole}
            if correctors.areas:
                put_correctors(change, release, correctors_before, correctors, now)
                facts["corrector"] = correctors.version
            change.note("calibration.online", release, facts)

    def _base(self, before: Calibration, known: list[ClosedDay], release: str, *, whole: bool) -> Calibration:
        """Return the offsets of the band learned from known days; where the corrector follows the bias they do not."""
        rows = pl.concat([item.rows for item in known])
        truth = rows["load_mw"].fill_null(float("nan")).to_numpy().astype(np.float64)
        raw = np.concatenate([item.answers[release] - item.shifts.get(release, 0.0) for item in known])
        corrected = self._platform.project.model.bias_corrector
        if whole:
            return recalibrate(before, rows, truth, raw, follow_share=0.0 if corrected else FOLLOW_SHARE)
        return before if corrected else follow(before, rows, truth, raw)

    def _corrected(self, release: str, before: Correctors, today: date, now: datetime) -> Correctors:
        """Return the release's correctors after the days that closed since, with what they give from today on."""
        if not self._platform.project.model.bias_corrector:
            return Correctors()
        days = [date.fromisoformat(text) for text in sorted(self._closed())]
        found = [one for day in days if day > before.last_day and (one := self.day(day, now)) is not None]
        after = before.learned([one for one in found if release in one.answers], release)
        ahead = range(1, self._platform.horizon.days + 1)
        return after.gave([today + timedelta(days=k) for k in ahead])

    def _controls(self, release: str, kept: Mapping[str, Any], now: datetime) -> dict[str, AdaptiveCoverage]:
        """Return each area's control of the interval's coverage after the days that closed since."""
        gain = self._platform.project.model.coverage_gain
        if gain == 0.0:
            return {}
        plan = CoveragePlan(gain=gain)
        controls = {area: replace(AdaptiveCoverage.from_dict(item), plan=plan) for area, item in kept.items()}
        seen = max((one.last_day for one in controls.values() if one.last_day is not None), default=date.min)
        for text in sorted(self._closed()):
            day = date.fromisoformat(text)
            closed = self.day(day, now) if day > seen else None
            if closed is None or release not in closed.answers:
                continue
            truth, answer = closed.truth_mw, closed.answers[release]
            for area, mine in closed.places().items():
                control = controls.get(area, AdaptiveCoverage(plan))
                controls[area] = control.learned(day, truth[mine], answer[mine, 0], answer[mine, -1])
        return dict(sorted(controls.items()))


def issue_key(issued_at: datetime) -> str:
    """Return the key of the StateRecord that remembers how an issue was made."""
    return f"issue/{issued_at.isoformat()}"


def issue_state(scale_mw: Mapping[str, float], online: dict[str, Calibration]) -> dict[str, Any]:
    """Return what is remembered of an issue: scale_mw by area and the online offsets in force by release."""
    return {
        "scale_mw": dict(sorted(scale_mw.items())),
        "online": {name: item.to_dict() for name, item in online.items()},
    }


def joined(day: date, areas: list[AreaForecast], issue: dict[str, Any], zone: str) -> ClosedDay:
    """Return the areas' forecasts of one day as one table with its answers."""
    scale = issue.get("scale_mw", {})
    counts = [len(item.targets) for item in areas]
    ats = {len(item.targets): instants("at", item.targets) for item in areas}
    rows = pl.DataFrame(
        {
            "area": np.repeat([item.area for item in areas], counts),
            "at": pl.concat([ats[count] for count in counts]),
            "scale_mw": np.repeat(np.array([scale.get(item.area, np.nan) for item in areas], dtype=np.float64), counts),
            "load_mw": np.concatenate([item.truth for item in areas]),
        },
        schema_overrides={"area": pl.String},
    )
    local = pl.col("at").dt.convert_time_zone(zone)
    rows = rows.with_columns(
        pl.col("load_mw", "scale_mw").fill_nan(None),
        issued_at=instant(areas[0].issued_at),
        hour=local.dt.hour().cast(pl.Float64) + local.dt.minute() / 60.0,
    )
    names = sorted({name for item in areas for name in item.answers})
    answers = {name: np.concatenate([_answer(item, name) for item in areas]) for name in names}
    shifts = {}
    for name, saved in issue.get("online", {}).items():
        if name in answers:
            shifts[name] = Calibration.from_dict(saved).shift_mw(rows)
    champion = next((item.champion for item in areas if item.champion), "")
    return ClosedDay(day, rows, answers, shifts, champion)


def _answer(item: AreaForecast, name: str) -> FloatArray:
    answer = item.answers.get(name)
    return np.full((len(item.targets), len(item.quantiles)), np.nan) if answer is None else answer
