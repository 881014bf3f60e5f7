"""Owns the watch over each area: load against calendar and weather. Detectors judge; questions say what it means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from math import isnan
from typing import Any

from recloser.app.loop.book import DayBook
from recloser.app.loop.relation.learning import (
    AROUND,
    Histories,
    forecast_errors,
    frozen_errors,
    learn_frozen,
    month_key,
    remember,
    remembered,
)
from recloser.app.loop.signals import record_of_signal, signal_of_record
from recloser.app.platform import Platform
from recloser.core import TEMPERATURE, format_utc, local_midnight
from recloser.ledger import Change as LedgerChange
from recloser.ledger import RouteRecord, SignalRecord, StateRecord
from recloser.monitoring import Finding
from recloser.monitoring.detectors import Change, DayErrors, Monitor, detector_named, stepped
from recloser.monitoring.detectors.frozen import FrozenReference
from recloser.monitoring.questions import News, Standing, Witnesses, attribute, news

ACTOR = "monitoring"
STATE = "monitor/areas"
MONITORS = "monitor/areas/monitors"
FROZEN = "monitor/areas/reference"
REFERENCE, FORECAST = "reference", "forecast"
LEAST_DAYS = 84
LONG_DAYS = 330
REFIT_SHORT, REFIT_LONG = timedelta(days=91), timedelta(days=365)
TRY_AGAIN = timedelta(days=7)
REMEMBERED = timedelta(days=35)
TOGETHER = timedelta(days=14)
FALSE_SHARE = 0.2  # of the areas that are called because of the others
FAULT_AROUND = timedelta(days=60)


@dataclass(frozen=True, slots=True)
class _Held:
    """What the detectors are between two days.

    Attributes:
        facts: the record's plain facts.
        monitors: area -> detector's state.
        changes: area -> its newest change of the last weeks.
        frozen: the reference, or None where the forecast's errors are watched.
    """

    facts: dict[str, Any]
    monitors: Mapping[str, Monitor]
    changes: Mapping[str, Change]
    frozen: FrozenReference | None


class AreaWatch:
    """Shows each area's days to its detector and records what changed, with its cause.

    With weather the load is judged against a frozen reference, so that retraining cannot hide a drift; without, the
    forecast's own errors are. The state is in the ledger; a day shown before changes nothing.

    Args:
        platform: the project.
        book: closed days.
    """

    def __init__(self, platform: Platform, book: DayBook) -> None:
        self._platform = platform
        self._book = book
        self._budget = platform.project.monitoring.false_alarms_per_year
        self._detector = platform.project.monitoring.detector
        detector_named(self._detector)  # an unknown name or a library that is not there is told before the first day
        self._held: tuple[int, _Held] | None = None

    def see(self, days: Sequence[date], now: datetime) -> None:
        """Show days that are about to close, in order, and record state and signals in one change."""
        route = self._platform.ledger.get(RouteRecord, "route")
        if not days or route is None or route.champion is None:
            return
        held = self._load()
        last = held.facts.get("last_day")
        unseen = [day for day in days if last is None or day.isoformat() > last]
        if not unseen:  # a controller was killed before these days were closed: they are shown once all the same
            return
        held = self._learned(held, now)
        fresh: dict[str, Change] = {}
        errors = []
        for day in unseen:
            today = self._errors(held, day, route.champion, now)
            errors.append(today)
            called = [area for area, one in {**held.changes, **fresh}.items() if day - one.day <= TOGETHER]
            monitors, changed = stepped(held.monitors, today, FALSE_SHARE, called)
            fresh |= changed
            held = replace(held, monitors=monitors, facts={**held.facts, "last_day": day.isoformat()})
        recent = {area: change for area, change in held.changes.items() if now - _at(change.day) <= REMEMBERED}
        held = replace(held, changes={**recent, **fresh})
        self._write(held, errors, self._news(held, frozenset(fresh), now), now)

    def _errors(self, held: _Held, day: date, champion: str, now: datetime) -> dict[str, DayErrors]:
        if held.frozen is not None:
            zone = self._platform.horizon.zone
            start, end = local_midnight(day, zone) - AROUND, local_midnight(day + timedelta(days=1), zone)
            return frozen_errors(self._platform, self._book.history.panel(now, start, end), held.frozen, day)
        closed = self._book.day(day, now)
        return {} if closed is None else forecast_errors(self._platform, closed, champion)

    def _learned(self, held: _Held, now: datetime) -> _Held:
        """Return the detectors as they are, or learned anew: at first, with a longer history, and once a year."""
        facts = held.facts
        fitted, tried = _when(facts.get("fitted_at")), _when(facts.get("tried_at"))
        if fitted is None:
            due = tried is None or now - tried >= TRY_AGAIN
        else:
            due = now - fitted >= (REFIT_LONG if facts["days"] >= LONG_DAYS else REFIT_SHORT)
        if not due or self._platform.ledger.find(SignalRecord, signal_class="concept_drift", closed_at=None, limit=1):
            return held
        facts = {**facts, "tried_at": format_utc(now)}
        frozen, histories, basis = None, Histories(), FORECAST
        if self._platform.store.extent(TEMPERATURE) is not None:
            basis = REFERENCE
            frozen, histories = learn_frozen(self._platform, now) or (None, Histories())
        if frozen is None:
            basis, histories = FORECAST, remembered(self._platform, now)
        monitors = self._fitted({area: days for area, days in histories.items() if len(days) >= LEAST_DAYS})
        if not monitors:
            return replace(held, facts=facts)
        facts |= {
            "basis": basis,
            "detector": self._detector,
            "alarms_per_year": self._budget / len(monitors),
            "fitted_at": format_utc(now),
            "days": min(len(histories[area]) for area in monitors),
        }
        return _Held(facts, monitors, held.changes, frozen)

    def _fitted(self, histories: Histories) -> dict[str, Monitor]:
        """Return a detector for each area; the budget of false alarms is the whole fleet's."""
        if not histories:
            return {}
        detector = detector_named(self._detector, self._budget / len(histories))
        return {area: detector.fit(days) for area, days in sorted(histories.items())}

    def _news(self, held: _Held, fresh: frozenset[str], now: datetime) -> News:
        ledger = self._platform.ledger
        records = ledger.find(SignalRecord, signal_class="concept_drift", closed_at=None)
        if not fresh and not records:
            return News()
        faults = [_finding(one, now) for one in ledger.find(SignalRecord, signal_class="data_fault")]
        faults = [one for one in faults if one.active or now - one.end <= FAULT_AROUND]
        groups = self._platform.project.monitoring.groups
        covered = frozenset(area for members in groups.values() for area in members)
        witnesses = Witnesses(covered, self._platform.areas)
        attributed = attribute(held.changes, faults, witnesses)
        at_fault = {one.area for one in attributed if one.cause == "fault"}
        champion = ledger.get(RouteRecord, "route")
        standing = [
            Standing(
                signal_of_record(record),
                answered=champion is not None
                and record.evidence.get("champion", champion.champion) != champion.champion,
                faulty=bool(record.areas) and set(record.areas) <= at_fault,
            )
            for record in records
        ]
        return news(attributed, fresh, standing, now)

    def _write(self, held: _Held, errors: list[dict[str, DayErrors]], said: News, now: datetime) -> None:
        ledger = self._platform.ledger
        route = ledger.get(RouteRecord, "route")
        champion = {} if route is None else {"champion": route.champion}
        monitors = {area: monitor.to_dict() for area, monitor in held.monitors.items()}
        state = {**held.facts, "changes": {area: _to(change) for area, change in held.changes.items()}}
        with ledger.change(ACTOR, now) as change:
            change.put(StateRecord(STATE, now, state))
            if monitors:
                change.put(StateRecord(MONITORS, now, monitors))
            if held.frozen is not None and held.facts.get("fitted_at") == format_utc(now):
                change.put(StateRecord(FROZEN, now, held.frozen.to_dict()))
            if held.frozen is None:
                self._remember(change, errors, now)
            change.note("monitor.step", "areas", {"day": held.facts.get("last_day"), "areas": len(held.monitors)})
            for signal in said.opened:
                record = record_of_signal(signal, None)
                change.put(replace(record, evidence={**record.evidence, **champion}))
                change.note("signal.open", signal.key, {"class": signal.signal_class, "reason": signal.reason})
            for signal in said.joined:
                change.put(record_of_signal(signal, None))
                change.note("signal.join", signal.key, {"areas": list(signal.areas), "reason": signal.reason})
            for key, why in said.closed.items():
                known = ledger.get(SignalRecord, key)
                if known is not None:
                    change.put(replace(known, closed_at=now))
                    change.note("signal.close", key, {"reason": why})
        version = ledger.version_of(StateRecord, STATE)
        self._held = (version, held)

    def _remember(self, change: LedgerChange, errors: list[dict[str, DayErrors]], now: datetime) -> None:
        for today in errors:
            if today:
                known = self._platform.ledger.get(StateRecord, month_key(next(iter(today.values())).day))
                remember(change, None if known is None else known.state, today, now)

    def _load(self) -> _Held:
        """Return what the ledger holds; what this process wrote last is not read again."""
        ledger = self._platform.ledger
        version = ledger.version_of(StateRecord, STATE)
        if self._held is not None and self._held[0] == version:
            return self._held[1]
        record = ledger.get(StateRecord, STATE)
        if record is None:
            return _Held({}, {}, {}, None)
        facts = {name: item for name, item in record.state.items() if name != "changes"}
        if facts.get("detector", self._detector) != self._detector:
            return _Held({"last_day": facts.get("last_day")}, {}, {}, None)  # another one was chosen: it learns anew
        detector = detector_named(self._detector, facts.get("alarms_per_year", self._budget))
        monitors = ledger.get(StateRecord, MONITORS)
        frozen = ledger.get(StateRecord, FROZEN) if facts.get("basis") == REFERENCE else None
        return _Held(
            facts,
            {area: detector.load(item) for area, item in ({} if monitors is None else monitors.state).items()},
            {area: change_from(item) for area, item in record.state["changes"].items()},
            None if frozen is None else FrozenReference.from_dict(frozen.state),
        )


def _finding(record: SignalRecord, now: datetime) -> Finding:
    """Return the data fault that a signal told of."""
    return Finding(
        kind=record.evidence["kind"],
        quantity=record.evidence["quantity"],
        areas=tuple(record.areas),
        start=record.since,
        end=now if record.closed_at is None else record.closed_at,
        active=record.closed_at is None,
        confidence=record.evidence["confidence"],
    )


def _to(change: Change) -> dict[str, Any]:
    numbers = {"score": change.score, "change": change.change}
    days = {"day": change.day.isoformat(), "since": change.since.isoformat()}
    known = {name: None if isnan(number) else number for name, number in numbers.items()}
    return {**days, "channel": change.channel, "direction": change.direction, **known}


def change_from(data: Mapping[str, Any]) -> Change:
    """Return a change that the state of the areas' watch keeps."""
    score, size = (float("nan") if data[name] is None else float(data[name]) for name in ("score", "change"))
    days = (date.fromisoformat(data["day"]), date.fromisoformat(data["since"]))
    return Change(*days, data["channel"], data["direction"], score, size)


def _at(day: date) -> datetime:
    return datetime.combine(day, time(0), UTC)


def _when(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
