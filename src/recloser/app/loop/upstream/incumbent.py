"""Owns the watch over operators' own forecasts: shown to checks, detectors and limits like a model in service.

What it says stands apart from the signals about our data and models: nothing here masks a load, starts a run or moves
traffic.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from recloser.app.loop.book import DayBook
from recloser.app.loop.days import ClosedDay
from recloser.app.loop.faults import finding_from, finding_to
from recloser.app.loop.relation.areas import STATE as AREAS
from recloser.app.loop.relation.areas import change_from
from recloser.app.loop.relation.learning import holidays
from recloser.app.loop.upstream.record import (
    MONITORS,
    STATE,
    GivenErrors,
    IncumbentState,
    Told,
    given_days,
    incumbent_state,
    remember_given,
)
from recloser.app.loop.upstream.stamps import StampWatch
from recloser.app.platform import Platform
from recloser.core import INCUMBENT, LOAD, Panel, local_midnight
from recloser.ledger import Change as LedgerChange
from recloser.ledger import StateRecord
from recloser.monitoring import CheckPlan, Finding, Signal, check_data, flag_revisions, reconcile
from recloser.monitoring.accuracy.incumbent import GivenDay, GivenPlan, given_signals
from recloser.monitoring.detectors import Change, Monitor, detector_named, errors_of_rows, stepped
from recloser.monitoring.questions.given import feed_signal, relation_signal, stamp_signal

ACTOR = "monitoring"
LEAST_DAYS = 84
REFIT = timedelta(days=365)
ACCEPTED = timedelta(days=56)
FALSE_SHARE = 0.2
WEEK = timedelta(days=7)
DAY = timedelta(days=1)
LOOKBACK = timedelta(days=36)
KEPT = 400
LATELY = 2  # months that hold the newest four weeks


class IncumbentWatch:
    """Shows each closed day's operators' forecasts to everything that watches a model, and keeps what is said.

    Args:
        platform: the project.
        book: closed days.
        stamps: the watch over stamps, which knows whose are off.
    """

    def __init__(self, platform: Platform, book: DayBook, stamps: StampWatch) -> None:
        self._platform = platform
        self._book = book
        self._stamps = stamps
        self._plan = GivenPlan()
        self._name = platform.project.monitoring.incumbent
        self._detector = platform.project.monitoring.detector

    def see(self, now: datetime) -> None:
        """Look at the days that have closed since the last look, and at the feeds, once a closed day."""
        newest = self._book.latest()
        if not self._name or newest is None:
            return
        state = incumbent_state(self._platform)
        if state.last_day >= newest.isoformat():
            return
        panel = self._book.history.panel(now, now - LOOKBACK)
        given = panel.frame.filter((pl.col("quantity") == INCUMBENT) & pl.col("area").is_in(self._platform.areas))
        if given.is_empty() and not state.areas:
            return
        first = newest if not state.last_day else date.fromisoformat(state.last_day) + DAY
        days = [first + k * DAY for k in range((newest - first).days + 1)]
        as_load = Panel(given.with_columns(quantity=pl.lit(LOAD)), panel.resolution, now)
        feeds, revisions, state = self._feeds(state, as_load, now)
        if not revisions.is_empty():
            self._platform.store.append(revisions, source="check")
            self._book.history.invalidate()
        found = {day: one for day in days if (one := self._compared(day, now))}
        areas = tuple(sorted({*state.areas, *(area for one in found.values() for area in one)}))
        state, monitors = self._learned(replace(state, areas=areas, last_day=newest.isoformat()), now)
        changes: dict[str, Change] = {}
        for one in found.values():
            monitors, changed = stepped(monitors, {area: item.errors for area, item in one.items()}, FALSE_SHARE)
            changes |= changed
        levels, lasting = self._levels(state, found, now)
        said = [*feeds, *self._relations(changes, now), *self._stamped(now), *levels]
        told = told_after(state, said, [*said, *lasting], now)
        with self._platform.ledger.change(ACTOR, now) as change:
            for day, one in found.items():
                remember_given(change, self._platform, day, one, now)
            if monitors:
                change.put(StateRecord(MONITORS, now, {area: m.to_dict() for area, m in monitors.items()}))
            facts = {**state.facts, "days": counted(state.facts.get("days", {}), found)}
            change.put(StateRecord(STATE, now, replace(state, told=told, facts=facts).to_dict()))
            self._note(change, state.told, told, newest)

    def _note(self, change: LedgerChange, before: Sequence[Told], after: Sequence[Told], newest: date) -> None:
        known = {one.signal.key: one for one in before}
        change.note("incumbent.see", newest.isoformat(), {"open": sum(one.closed_at is None for one in after)})
        for one in after:
            if one.signal.key not in known:
                change.note("incumbent.open", one.signal.key, {"reason": one.signal.reason})
            elif one.closed_at is not None and known[one.signal.key].closed_at is None:
                change.note("incumbent.close", one.signal.key, {"reason": one.signal.reason})

    def _feeds(
        self, state: IncumbentState, as_load: Panel, now: datetime
    ) -> tuple[list[Signal], pl.DataFrame, IncumbentState]:
        """Return the signals of faults of the feeds, the revisions that flag them, and the state with what is open."""
        plan = CheckPlan(zone=self._platform.horizon.zone.key, areas=state.areas)
        seen = [] if as_load.frame.is_empty() else check_data(as_load, now, plan)
        seen = [one for one in seen if one.confidence != "unknown"]
        known = [finding_from(item) for item in state.faults]
        change = reconcile(known, seen)
        left = [one for one in (*change.lasting, *change.opened) if one.active]
        revisions = flag_revisions(as_load, seen, now).with_columns(quantity=pl.lit(INCUMBENT))
        said = [feed_signal(_opened(one, known), self._name, now) for one in (*change.lasting, *change.opened)]
        return said, revisions, replace(state, faults=tuple(finding_to(one) for one in left))

    def _compared(self, day: date, now: datetime) -> dict[str, GivenErrors]:
        """Return each area's comparison of a closed day; areas without a usable forecast of it are left out."""
        closed = self._book.closed(day, now)
        if closed is None:
            return {}
        zone = self._platform.horizon.zone
        start, end = local_midnight(day, zone), local_midnight(day + DAY, zone)
        wide = self._book.history.panel(now, start - WEEK, end).wide()
        if INCUMBENT not in wide.columns or LOAD not in wide.columns:
            return {}
        given = wide.select("area", "at", given_mw=pl.col(INCUMBENT))
        before = wide.select("area", pl.col("at") + WEEK, naive_mw=pl.col(LOAD))
        rows = with_ours(closed).join(given, on=["area", "at"], how="left").join(before, on=["area", "at"], how="left")
        known = rows.filter(pl.col("given_mw").is_finite() & pl.col("load_mw").is_finite())
        errors = errors_of_rows(
            known.with_columns(truth_mw=pl.col("load_mw"), median_mw=pl.col("given_mw")),
            zone.key,
            holidays(self._platform, (start, end)),
        )
        sums = {area: given_day(day, own) for (area,), own in known.group_by("area", maintain_order=True)}
        return {area: GivenErrors(sums[area], days[-1]) for area, days in errors.items() if days}

    def _learned(self, state: IncumbentState, now: datetime) -> tuple[IncumbentState, dict[str, Monitor]]:
        """Return the detectors as they are, or learned anew: at first, for new areas, and once a year."""
        budget = self._platform.project.monitoring.false_alarms_per_year / max(len(state.areas), 1)
        detector = detector_named(self._detector, budget)
        record = self._platform.ledger.get(StateRecord, MONITORS)
        kept = {} if record is None else record.state
        ripe = {area for area, count in state.facts.get("days", {}).items() if count >= LEAST_DAYS}
        old = state.fitted_at is None or now - state.fitted_at >= REFIT or state.facts.get("detector") != self._detector
        if not ripe or not (old or ripe - set(kept)):
            return state, {area: detector.load(item) for area, item in kept.items()}
        history = given_days(self._platform, date.fromisoformat(state.last_day))
        known = {area: history[area] for area in ripe if len(history.get(area, ())) >= LEAST_DAYS}
        fresh = {area: days for area, days in known.items() if old or area not in kept}
        monitors = {} if old else {area: detector.load(item) for area, item in kept.items()}
        monitors |= {area: detector.fit([one.errors for one in days]) for area, days in sorted(fresh.items())}
        facts = {**state.facts, "detector": self._detector}
        return replace(state, fitted_at=now if old else state.fitted_at, facts=facts), monitors

    def _relations(self, changes: Mapping[str, Change], now: datetime) -> list[Signal]:
        record = self._platform.ledger.get(StateRecord, AREAS)
        ours = {} if record is None else record.state["changes"]
        return [
            relation_signal(area, change, change_from(ours[area]) if area in ours else None, self._name, now)
            for area, change in sorted(changes.items())
        ]

    def _stamped(self, now: datetime) -> list[Signal]:
        return [
            stamp_signal(area, one["hours"], datetime.fromisoformat(one["since"]), self._name, now)
            for area, one in sorted(self._stamps.upstream().items())
        ]

    def _levels(
        self, state: IncumbentState, found: Mapping[date, Mapping[str, GivenErrors]], now: datetime
    ) -> tuple[list[Signal], list[Signal]]:
        """Return what the newest four weeks say of level and skill, and what of that would let it last."""
        signals: list[Signal] = []
        lasting: list[Signal] = []
        history = given_days(self._platform, date.fromisoformat(state.last_day), LATELY)
        for area in state.areas:
            days = [one.given for one in history.get(area, [])[-self._plan.days :]]
            days += [one[area].given for one in found.values() if area in one]
            signals += given_signals(area, days, self._name, self._plan, now)
            lasting += given_signals(area, days, self._name, self._plan.lasting, now)
        return signals, lasting


def told_after(
    state: IncumbentState, said: Sequence[Signal], lasting: Sequence[Signal], now: datetime
) -> tuple[Told, ...]:
    """Return the signals with what is new opened and what is over closed; one trouble has one signal.

    Args:
        state: before.
        said: what is said now.
        lasting: what lets a standing signal last, `said` included.
        now: aware UTC.
    """
    standing = {trouble(one.signal) for one in state.told if one.closed_at is None}
    left = {trouble(signal): signal for signal in lasting}
    after = [
        replace(one, closed_at=now) if one.closed_at is None and _over(one.signal, left, now) else one
        for one in state.told
    ]
    keys = {one.signal.key for one in state.told}
    fresh = {trouble(signal): signal for signal in said}
    after += [Told(s) for key, s in fresh.items() if key not in standing and s.key not in keys]
    return tuple(after[-KEPT:])


def counted(before: Mapping[str, int], found: Mapping[date, Mapping[str, GivenErrors]]) -> dict[str, int]:
    """Return area -> how many days were compared, these included."""
    now = Counter(area for one in found.values() for area in one)
    return {area: before.get(area, 0) + now[area] for area in sorted({*before, *now})}


def trouble(signal: Signal) -> tuple[Any, ...]:
    """Return what makes two signals one trouble: what is wrong, and where; of a change also its direction."""
    return (signal.signal_class, signal.evidence["kind"], signal.areas, signal.evidence.get("direction"))


def _over(signal: Signal, said: Mapping[tuple[Any, ...], Signal], now: datetime) -> bool:
    """Return whether a standing signal is over: a change by its age, what is measured anew each day if it is silent."""
    if signal.signal_class == "concept_drift":
        return now - signal.at >= ACCEPTED
    return trouble(signal) not in said


def _opened(finding: Finding, known: Sequence[Finding]) -> Finding:
    return next((item for item in known if item.same_as(finding)), finding)


def with_ours(closed: ClosedDay) -> pl.DataFrame:
    """Return the rows of a closed day with our champion's median, NaN where there was none."""
    return closed.rows.with_columns(ours_mw=pl.Series(closed.median_mw(closed.champion)))


def given_day(day: date, rows: pl.DataFrame) -> GivenDay:
    """Return one area's comparison of a day over the points that load and forecast have.

    Args:
        day: local date.
        rows: columns load_mw, given_mw, naive_mw, ours_mw in MW.
    """
    load, given, naive, ours = (
        rows[name].cast(pl.Float64).fill_null(float("nan")).to_numpy()
        for name in ("load_mw", "given_mw", "naive_mw", "ours_mw")
    )
    error = load - given
    apart = [np.abs(load - other) for other in (naive, ours)]
    means = [float(one.mean()) if np.isfinite(one).all() else float("nan") for one in apart]
    return GivenDay(
        day, len(load), float(np.abs(load).mean()), float(np.abs(error).mean()), float(error.mean()), *means
    )
