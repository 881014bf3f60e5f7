"""Owns what the gateway says: answers, incidents and counts. Does not decide them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from recloser.core import FloatArray, Served, Unavailable, format_utc

IncidentKind = Literal["output", "late", "input", "trip", "unavailable"]


@dataclass(frozen=True, slots=True)
class Incident:
    """Something the guard did not let pass.

    Attributes:
        kind: 'output': a model's answer failed the guard; 'late': a model did not come back in time; 'input': an
            area's inputs failed, which no model is blamed for; 'trip': a challenger was cut off; 'unavailable': no
            rung of the ladder could answer for the area.
        reason: short clause.
        at: when (aware UTC).
        area: the area; of a trip, the one whose failure tripped it.
        release: the model blamed, or None.
        tier: 'T0' for what the per-request guard found out about a model, else empty.
        group: index of the area's group in its batch, where there is one.
    """

    kind: IncidentKind
    reason: str
    at: datetime
    area: str | None = None
    release: str | None = None
    tier: str = ""
    group: int | None = field(default=None, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the incident as JSON-ready data."""
        return {
            "kind": self.kind,
            "reason": self.reason,
            "at": format_utc(self.at),
            "area": self.area,
            "release": self.release,
            "tier": self.tier,
        }


@dataclass(frozen=True, slots=True)
class Answer:
    """What one request got.

    Attributes:
        served: one record per answered area, in the order of the rows. `Served.answers` keeps every model's answer
            of the right shape with finite cells, refused ones included: the paired evidence. It holds no champion or
            challenger where the inputs were bad.
        incidents: what the guard held back.
        unavailable: area -> why it got no number at all.
        divergence: challenger -> area -> max |challenger - champion| / recent level (label-free evidence, tier T1).
    """

    served: list[Served]
    incidents: list[Incident]
    unavailable: Mapping[str, Unavailable] = field(default_factory=dict)
    divergence: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scoring:
    """The decision for one batch, group by group (an area of a request), before it becomes records.

    Attributes:
        release: who answers for each group, or None if nobody can.
        served_by: 'champion', 'canary', 'fallback:<name>', 'unavailable', or 'direct' where a model was asked by name.
        reason: empty where the intended model answers.
        answers: per group, model -> MW of shape (rows of the group, n_quantiles).
        incidents: what the guard held back.
        divergence: challenger -> index of the group -> distance to the champion in units of the recent level.
    """

    release: Sequence[str | None]
    served_by: Sequence[str]
    reason: Sequence[str]
    answers: Sequence[dict[str, FloatArray]]
    incidents: list[Incident]
    divergence: Mapping[str, Mapping[int, float]]

    def part(self, start: int, stop: int) -> Scoring:
        """Return the decision for the groups start..stop alone, with their incidents."""
        return Scoring(
            self.release[start:stop],
            self.served_by[start:stop],
            self.reason[start:stop],
            self.answers[start:stop],
            [found for found in self.incidents if found.group is not None and start <= found.group < stop],
            {},
        )


class Tally:
    """Running counts of a gateway; thread safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str, str]] = Counter()

    def add(self, scoring: Scoring, groups: Iterable[int] | None = None) -> None:
        """Count the answers of one batch, or of some of its groups, and its incidents."""
        with self._lock:
            for index in range(len(scoring.release)) if groups is None else groups:
                self._counts["answers", scoring.served_by[index], scoring.release[index] or ""] += 1
        if scoring.incidents:
            self.add_incidents(scoring.incidents)

    def add_incidents(self, incidents: Sequence[Incident]) -> None:
        """Count incidents."""
        with self._lock:
            for incident in incidents:
                self._counts["incidents", incident.kind, incident.release or ""] += 1

    def snapshot(self) -> dict[tuple[str, str, str], int]:
        """Return (family, kind, release) -> count; families are 'answers' and 'incidents'."""
        with self._lock:
            return dict(self._counts)
