"""Owns the scenario of a replay: what happens to the feed and which bad candidates turn up. Injects nothing itself."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import polars as pl

from recloser.core import InvalidInput, nearest, parse_utc, unknown_name
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
        creeping_from: when a creeping candidate begins to go wrong (aware UTC), and its growth per day.
        seed: of everything random.
        notes: sentences for the report.
    """

    events: tuple[Event, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    creeping: tuple[datetime, float] | None = None
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


def load_scenario(path: Path) -> Scenario:
    """Read a scenario file.

    Raises:
        InvalidInput: unreadable, an unknown kind or key, or a bad value.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidInput("cannot read the scenario", got=str(error), where=str(path)) from error
    for key in raw:
        if key not in {"event", "candidate", "creeping", "seed", "notes"}:
            raise unknown_name(
                "scenario key", key, ["event", "candidate", "creeping", "seed", "notes"], where=str(path)
            )
    creeping = raw.get("creeping")
    return Scenario(
        events=tuple(_event(item, f"{path}: event {n}") for n, item in enumerate(raw.get("event", []), 1)),
        candidates=tuple(
            _candidate(item, f"{path}: candidate {n}") for n, item in enumerate(raw.get("candidate", []), 1)
        ),
        creeping=None if creeping is None else (_instant(creeping["from"], str(path)), float(creeping["per_day"])),
        seed=int(raw.get("seed", 0)),
        notes=tuple(raw.get("notes", ())),
    )


def _event(item: Mapping[str, Any], where: str) -> Event:
    given = dict(item)
    kind = given.pop("kind", None)
    if kind not in EVENTS:
        raise unknown_name("event kind", str(kind), EVENTS, where=where)
    values = {key: _value(key, value, where) for key, value in given.items()}
    try:
        return EVENTS[kind](**values)
    except TypeError as error:
        raise InvalidInput(
            f"bad keys for event {kind!r}", got=sorted(given), expected=str(error), where=where
        ) from error


def _value(key: str, value: Any, where: str) -> Any:
    if key in {"start", "end"}:
        return _instant(value, where)
    return tuple(value) if isinstance(value, list) else value


def _candidate(item: Mapping[str, Any], where: str) -> Candidate:
    known = [field.name for field in fields(Candidate)]
    for key in item:
        if key not in known:
            guess = nearest(key, known)
            raise InvalidInput("unknown key", got=key, expected=", ".join(known), where=where, next_step=f"{guess}?")
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
