"""Owns reading out of the ledger what a replay lived through: signals, runs, rollouts, trips, counts, timeline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from recloser.app.loop.online.correcting import OFF, corrector_document
from recloser.app.loop.signals import signal_of_record
from recloser.app.loop.upstream.telling import incumbent_document
from recloser.app.platform import Platform
from recloser.app.replay.outcome import PolicyResult
from recloser.app.replay.scenario import Scenario
from recloser.core import TIME
from recloser.ledger import (
    ActRecord,
    Entry,
    ForecastRecord,
    RolloutRecord,
    RunRecord,
    SignalRecord,
    TripRecord,
    VerdictRecord,
)
from recloser.monitoring.questions import action_of
from recloser.rollout import RolloutPlan
from recloser.simulation import Label

Row = dict[str, Any]
SLACK = timedelta(days=21)


def policy_result(platform: Platform, policy: str, scenario: Scenario) -> PolicyResult:
    """Return what the ledger of a finished replay says."""
    ledger = platform.ledger
    signals = ledger.find(SignalRecord, order_by="at")
    runs = ledger.find(RunRecord, order_by="started_at")
    verdicts = {record.release: record for record in ledger.find(VerdictRecord)}
    trips = ledger.find(TripRecord, order_by="at")
    entries = ledger.entries()
    moves = rollout_moves(entries, ledger.find(RolloutRecord))
    acts = ledger.find(ActRecord, order_by="at")
    forecasts = ledger.find(ForecastRecord, order_by="made_at")
    areas_of = {record.key: record.area for record in forecasts}
    run_rows = [run_row(run, verdicts.get(run.candidate or "")) for run in runs]
    return PolicyResult(
        name=policy,
        forecasts=valid_forecasts(forecasts),
        signals=[signal_row(signal) for signal in signals],
        runs=run_rows,
        rollouts=moves,
        trips=[trip_row(trip, areas_of) for trip in trips],
        acts=[act_row(act) for act in acts],
        counts=counts(signals, run_rows, moves, trips, scenario) | acts_by_kind(acts) | seldom(entries),
        timeline=timeline(entries, (signals, run_rows, moves, trips, acts), areas_of),
        incumbent=incumbent_document(platform, open_only=False),
        corrector=corrector_document(platform),
    )


def valid_forecasts(records: Sequence[ForecastRecord]) -> pl.DataFrame:
    """Return what was valid when each interval began to be used: of several answers for a target the last one made.

    A re-issue covers only targets whose interval had not ended when it was made, so the last answer is the valid one;
    of two made at the same instant (an issue, and its re-issue after a trip) it is the one that was not recalled.

    Returns:
        area, at, issued_at, q10, q50, q90 in MW.
    """
    columns: dict[str, list[Any]] = {"area": [], "at": [], "issued_at": [], "made_at": [], "kept": []}
    answers = []
    for record in records:
        count = len(record.targets)
        columns["area"] += [record.area] * count
        columns["at"] += [t if isinstance(t, datetime) else datetime.fromisoformat(t) for t in record.targets]
        columns["issued_at"] += [record.issued_at] * count
        columns["made_at"] += [record.made_at] * count
        columns["kept"] += [not record.void] * count
        answers.append(np.asarray(record.answers[record.release], dtype=np.float64))
    schema: dict[str, Any] = {"area": pl.String, "at": TIME, "issued_at": TIME, "made_at": TIME, "kept": pl.Boolean}
    frame = pl.DataFrame(columns, schema=schema)
    numbers = np.concatenate(answers) if answers else np.empty((0, 3))
    frame = frame.with_columns(**{name: pl.Series(numbers[:, k]) for k, name in enumerate(("q10", "q50", "q90"))})
    ordered = frame.sort("area", "at", "made_at", "kept")
    return ordered.unique(["area", "at"], keep="last", maintain_order=True).drop("made_at", "kept")


def signal_row(signal: SignalRecord) -> Row:
    """Return CONTRACT.md's row of a signal, with severity, since, closed_at and what it asks for added."""
    return {
        "at": signal.at,
        "class": signal.signal_class,
        "areas": signal.areas,
        "reason": signal.reason,
        "since": signal.since,
        "closed_at": signal.closed_at,
        "kind": signal.evidence.get("kind", signal.signal_class),
        "severity": signal.severity,
        "action": action_of(signal_of_record(signal)),
    }


def run_row(run: RunRecord, verdict: VerdictRecord | None) -> Row:
    """Return CONTRACT.md's row of a run."""
    reason = run.reason if verdict is None else verdict.reason
    return {
        "at": run.started_at,
        "trigger": run.trigger,
        "candidate": run.candidate,
        "verdict": run.verdict or run.state,
        "reason": reason,
        "asked": run.reason,
        "run": run.key,
    }


def trip_row(trip: TripRecord, areas_of: dict[str, str]) -> Row:
    """Return CONTRACT.md's row of a trip; recalled is the number of forecasts."""
    areas = sorted({areas_of[key] for key in trip.recalled if key in areas_of})
    return {
        "at": trip.at,
        "release": trip.release,
        "tier": trip.tier,
        "reason": trip.reason,
        "recalled": len(trip.recalled),
        "areas": areas,
    }


def act_row(act: ActRecord) -> Row:
    """Return CONTRACT.md's row of what a person decided; `followed` tells whether that was the machine's advice."""
    names = ("at", "release", "kind", "name", "role", "reason", "followed")
    return {name: getattr(act, name) for name in names}


def acts_by_kind(acts: Sequence[ActRecord]) -> dict[str, int]:
    """Return how often people approved and rejected; empty where nobody was asked."""
    kinds = [act.kind for act in acts]
    return {"approvals": kinds.count("approve"), "rejections": kinds.count("reject")} if kinds else {}


SELDOM = {"fall_backs": "rollout.fall_back", "corrector_off": OFF}


def seldom(entries: Sequence[Entry]) -> dict[str, int]:
    """Return how often a harmed champion fell back and the guard stopped a bias corrector; what never came is left out.

    The last is counted once for all areas that are stopped on a day.
    """
    found = {name: sum(1 for entry in entries if entry.action == action) for name, action in SELDOM.items()}
    return {name: count for name, count in found.items() if count}


def rollout_moves(entries: Sequence[Entry], rollouts: Sequence[RolloutRecord] = ()) -> list[Row]:
    """Return each change of state of each rollout, in order, from the audit log; canaries with share and cohort."""
    plans = {record.key: RolloutPlan.from_dict(record.plan) for record in rollouts}
    moves = []
    for entry in entries:
        if not entry.action.startswith("rollout.") or "from" not in entry.facts:
            continue
        facts = entry.facts
        moves.append(
            {
                "at": entry.at,
                "release": entry.subject,
                "from": facts["from"],
                "to": facts["to"],
                "state": facts["to"],
                "reason": facts.get("reason", ""),
            }
        )
        plan = plans.get(facts.get("rollout", ""))
        if facts["to"] == "canary" and plan is not None:
            step = int(facts["step"])
            moves[-1] |= {"share": plan.steps[step].share, "cohort": list(plan.cohort_at(step))}
    return moves


def counts(
    signals: Sequence[SignalRecord],
    runs: Sequence[Row],
    moves: Sequence[Row],
    trips: Sequence[TripRecord],
    scenario: Scenario,
) -> dict[str, int]:
    """Return the figures of the summary; false alarms are signals with no injected event that they could be about.

    Notices ask for nothing but to watch, so they are counted apart, false ones too. Without a scenario nothing is known
    about the truth, and every signal counts only as a signal.
    """
    asking = [signal for signal in signals if signal.severity != "notice"]
    notices = [signal for signal in signals if signal.severity == "notice"]
    drift = [signal for signal in asking if signal.signal_class in {"concept_drift", "degradation"}]
    faults = [signal for signal in asking if signal.signal_class == "data_fault"]
    result = {
        "runs": len(runs),
        "refusals": sum(1 for run in runs if run["verdict"] == "refuse"),
        "promotions": sum(
            1
            for move in moves
            if move["to"] == "probation"
            or (move["from"] in {"queued", "awaiting_approval"} and move["to"] == "champion")
        ),
        "trips": len(trips),
        "drift_signals": len(drift),
        "data_faults": len(faults),
        "notices": len(notices),
    }
    if scenario.events:
        labels = [event.label for event in scenario.events]
        result["false_alarms"] = _unexplained([*drift, *faults], labels)
        result["false_notices"] = _unexplained(notices, labels)
    return result


def _unexplained(signals: Sequence[SignalRecord], labels: Sequence[Label]) -> int:
    return sum(1 for signal in signals if not any(_explains(label, signal) for label in labels))


def _explains(label: Label, signal: SignalRecord) -> bool:
    """Return whether the event may be what the signal is about: said during it or soon after, or dated into it.

    A covariate_shift says that nobody can tell a fault from a change, so either explains it.
    """
    wanted = "concept_drift" if signal.signal_class == "degradation" else signal.signal_class
    if wanted not in {label.signal_class, "covariate_shift"} or (signal.areas and not _shared(label.areas, signal)):
        return False
    begin = label.start - timedelta(days=1)
    return begin <= signal.at <= label.end + SLACK or begin <= signal.since <= label.end


def _shared(areas: Sequence[str], signal: SignalRecord) -> bool:
    return not areas or bool(set(areas) & set(signal.areas))


Lived = tuple[Sequence[SignalRecord], Sequence[Row], Sequence[Row], Sequence[TripRecord], Sequence[ActRecord]]
"""Signals, runs, moves of rollouts, trips, acts of people."""


def timeline(entries: Sequence[Entry], lived: Lived, areas_of: dict[str, str]) -> list[tuple[datetime, str]]:
    """Return what happened, in order, as sentences."""
    signals, runs, moves, trips, acts = lived
    told = [
        *_of_signals(signals),
        *_of_runs(runs),
        *_of_moves(moves),
        *_of_trips(trips, areas_of),
        *_of_acts(acts),
        *_of_skips(entries),
    ]
    return [(at, sentence) for at, _, sentence in sorted(told, key=lambda row: (row[0], row[1]))]


Told = Iterator[tuple[datetime, int, str]]


def _of_signals(signals: Sequence[SignalRecord]) -> Told:
    words = {"data_fault": "DATA FAULT", "concept_drift": "DRIFT", "degradation": "DEGRADATION"}
    for signal in signals:
        word = "notice" if signal.severity == "notice" else words.get(signal.signal_class, "changed input")
        yield signal.at, 0, f"{word}: {signal.reason}"
        if signal.closed_at is not None and signal.closed_at > signal.at:
            yield signal.closed_at, 1, f"over: {signal.reason}"


def _of_runs(runs: Sequence[Row]) -> Told:
    words = {"pass": "passed staging", "refuse": "REFUSED by staging", "hold": "held by staging"}
    for run in runs:
        verdict = words.get(str(run["verdict"]), str(run["verdict"]))
        yield run["at"], 2, f"run ({run['trigger']}: {run['asked']}): {run['candidate']} {verdict}: {run['reason']}"


def _of_moves(moves: Sequence[Row]) -> Told:
    for move in moves:
        if move["to"] != "tripped":
            yield move["at"], 3, f"{move['release']}: {move['from']} -> {move['to']}: {move['reason']}"


def _of_trips(trips: Sequence[TripRecord], areas_of: dict[str, str]) -> Told:
    for trip in trips:
        areas = sorted({areas_of[key] for key in trip.recalled if key in areas_of})
        recall = f"{len(trip.recalled)} forecasts recalled and re-issued ({', '.join(areas)})"
        recall = recall if areas else "no forecast of its own was in use"
        what = "FELL BACK from" if trip.tier == "harm" else "TRIPPED"
        yield trip.at, 4, f"{what} {trip.release} by {trip.tier}: {trip.reason}; {recall}"


def _of_acts(acts: Sequence[ActRecord]) -> Told:
    words = {"approve": "approves", "reject": "REJECTS"}
    for act in acts:
        if act.kind in words:
            role = "" if act.role is None else f" ({act.role})"
            yield act.at, 2, f"{act.name}{role} {words[act.kind]} {act.release}: {act.reason}"


def _of_skips(entries: Sequence[Entry]) -> Told:
    for entry in entries:
        if entry.action == "trigger.skip" and entry.facts.get("code") in {"data_fault", "cooldown", "budget"}:
            yield entry.at, 1, f"no retraining: {entry.facts['why']}"
