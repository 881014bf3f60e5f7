"""Owns the whole course of a life, for the time axis that one moves along: error by day, events, decisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from recloser.app.platform import Platform
from recloser.app.replay.story import rollout_moves, valid_forecasts
from recloser.app.views.area import served_spans
from recloser.app.views.overview import QUIET
from recloser.app.views.sight import usable
from recloser.core import LOAD, format_utc
from recloser.ledger import Entry, ForecastRecord, RolloutRecord, SignalRecord, TripRecord

ENTRIES, RECORDS, SIGNALS = 20_000, 4_000, 2_000
"""So far back a long life is told: decisions, forecasts of an area, signals."""
PLUMBING = (
    *QUIET,
    "run.start",
    "trigger.run",
    "trigger.begin",
    "gateway.limits",
    "console.sign_in_refused",
    "console.act_refused",
    "store.append",
    "backup.write",
)
"""Audit actions that are no decision."""
POINTS = 420
"""Days drawn; of a longer life each point is the worst of its stretch."""


@dataclass(frozen=True, slots=True)
class Course:
    """A life as a whole.

    Attributes:
        first, last: instants between which one moves, aware UTC.
        decisions: audit entries of decisions, oldest first.
        moves: changes of state of rollouts, oldest first; as `rollout_moves`, with the key of the rollout.
        ended: by key of a rollout, when it ended or None.
    """

    first: datetime
    last: datetime
    decisions: Sequence[Entry]
    moves: Sequence[dict[str, Any]]
    ended: dict[str, datetime | None]


def course_of(platform: Platform) -> Course | None:
    """Return the course of a project's life until now; None where nothing has happened yet.

    Raises:
        Unavailable: the ledger cannot be read now.
    """
    now, ledger = platform.clock.now(), platform.ledger
    entries = [entry for entry in reversed(ledger.latest(ENTRIES, without=PLUMBING)) if entry.at <= now]
    made = ledger.find(ForecastRecord, order_by="issued_at", limit=1)
    begins = [record.made_at for record in made] + [entry.at for entry in entries[:1]]
    if not begins:
        return None
    rollouts = ledger.find(RolloutRecord)
    ended = {record.key: record.finished_at for record in rollouts}
    first = min(begins) if len(entries) < ENTRIES else entries[0].at
    told = [entry for entry in entries if entry.action.startswith("rollout.") and "from" in entry.facts]
    moves = [
        {**move, "rollout": str(entry.facts["rollout"])}
        for entry, move in zip(told, rollout_moves(told, rollouts), strict=True)
    ]
    return Course(first, max(first, now), entries, moves, ended)


def area_course(platform: Platform, area: str, course: Course) -> dict[str, Any]:
    """Return what the time axis shows of one area, JSON-ready.

    Returns:
        {"days": [[start of the local day, error in percent of its mean load]], "served": spans of who served by
        target, "marks": [{"at", "kind", "text"}] of trips, signals and changes of traffic}.
    """
    found = platform.ledger.find(
        ForecastRecord,
        area=area,
        order_by="issued_at",
        descending=True,
        limit=RECORDS,
        since=("issued_at", course.first),
    )
    records = [record for record in found if record.made_at <= course.last]
    days = daily_errors(platform, area, records, course)
    spans = served_spans(
        sorted(records, key=lambda record: record.made_at, reverse=True),
        platform.project.resolution,
        (course.first, course.last),
    )
    return {"days": days, "served": spans, "marks": marks_of(platform, area, course)}


def daily_errors(platform: Platform, area: str, records: Sequence[ForecastRecord], course: Course) -> list[list[Any]]:
    """Return [start of the local day, mean absolute error in percent of the day's mean load] where both are known."""
    if not records:
        return []
    forecasts = valid_forecasts(sorted(records, key=lambda record: record.made_at))
    panel = platform.store.read([area], [LOAD], course.first, course.last, as_of=course.last)
    zone = platform.horizon.zone.key
    joined = forecasts.join(usable(panel), on=["area", "at"]).with_columns(
        day=pl.col("at").dt.convert_time_zone(zone).dt.truncate("1d"), miss=(pl.col("q50") - pl.col(LOAD)).abs()
    )
    by_day = joined.group_by("day").agg(pl.col("miss").mean(), pl.col(LOAD).abs().mean()).sort("day")
    rows = [
        [format_utc(day), round(100.0 * miss / load, 3)]
        for day, miss, load in by_day.iter_rows()
        if load and load > 0.0
    ]
    return worst_of_stretches(rows, POINTS)


def worst_of_stretches(rows: Sequence[list[Any]], most: int) -> list[list[Any]]:
    """Return at most `most` rows: of each stretch the one with the largest number, so that no bad day is lost."""
    size = max(1, -(-len(rows) // most))
    return [max(rows[k : k + size], key=lambda row: row[1]) for k in range(0, len(rows), size)]


def marks_of(platform: Platform, area: str, course: Course) -> list[dict[str, Any]]:
    """Return what is marked on the time axis, oldest first: trips, signals about the area, changes of traffic."""
    ledger, marks = platform.ledger, list[dict[str, Any]]()
    for trip in ledger.find(TripRecord, since=("at", course.first), until=("at", course.last), limit=SIGNALS):
        marks.append({"at": trip.at, "kind": "trip", "text": f"{trip.release} tripped: {trip.reason}"})
    for signal in ledger.find(
        SignalRecord, since=("at", course.first), until=("at", course.last), order_by="at", limit=SIGNALS
    ):
        if not signal.areas or area in signal.areas:
            marks.append({"at": signal.at, "kind": "signal", "text": f"{signal.signal_class}: {signal.reason}"})
    for move in course.moves:
        if move["to"] in {"canary", "probation", "champion", "rolled_back"} and move["from"] != move["to"]:
            text = f"{move['release']}: {move['from']} to {move['to']}: {move['reason']}"
            marks.append({"at": move["at"], "kind": "move", "text": text})
    marks.sort(key=lambda mark: (mark["at"], mark["kind"]))
    return [{**mark, "at": format_utc(mark["at"])} for mark in marks]


UNDER_WAY = frozenset({"queued", "shadow", "canary", "awaiting_approval", "held", "probation"})


def rollouts_at(course: Course, at: datetime) -> list[dict[str, Any]]:
    """Return the rollouts under way at `at`, with state, share, reason and since when; JSON-ready."""
    last: dict[str, dict[str, Any]] = {}
    for move in course.moves:
        if move["at"] <= at:
            last[move["rollout"]] = move
    rows = []
    for key, move in last.items():
        end = course.ended.get(key)
        if move["to"] not in UNDER_WAY or (end is not None and end <= at):
            continue
        rows.append(
            {
                "rollout": key,
                "release": move["release"],
                "state": move["to"],
                "since": format_utc(move["at"]),
                "share": move.get("share", 0.0),
                "cohort": move.get("cohort", []),
                "reason": move["reason"],
            }
        )
    return rows


def stride(course: Course) -> timedelta:
    """Return how far one step along the time axis goes: an hour, more in a life of years."""
    hours = (course.last - course.first).total_seconds() / 3600.0
    return timedelta(hours=max(1, -(-hours // 20_000)))
