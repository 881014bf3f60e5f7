"""Owns the scenario of a replay: what happens to the feed and which bad candidates turn up. Injects nothing itself."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from recloser.app.replay.answering import Answer
from recloser.app.replay.happening import Number, Surroundings, instant, must_happen, read_event
from recloser.core import InvalidInput, format_utc, nearest, unknown_name
from recloser.models import Model
from recloser.simulation import CreepingModel, Event, corrupt

SABOTAGES = ("", "corrupted", "creeping")
SAYS = ("approve", "reject")
KEYS = ("event", "candidate", "answer", "creeping", "first_history_days", "seed", "notes")
LEAST_FIRST_DAYS = 60
LONGEST_THOUGHT_HOURS = 24 * 60
PER_DAY = Number(-1000, 1000, "percent a day", idle=0)
FIRST_DAYS = Number(LEAST_FIRST_DAYS, 36500, "days", whole=True)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A candidate that turns up at an instant by API.

    Attributes:
        at: when (aware UTC).
        reason: what its maker says.
        sabotage: '' for an honest one, 'corrupted' (trained on spoilt rows), 'creeping' (its answers grow in use).
        actor: who asks.
    """

    at: datetime
    reason: str
    sabotage: str = ""
    actor: str = "engineer"

    def parameters(self) -> dict[str, Any]:
        """Return what the run is told beside the usual."""
        return {"sabotage": self.sabotage} if self.sabotage else {}


@dataclass(frozen=True, slots=True)
class Sabotage:
    """How a bad candidate is made: what happens to its training rows, and to the trained model."""

    rows: Callable[[pl.DataFrame], pl.DataFrame]
    model: Callable[[Model], Model]


@dataclass(frozen=True, slots=True)
class Scenario:
    """What a replay adds to recorded history.

    Attributes:
        events: drifts (real changes) and faults (telemetry only).
        candidates: candidates by API.
        answers: what people say when a rollout asks them; without any nobody is asked.
        creeping_from: when a creeping candidate begins to go wrong (aware UTC), and its growth per day.
        first_history_days: the first model learns from so many days only, as when a feed is new; None for all there is.
        seed: of everything random.
        notes: sentences for the report.
    """

    events: tuple[Event, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    answers: tuple[Answer, ...] = ()
    creeping: tuple[datetime, float] | None = None
    first_history_days: int | None = None
    seed: int = 0
    notes: tuple[str, ...] = ()

    def saboteur(self) -> Mapping[str, Sabotage]:
        """Return how to make each kind of bad candidate."""
        known = {"corrupted": Sabotage(corrupt, _same_model)}
        if self.creeping is not None:
            start, per_day = self.creeping
            known["creeping"] = Sabotage(_same_rows, lambda model: CreepingModel(model, start, per_day))
        return known

    def drifts(self) -> tuple[Event, ...]:
        """Return the events that change the real load, which the truth of a score must hold too."""
        return tuple(event for event in self.events if event.label.signal_class == "concept_drift")


def _same_rows(rows: pl.DataFrame) -> pl.DataFrame:
    return rows


def _same_model(model: Model) -> Model:
    return model


def load_scenario(path: Path, areas: Sequence[str], around: Surroundings | None = None) -> Scenario:
    """Read a scenario file.

    Args:
        path: TOML file.
        areas: the project's areas, which events may name.
        around: what else events may name; by default the usual quantities, and UTC.

    Raises:
        InvalidInput: unreadable, an unknown kind, key or area, or a bad value.
    """
    known = around or Surroundings(areas)
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidInput("cannot read the scenario", got=str(error), where=str(path)) from error
    for key in raw:
        if key not in KEYS:
            raise unknown_name("scenario key", key, KEYS, where=str(path))
    candidates = tuple(_candidate(item, where) for where, item in _tables(raw, "candidate", path))
    creeping = None if "creeping" not in raw else _creeping(raw["creeping"], f"{path}: creeping")
    if creeping is None and any(candidate.sabotage == "creeping" for candidate in candidates):
        raise InvalidInput(
            "a creeping candidate, but it is not said when it begins to creep",
            where=str(path),
            next_step="Add [creeping] with 'from' (a time) and 'per_day' (percent).",
        )
    seed, notes = raw.get("seed", 0), raw.get("notes", [])
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise InvalidInput("seed must be a whole number", got=seed, expected="a whole number", where=f"{path}: seed")
    if not isinstance(notes, list) or not all(isinstance(note, str) for note in notes):
        raise InvalidInput("notes must be sentences", got=notes, expected="a list of texts", where=f"{path}: notes")
    first = raw.get("first_history_days")
    if first is not None:
        first = FIRST_DAYS(first, f"{path}: first_history_days")
    return Scenario(
        first_history_days=first,
        events=tuple(read_event(item, known, where) for where, item in _tables(raw, "event", path)),
        candidates=candidates,
        answers=tuple(_answer(item, where) for where, item in _tables(raw, "answer", path)),
        creeping=creeping,
        seed=seed,
        notes=tuple(notes),
    )


def _tables(raw: Mapping[str, Any], name: str, path: Path) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the tables of an array such as [[event]], each with where it stands."""
    items = raw.get(name, [])
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise InvalidInput(f"{name} must be tables", got=items, expected=f"[[{name}]]", where=str(path))
    return [(f"{path}: {name} {n}", item) for n, item in enumerate(items, 1)]


def must_fit(scenario: Scenario, path: Path, frame: pl.DataFrame, window: tuple[datetime, datetime]) -> None:
    """Raise InvalidInput where an event, a candidate or the creeping would never come in this replay.

    Args:
        scenario: from the file.
        path: the file.
        frame: recorded samples.
        window: first instant and end (excluded), aware UTC.
    """
    for number, event in enumerate(scenario.events, 1):
        must_happen(event, frame, window, f"{path}: event {number}")
    times = [(f"candidate {n}, at", item.at) for n, item in enumerate(scenario.candidates, 1)]
    if scenario.creeping is not None:  # what crept before creeps on
        times.append(("creeping, from", max(scenario.creeping[0], window[0])))
    for name, at in times:
        if not window[0] <= at < window[1]:
            span = f"{format_utc(window[0])} .. {format_utc(window[1])}"
            raise InvalidInput("outside of the replay", got=format_utc(at), expected=span, where=f"{path}: {name}")


def _creeping(item: Any, where: str) -> tuple[datetime, float]:
    if not isinstance(item, dict) or set(item) != {"from", "per_day"}:
        raise InvalidInput("needs a time and percent a day", got=item, expected="'from' and 'per_day'", where=where)
    return instant(item["from"], f"{where}, from"), float(PER_DAY(item["per_day"], f"{where}, per_day"))


def _known_keys(item: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    for key in item:
        if key not in known:
            guess = nearest(key, known)
            raise InvalidInput("unknown key", got=key, expected=", ".join(known), where=where, next_step=f"{guess}?")


def _answer(item: Mapping[str, Any], where: str) -> Answer:
    _known_keys(item, ("name", "says", "reason", "about", "after_hours"), where)
    says, hours = item.get("says", "approve"), item.get("after_hours", 2)
    if says not in SAYS:
        raise unknown_name("answer", str(says), SAYS, where=where)
    if isinstance(hours, bool) or not isinstance(hours, int | float) or not 0 < hours <= LONGEST_THOUGHT_HOURS:
        expected = f"hours after the question, above 0, at most {LONGEST_THOUGHT_HOURS}"
        raise InvalidInput("not a time to answer in", got=hours, expected=expected, where=where)
    try:
        name, reason, about = str(item["name"]), str(item["reason"]), str(item.get("about", ""))
    except KeyError as error:
        raise InvalidInput("a key is missing", expected=str(error), where=where) from error
    return Answer(name, reason, reject=says == "reject", about=about, after=timedelta(hours=hours))


def _candidate(item: Mapping[str, Any], where: str) -> Candidate:
    _known_keys(item, [field.name for field in fields(Candidate)], where)
    sabotage = str(item.get("sabotage", ""))
    if sabotage not in SABOTAGES:
        raise unknown_name("sabotage", sabotage, SABOTAGES[1:], where=where)
    try:
        return Candidate(instant(item["at"], where), str(item["reason"]), sabotage, str(item.get("actor", "engineer")))
    except KeyError as error:
        raise InvalidInput("a key is missing", expected=str(error), where=where) from error
