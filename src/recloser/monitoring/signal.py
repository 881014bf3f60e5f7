"""Owns the Signal: what monitoring says, in one shape for every trouble. Does not decide what to do about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from recloser.core import format_utc, short_id

SignalClass = Literal["data_fault", "covariate_shift", "concept_drift", "degradation"]
Severity = Literal["notice", "warning", "critical"]


@dataclass(frozen=True, slots=True)
class Signal:
    """One thing that is wrong or has changed.

    Attributes:
        key: deterministic id; the same trouble has the same key on every rerun.
        at: when it was found (aware UTC).
        signal_class: data_fault (hold, mask, never retrain on it), covariate_shift (watch), concept_drift
            (retrain), degradation (the forecast suffers: fall back or retrain).
        severity: notice, warning or critical.
        areas: where; empty means the whole fleet.
        since: when it began, as far as known (aware UTC).
        reason: the sentence an operator would say.
        evidence: JSON-ready numbers behind it.
    """

    key: str
    at: datetime
    signal_class: SignalClass
    severity: Severity
    areas: tuple[str, ...]
    since: datetime
    reason: str
    evidence: dict[str, Any] = field(default_factory=dict)


def signal_key(signal_class: str, kind: str, areas: tuple[str, ...], since: datetime) -> str:
    """Return the deterministic key of a signal."""
    return short_id("sig", [signal_class, kind, sorted(areas), since])


def name_areas(areas: tuple[str, ...], limit: int = 4) -> str:
    """Return a readable list of areas, shortened beyond `limit`."""
    if not areas:
        return "all areas"
    if len(areas) <= limit:
        return ", ".join(areas)
    return f"{', '.join(areas[: limit - 1])} and {len(areas) - limit + 1} more"


def when(instant: datetime) -> str:
    """Return an instant as an operator reads it: to the minute, UTC."""
    return format_utc(instant.replace(second=0, microsecond=0))
