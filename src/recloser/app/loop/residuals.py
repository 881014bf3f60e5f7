"""Owns feeding closed days to the residual monitors and recording what they say. The monitors decide."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl

from recloser.app.loop.book import DayBook
from recloser.app.loop.days import ClosedDay
from recloser.app.loop.reference import new_reference, score_of
from recloser.app.loop.signals import record_of_signal
from recloser.app.platform import Platform
from recloser.core import LOAD
from recloser.ledger import ReleaseRecord, RouteRecord, SignalRecord, StateRecord
from recloser.monitoring import (
    DayScore,
    DriftAlarm,
    DriftPlan,
    DriftState,
    PerformancePlan,
    Signal,
    StagingErrors,
    coverage,
    daily_errors,
    degradation,
    drift_signal,
    fit_baseline,
    moved,
    pool,
    rebaselined,
    step,
)
from recloser.pipelines import days_off

ACTOR = "monitoring"
STATE = "monitor/residuals"
LEAST_DAYS = 28
NORMAL_DAYS = 14
KEPT_DAYS = 365
REFIT = timedelta(days=28)
ACCEPT = timedelta(days=56)
SPENT = timedelta(days=35)
LAST_SAID = {"error": "degraded_at", "coverage": "uncovered_at"}
CALM = timedelta(days=14)  # so long must the error have been back, lest one spell makes many signals


class ResidualWatch:
    """Keeps the drift and degradation monitors of the serving champion; their state is in the ledger.

    Args:
        platform: the project.
        book: closed days.
    """

    def __init__(self, platform: Platform, book: DayBook) -> None:
        self._platform = platform
        self._book = book
        self._plan = DriftPlan(alarms_per_year=platform.project.monitoring.false_alarms_per_year)
        self._performance = PerformancePlan()

    def see(self, days: list[date], now: datetime) -> None:
        """Show days that are about to close to the monitors, in order, and record state and signals in one change.

        A day that was shown before is passed over, so that this may be repeated.
        """
        route = self._platform.ledger.get(RouteRecord, "route")
        if not days or route is None or route.champion is None:
            return
        stored = self._platform.ledger.get(StateRecord, STATE)
        state: dict[str, Any] = {} if stored is None else dict(stored.state)
        rows: list[dict[str, Any]] = list(state.get("rows", []))
        seen = {row["day"] for row in rows}
        fresh = [row for day in days if day.isoformat() not in seen and (row := self._row(day, route.champion, now))]
        if not fresh:
            return
        state = self._followed(state, rows, route.champion, now)
        signals: list[Signal] = []
        for row in fresh:
            alarm = self._step(state, row, now)
            if alarm is not None:
                signals.append(drift_signal(alarm, now))
                state["alarmed_at"] = now
        state["rows"] = [*rows, *fresh][-KEPT_DAYS:]
        for signal in self._degraded(state["rows"], route.champion, now):
            state[LAST_SAID[signal.evidence["kind"]]] = now
            signals.append(signal)
        self._write(state, signals, now)

    def _row(self, day: date, champion: str, now: datetime) -> dict[str, Any] | None:
        closed = self._book.day(day, now)
        if closed is None or champion not in closed.answers:
            return None
        errors = daily_errors(self._scored(closed, champion, now), self._platform.horizon.zone.key)
        off = days_off(self._platform.features, [day.year])
        scores = pool(errors, off)
        if not scores:
            return None
        mean = errors.select(pl.col("absolute", "naive", "inside").mean()).row(0, named=True)
        score = scores[-1]
        return {
            "day": score.day.isoformat(),
            "signed": score.signed,
            "spread": score.spread,
            "areas": score.areas,
            "off": score.off,
            "champion": champion,
            **mean,
        }

    def _scored(self, closed: ClosedDay, champion: str, now: datetime) -> pl.DataFrame:
        answer = closed.answers[champion]
        week = timedelta(days=7)
        first = closed.rows["at"].min()
        assert isinstance(first, datetime)
        wide = self._book.history.panel(now, first - week, first - week + timedelta(hours=26)).wide()
        before = wide.select("area", (pl.col("at") + week).alias("at"), pl.col(LOAD).alias("naive_mw"))
        return closed.rows.with_columns(
            truth_mw=pl.col(LOAD),
            low_mw=pl.Series(answer[:, 0]),
            median_mw=pl.Series(answer[:, answer.shape[1] // 2]),
            high_mw=pl.Series(answer[:, -1]),
        ).join(before, on=["area", "at"], how="left")

    def _followed(
        self, state: dict[str, Any], rows: list[dict[str, Any]], champion: str, now: datetime
    ) -> dict[str, Any]:
        """Return the state with a baseline that fits the champion: new, moved on, or the old one."""
        fitted_at = state.get("fitted_at")
        alarmed_at = state.get("alarmed_at")
        changed = state.get("champion") != champion
        old = fitted_at is None or now - _instant(fitted_at) >= REFIT
        accepted = alarmed_at is not None and now - _instant(alarmed_at) >= ACCEPT
        if not (changed or accepted or (old and alarmed_at is None)):
            return state
        learned = new_reference(self._platform, self._plan, now) if fitted_at is None or accepted else None
        if learned is not None:
            reference, baseline = learned
            state = {**state, "reference": reference.to_dict()}
        elif state.get("reference") is not None:
            return self._reset(state, champion) if changed else state
        else:
            history = self._history(state, rows, champion)
            if len(history) < LEAST_DAYS:
                return {**state, "champion": champion} if changed else state
            baseline = fit_baseline(history, self._plan)
        drift = DriftState(baseline, last_day=date.fromisoformat(rows[-1]["day"]) if rows else None)
        kept = state.get("drift")
        if kept is not None and not changed and not accepted:
            drift = replace(DriftState.from_dict(kept), baseline=baseline)
        following = {
            **state,
            "champion": champion,
            "drift": drift.to_dict(),
            "fitted_at": now,
            "alarmed_at": alarmed_at,
            "normal": {"working": baseline.working, "off": baseline.off},
        }
        if changed or accepted:
            following["alarmed_at"] = None
        return following

    def _reset(self, state: dict[str, Any], champion: str) -> dict[str, Any]:
        """Return the state after a promotion: an answered alarm is over, and what load does now is the new normal."""
        following = {**state, "champion": champion}
        if state.get("alarmed_at") is not None:
            drift = DriftState.from_dict(state["drift"])
            recent = [row["away"] for row in state.get("rows", [])[-NORMAL_DAYS:] if row.get("away") is not None]
            levels = state.get("normal") or {"working": drift.baseline.working, "off": drift.baseline.off}
            normal = replace(drift.baseline, working=tuple(levels["working"]), off=tuple(levels["off"]))
            following |= {"drift": rebaselined(drift, moved(normal, recent)).to_dict(), "alarmed_at": None}
        return following

    def _scales(self, champion: str) -> dict[str, Any]:
        """Return what staging measured, by the ledger: the package may no longer load."""
        release = self._platform.ledger.get(ReleaseRecord, champion)
        return {} if release is None else dict(release.facts["scales"])

    def _history(self, state: dict[str, Any], rows: list[dict[str, Any]], champion: str) -> list[DayScore]:
        """Return out-of-sample days: the champion's hold-out, then lived days before the open alarm's onset."""
        held = self._scales(champion).get("days", [])
        drift = state.get("drift")
        until = None
        if state.get("alarmed_at") is not None and drift is not None:
            until = drift.get("high_since") or drift.get("low_since")
        lived = [row for row in rows if until is None or row["day"] < until]
        known = {row["day"] for row in lived}
        chosen = [*(row for row in held if row["day"] not in known), *lived]
        return [_score(row) for row in sorted(chosen, key=lambda row: str(row["day"]))]

    def _step(self, state: dict[str, Any], row: dict[str, Any], now: datetime) -> DriftAlarm | None:
        if state.get("drift") is None:
            return None
        score: DayScore | None = _score(row)
        if state.get("reference") is not None:
            day = date.fromisoformat(row["day"])
            score = score_of(self._platform, self._book.history, state["reference"], day, now)
            row["away"] = None if score is None else score.signed
        if score is None:
            return None
        drift, alarm = step(DriftState.from_dict(state["drift"]), score)
        state["drift"] = drift.to_dict()
        return alarm

    def _degraded(self, rows: list[dict[str, Any]], champion: str, now: datetime) -> list[Signal]:
        """Return what has got worse: the error against staging and the naive floor, the coverage of its own band."""
        promised = self._scales(champion).get("promised")
        recent = [row for row in rows if row["absolute"] is not None]
        if promised is None or not recent:
            return []
        staging = StagingErrors(float(promised["absolute"]), promised["naive"], 0.8)
        own = [row for row in recent if row.get("champion") == champion]
        said = (
            degradation(_frame(recent), staging, self._performance, now),
            coverage(_frame(own), staging, self._performance, now),
        )
        return [signal for signal in said if signal is not None]

    def _write(self, state: dict[str, Any], signals: list[Signal], now: datetime) -> None:
        """Write the new state; open what is new, close what is over or answered by a new champion."""
        ledger = self._platform.ledger
        found = ledger.find(SignalRecord, signal_class="concept_drift", closed_at=None)
        open_drift = [record for record in found if not record.areas]  # those of single areas have a watch of their own
        open_worse = ledger.find(SignalRecord, signal_class="degradation", closed_at=None)
        telling = {str(record.evidence.get("kind", "error")) for record in open_worse}
        opening = [s for s in signals if s.signal_class != "degradation" or s.evidence["kind"] not in telling]
        closing = [(record, "a new champion or a new baseline answers it") for record in open_drift]
        closing = closing if state.get("alarmed_at") is None else []
        for record in open_worse:
            kind = str(record.evidence.get("kind", "error"))
            last = state.get(LAST_SAID[kind])
            if last is None or now - _instant(last) >= CALM or now - record.at > SPENT:
                closing.append((record, f"the {kind} is back"))
        with ledger.change(ACTOR, now) as change:
            change.put(StateRecord(STATE, now, state))
            change.note("monitor.step", "residuals", {"day": state["rows"][-1]["day"]})
            for signal in opening:
                change.put(record_of_signal(signal, None))
                change.note("signal.open", signal.key, {"class": signal.signal_class, "reason": signal.reason})
            for record, reason in closing:
                change.put(replace(record, closed_at=now))
                change.note("signal.close", record.key, {"reason": reason})


def _frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Return kept days as one pooled area's: area, day, absolute, naive, inside."""
    numbers = {
        name: pl.Series([row[name] for row in rows], dtype=pl.Float64) for name in ("absolute", "naive", "inside")
    }
    days = pl.Series([date.fromisoformat(row["day"]) for row in rows], dtype=pl.Date)
    return pl.DataFrame({"area": pl.Series(["*"] * len(rows), dtype=pl.String), "day": days, **numbers})


def _score(row: dict[str, Any]) -> DayScore:
    return DayScore(
        date.fromisoformat(row["day"]), float(row["signed"]), float(row["spread"]), int(row["areas"]), bool(row["off"])
    )


def _instant(value: Any) -> datetime:
    return value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
