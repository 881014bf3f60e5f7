"""Owns what asks for a retraining: the trigger, its kinds, and what became of earlier ones. Decides nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from recloser.core import digest_of, format_utc, parse_utc
from recloser.ledger import SignalRecord


class TriggerKind(StrEnum):
    """Why a retraining may be wanted."""

    DRIFT = "drift"
    DEGRADATION = "degradation"
    SCHEDULE = "schedule"
    DATA = "data"
    COMMIT = "commit"
    REGISTRY = "registry"
    API = "api"


@dataclass(frozen=True, slots=True)
class Trigger:
    """One request to retrain.

    Attributes:
        key: what it is about (signal, commit, due date, request id); the same key never starts two runs.
        kind: see `TriggerKind`.
        at: when it arose (aware UTC).
        reason: in plain words.
        areas: areas concerned; empty means all.
        asked_by: the people who asked for it or whose commit it is; empty where nobody did.
    """

    key: str
    kind: TriggerKind
    at: datetime
    reason: str
    areas: tuple[str, ...] = ()
    asked_by: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, object]:
        """Return the trigger as JSON-ready data."""
        return {
            "key": self.key,
            "kind": str(self.kind),
            "at": format_utc(self.at),
            "reason": self.reason,
            "areas": list(self.areas),
            **({"asked_by": list(self.asked_by)} if self.asked_by else {}),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Trigger:
        """Return the trigger written by `to_dict`."""
        return cls(
            key=str(data["key"]),
            kind=TriggerKind(str(data["kind"])),
            at=parse_utc(str(data["at"]), "trigger"),
            reason=str(data["reason"]),
            areas=tuple(data["areas"]),
            asked_by=tuple(data.get("asked_by", ())),
        )


class Code(StrEnum):
    """Why a decision fell as it did; one record per trigger and code."""

    STARTED = "started"
    DISABLED = "disabled"
    DATA_FAULT = "data_fault"
    RUNNING = "running"
    ROLLOUT = "rollout"
    QUEUED = "queued"
    EXPIRED = "expired"
    COOLDOWN = "cooldown"
    BUDGET = "budget"
    COVERED = "covered"
    CODE = "code"


@dataclass(frozen=True, slots=True)
class Past:
    """One decision already recorded: about which trigger key, of which kind, with which code, when (aware UTC)."""

    key: str
    kind: TriggerKind
    code: Code
    at: datetime


@dataclass(frozen=True, slots=True)
class History:
    """What a decision looks back on and around at.

    Attributes:
        past: decisions recorded so far, in any order.
        queued: triggers that wait for a rollout to end.
        faults: areas with an open data fault.
        unmasked: areas whose training data holds faults that no quality flag masks.
        areas: all areas of the project; needed to say what part of them is faulty.
        run_live: a pipeline run is under way.
        rollout_live: a rollout is under way.
        absent: keys of commits that the project's folder does not hold yet.
        begun_at: when the platform began to watch (aware UTC); the first schedule counts from here.
    """

    begun_at: datetime
    past: tuple[Past, ...] = ()
    queued: tuple[Trigger, ...] = ()
    faults: frozenset[str] = field(default_factory=frozenset)
    unmasked: frozenset[str] = field(default_factory=frozenset)
    areas: frozenset[str] = field(default_factory=frozenset)
    run_live: bool = False
    rollout_live: bool = False
    absent: frozenset[str] = field(default_factory=frozenset)

    def last_start(self) -> datetime | None:
        """Return when the last run was started (aware UTC), None if never."""
        return max((item.at for item in self.past if item.code is Code.STARTED), default=None)


def from_signals(signals: Iterable[SignalRecord]) -> tuple[list[Trigger], frozenset[str]]:
    """Return the triggers that open signals make, and the areas under an open data fault.

    concept_drift and degradation ask for a retraining; covariate_shift is shown and asks for nothing; data_fault never
    asks: it forbids. A notice asks for nothing. Closed signals are left out.
    """
    kinds = {"concept_drift": TriggerKind.DRIFT, "degradation": TriggerKind.DEGRADATION}
    triggers: list[Trigger] = []
    faults: set[str] = set()
    for signal in signals:
        if signal.closed_at is not None:
            continue
        if signal.signal_class == "data_fault":
            faults.update(signal.areas)
        elif signal.signal_class in kinds and signal.severity != "notice":
            kind = kinds[signal.signal_class]
            triggers.append(Trigger(f"signal:{signal.key}", kind, signal.at, signal.reason, tuple(signal.areas)))
    return triggers, frozenset(faults)


def commit_trigger(commit: str, now: datetime, authors: tuple[str, ...] = ()) -> Trigger:
    """Return the trigger of a new code commit; `authors` are the people of the commits since the one seen before."""
    return Trigger(f"commit:{commit}", TriggerKind.COMMIT, now, f"new code commit {commit[:12]}", asked_by=authors)


def data_trigger(run: str, days: float, now: datetime) -> Trigger:
    """Return the trigger of so many days of data that the latest run did not know; one for each run."""
    return Trigger(f"data:{run}", TriggerKind.DATA, now, f"{int(days)} days of new data since {run}")


def api_trigger(actor: str, reason: str, now: datetime, areas: tuple[str, ...] = ()) -> Trigger:
    """Return the trigger of a person's or program's request; the same request at the same time is the same trigger."""
    key = f"api:{digest_of([actor, reason, now, list(areas)])[:12]}"
    return Trigger(key, TriggerKind.API, now, f"asked for by {actor}: {reason}", areas, (actor,))
