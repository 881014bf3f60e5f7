"""Owns the daily look at who would serve better while a changed relation harms the champion. `decide` acts on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np

from recloser.app.loop.book import ONLINE, DayBook
from recloser.app.loop.days import ClosedDay
from recloser.app.loop.harm.answering import PastAnswers
from recloser.app.loop.signals import signal_of_record
from recloser.app.platform import Platform
from recloser.core import QUANTILES, FloatArray, RecloserError, local_midnight
from recloser.features import FeatureSet
from recloser.ledger import ReleaseRecord, RolloutRecord, RouteRecord, SignalRecord, StateRecord
from recloser.models import Calibration
from recloser.monitoring.questions import action_of
from recloser.rollout import AreaDay, Harm, LossDay, RetreatPlan, Rival, judged, loss_day, quantile_loss
from recloser.serving import Predictor

ACTOR = "monitoring"
HARM = "harm"
LOSS = quantile_loss(QUANTILES)
DAY = timedelta(days=1)
Days = dict[str, dict[str, list[float]]]
"""Rival -> day -> [loss of who served, loss of the rival, areas]."""


class HarmWatch:
    """Compares the champion with its former champion and the ladder's rungs while a signal says that it is harmed.

    Once a day is compared its numbers stay: labels that come later change nothing. Areas whose data are at fault, on
    that day or the one before, tell nothing. All it keeps is in the ledger; a look may be repeated.

    Args:
        platform: the project.
        book: closed days.
        plan: when another one counts as better.
    """

    def __init__(self, platform: Platform, book: DayBook, plan: RetreatPlan | None = None) -> None:
        self._platform = platform
        self._book = book
        self._plan = RetreatPlan() if plan is None else plan

    def look(self, now: datetime) -> None:
        """Bring what is known of the champion's harm up to date in the ledger; most days there is nothing to do."""
        route = self._platform.ledger.get(RouteRecord, "route")
        if route is None or route.champion is None or not self._platform.project.rollout.fall_back:
            return
        asking = asking_signals(self._platform.ledger.find(SignalRecord, closed_at=None, order_by="at"))
        known = self._platform.ledger.get(StateRecord, f"{HARM}/{route.champion}")
        if not asking:
            if known is not None and known.state["harm"] is not None:
                self._write(route.champion, {"harm": None, "days": {}}, "no signal says so any more", now)
            return
        days = self._closed(asking, route.champion, now)
        if known is not None and self._seen(known.state, asking, days):
            return
        names = self._rivals(route)
        kept = {day.day.isoformat() for day in days}
        before: Days = {} if known is None else known.state["days"]
        compared = {name: {d: r for d, r in before.get(name, {}).items() if d in kept} for name in names}
        self._compare(compared, names, days, route.champion, now)
        rivals = [
            judged(name, loss_days(compared[name]), self._plan, release=is_release, rivals=len(names))
            for name, is_release in names.items()
        ]
        harm = harm_of(asking, rivals)
        told = "; ".join(rival.sentence() for rival in harm.rivals)
        self._write(route.champion, {"harm": harm.to_dict(), "days": compared}, told, now)

    def _seen(self, state: Mapping[str, Any], asking: Sequence[SignalRecord], days: Sequence[ClosedDay]) -> bool:
        """Return whether the same signals were looked at after the same newest day."""
        if state["harm"] is None or set(state["harm"]["signals"]) != {record.key for record in asking}:
            return False
        return not days or all(days[-1].day.isoformat() in one for one in state["days"].values())

    def _write(self, champion: str, state: dict[str, Any], reason: str, now: datetime) -> None:
        with self._platform.ledger.change(ACTOR, now) as change:
            change.put(StateRecord(f"{HARM}/{champion}", now, state))
            change.note("harm.look", champion, {"reason": reason})

    def _closed(self, asking: Sequence[SignalRecord], champion: str, now: datetime) -> list[ClosedDay]:
        """Return the newest closed days since the first signal's beginning that the champion answered."""
        zone = self._platform.horizon.zone
        today = now.astimezone(zone).date()
        first = min(record.since for record in asking).astimezone(zone).date()
        span = [today - timedelta(days=back) for back in range(self._plan.days + 4, 0, -1)]
        found = [day for one in span if one >= first and (day := self._book.closed(one, now)) is not None]
        return [day for day in found if champion in day.answers][-self._plan.days :]

    def _rivals(self, route: RouteRecord) -> dict[str, bool]:
        """Return who could serve instead: name -> whether it is a release."""
        ledger = self._platform.ledger
        found = ledger.find(RolloutRecord, release=route.champion, state="champion", limit=1)
        former = found[0].champion if found else None
        record = None if former is None else ledger.get(ReleaseRecord, former)
        releases = {record.key: True} if record is not None and record.state == "retired" else {}
        return {**releases, **dict.fromkeys(route.fallback, False)}

    def _compare(
        self, compared: Days, names: Mapping[str, bool], days: Sequence[ClosedDay], champion: str, now: datetime
    ) -> None:
        """Add the losses of the days that were not compared yet; an empty row where a day tells too little."""
        release = self._platform.ledger.get(ReleaseRecord, champion)
        scales: Mapping[str, float] = {} if release is None else release.facts["scales"].get("area_loss_mw", {})
        faults = self._faults(now)
        missing = [day for day in days if any(day.day.isoformat() not in one for one in compared.values())]
        if not missing:
            return
        past = PastAnswers(self._platform, self._book.history, missing)
        ladder = self._platform.ladder(self._platform.champion())
        for name, one in compared.items():
            predictor, features = self._opened(name, ladder, is_release=names[name])
            for day in missing:
                if day.day.isoformat() in one or predictor is None:
                    continue
                left_out = {area for area, spans in faults.items() if self._touched(day.day, spans)}
                theirs = day.answers[name] if name in day.answers else past.answer(predictor, features, day)
                areas = area_pairs(day, day.answers[champion], theirs, scales, left_out)
                found = loss_day(day.day, areas, LOSS, len(self._platform.areas), self._plan)
                one[day.day.isoformat()] = [] if found is None else [found.served, found.rival, found.areas]

    def _opened(
        self, name: str, ladder: Mapping[str, Predictor], *, is_release: bool
    ) -> tuple[Predictor | None, FeatureSet]:
        """Return the model and what it reads; None for one that does not load: the switch would refuse it as well."""
        if not is_release:
            return ladder.get(name), self._platform.features
        try:
            loaded = self._platform.load(name)
        except RecloserError:
            return None, self._platform.features
        state = self._platform.ledger.get(StateRecord, f"{ONLINE}/{name}")
        online = None if state is None else Calibration.from_dict(state.state["calibration"])
        return loaded.with_online(online), loaded.features

    def _faults(self, now: datetime) -> dict[str, list[tuple[datetime, datetime]]]:
        """Return by area when its data were at fault, as far as known now."""
        spans: dict[str, list[tuple[datetime, datetime]]] = {}
        for record in self._platform.ledger.find(SignalRecord, signal_class="data_fault"):
            end = now if record.closed_at is None else record.closed_at
            for area in record.areas or self._platform.areas:
                spans.setdefault(area, []).append((record.since, end))
        return spans

    def _touched(self, day: date, spans: Iterable[tuple[datetime, datetime]]) -> bool:
        """Return whether a fault lay on the day or the one before, whose loads are the newest inputs."""
        zone = self._platform.horizon.zone
        begin, end = local_midnight(day - DAY, zone), local_midnight(day + DAY, zone)
        return any(start < end and stop > begin for start, stop in spans)


def asking_signals(signals: Iterable[SignalRecord]) -> list[SignalRecord]:
    """Return the open signals that say: the relation changed, and the forecast suffers.

    Data faults, changed inputs, notices of unknown cause and intervals that hold too much or too little never ask.
    """
    relation = {"concept_drift", "degradation"}
    return [
        record
        for record in signals
        if record.signal_class in relation and action_of(signal_of_record(record)) in {"retrain", "fall_back"}
    ]


def loss_days(rows: Mapping[str, Sequence[float]]) -> list[LossDay]:
    """Return kept rows as days; those that told too little are left out."""
    return [LossDay(date.fromisoformat(day), row[0], row[1], int(row[2])) for day, row in rows.items() if row]


def harm_of(asking: Sequence[SignalRecord], rivals: Iterable[Rival]) -> Harm:
    """Return the harm that signals tell of, with the rivals by their loss; one that cannot be compared comes last."""
    rank = {"critical": 0, "warning": 1, "notice": 2}
    first = min(asking, key=lambda record: rank.get(record.severity, 3))
    order = sorted(rivals, key=lambda rival: (not np.isfinite(rival.gain), -rival.gain if rival.days else 0.0))
    return Harm(tuple(record.key for record in asking), first.severity == "critical", first.reason, tuple(order))


def harm_in(state: StateRecord | None) -> Harm | None:
    """Return what was last found of a champion's harm; None where no signal says so."""
    return None if state is None or state.state["harm"] is None else Harm.from_dict(state.state["harm"])


def area_pairs(
    day: ClosedDay, served: FloatArray, rival: FloatArray, scales: Mapping[str, float], left_out: set[str]
) -> list[AreaDay]:
    """Return the closed day area by area; areas without a scale, or left out, are not among them.

    Args:
        day: closed day.
        served: MW of who serves, shape (n_rows, n_quantiles).
        rival: the same of the other one.
        scales: area -> loss in MW that counts as one.
        left_out: areas whose data were at fault.
    """
    truth = day.truth_mw
    return [
        AreaDay(area, scales[area], truth[mine], served[mine], rival[mine])
        for area, mine in day.places().items()
        if scales.get(area) and area not in left_out
    ]
