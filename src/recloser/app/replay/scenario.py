"""Owns the scenario of a replay: what happens to the feed and which bad candidates turn up. Injects nothing itself."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from recloser.app.replay.answering import Answer
from recloser.core import InvalidInput, nearest, parse_utc, parse_zone, unknown_name
from recloser.models import Model
from recloser.simulation import (
    CreepingModel,
    Event,
    Fahrenheit,
    Gap,
    LevelDrift,
    Lockdown,
    MiddayErosion,
    Scaled,
    Spikes,
    StampShift,
    Stuck,
    corrupt,
    low_actuals,
)

EVENTS: dict[str, Callable[..., Event]] = {
    "lockdown": Lockdown,
    "level_drift": LevelDrift,
    "midday_erosion": MiddayErosion,
    "gap": Gap,
    "stuck": Stuck,
    "scaled": Scaled,
    "fahrenheit": Fahrenheit,
    "stamp_shift": StampShift,
    "spikes": Spikes,
    "low_actuals": low_actuals,
}
SABOTAGES = ("", "corrupted", "creeping")
SAYS = ("approve", "reject")
KEYS = ("event", "candidate", "answer", "creeping", "first_history_days", "seed", "notes")
LEAST_FIRST_DAYS = 60
LONGEST_THOUGHT_HOURS = 24 * 60
DAYS = ("onset", "lasting", "recovery")


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


def load_scenario(path: Path, areas: Sequence[str]) -> Scenario:
    """Read a scenario file.

    Args:
        path: TOML file.
        areas: the project's areas, which events may name.

    Raises:
        InvalidInput: unreadable, an unknown kind, key or area, or a bad value.
    """
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
    if not isinstance(seed, int) or not isinstance(notes, list):
        raise InvalidInput("seed is a whole number and notes a list of sentences", got=(seed, notes), where=str(path))
    first = raw.get("first_history_days")
    if first is not None and (isinstance(first, bool) or not isinstance(first, int) or first < LEAST_FIRST_DAYS):
        raise InvalidInput(
            "the first model needs some history",
            got=first,
            expected=f"a whole number of days, at least {LEAST_FIRST_DAYS}",
            where=f"{path}: first_history_days",
        )
    return Scenario(
        first_history_days=first,
        events=tuple(_event(item, areas, where) for where, item in _tables(raw, "event", path)),
        candidates=candidates,
        answers=tuple(_answer(item, where) for where, item in _tables(raw, "answer", path)),
        creeping=creeping,
        seed=seed,
        notes=tuple(str(note) for note in notes),
    )


def _tables(raw: Mapping[str, Any], name: str, path: Path) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the tables of an array such as [[event]], each with where it stands."""
    items = raw.get(name, [])
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise InvalidInput(f"{name} must be tables", got=items, expected=f"[[{name}]]", where=str(path))
    return [(f"{path}: {name} {n}", item) for n, item in enumerate(items, 1)]


def _creeping(item: Any, where: str) -> tuple[datetime, float]:
    known = ("from", "per_day")
    if not isinstance(item, dict) or set(item) != set(known) or not isinstance(item["per_day"], int | float):
        raise InvalidInput("needs a time and percent a day", got=item, expected="'from' and 'per_day'", where=where)
    return _instant(item["from"], where), float(item["per_day"])


def _event(item: Mapping[str, Any], areas: Sequence[str], where: str) -> Event:
    given = dict(item)
    kind = given.pop("kind", None)
    if kind not in EVENTS:
        raise unknown_name("event kind", str(kind), EVENTS, where=where)
    values = {key: _value(key, value, where) for key, value in given.items()}
    try:
        event = EVENTS[kind](**values)
        label = event.label  # built from the values: finds a text where a number or a time belongs
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidInput(
            f"bad keys or values for event {kind!r}", got=given, expected=str(error), where=where
        ) from error
    for area in label.areas:
        if area not in areas:
            raise unknown_name("area", area, areas, where=where)
    return event


def _value(key: str, value: Any, where: str) -> Any:
    if key in {"start", "end"}:
        return _instant(value, where)
    if key == "areas" and not (isinstance(value, list) and all(isinstance(name, str) for name in value)):
        raise InvalidInput("areas must be a list of names", got=value, where=where)
    if key == "zone":
        return parse_zone(str(value), where).key
    if key in DAYS:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InvalidInput(f"{key} is a number of days", got=value, where=where)
        return timedelta(days=value)
    return tuple(value) if isinstance(value, list) else value


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
        return Candidate(_instant(item["at"], where), str(item["reason"]), sabotage, str(item.get("actor", "engineer")))
    except KeyError as error:
        raise InvalidInput("a key is missing", expected=str(error), where=where) from error


def _instant(value: Any, where: str) -> datetime:
    if isinstance(value, datetime):
        return parse_utc(value.isoformat(), where)
    if isinstance(value, date):
        return parse_utc(datetime.combine(value, time(0)).isoformat() + "Z", where)
    return parse_utc(str(value), where)
