"""Owns the way from a detector's probabilities, window by window, to events: begun, going on, over. Detects nothing.

Windows overlap, so that one of them says little more than its neighbour: an event begins only after `begin` windows in
a row above the threshold, and ends after `end` windows in a row below half of it (a deadband).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from math import isnan

from recloser.core import InvalidInput, require_utc


@dataclass(frozen=True, slots=True)
class EventRule:
    """When an event begins and ends.

    Attributes:
        threshold: probability from which a window speaks for it.
        begin: windows in a row that begin it.
        end: windows in a row, below half the threshold, that end it.

    Raises:
        InvalidInput: a threshold outside (0, 1), or counts below 1.
    """

    threshold: float = 0.5
    begin: int = 3
    end: int = 5

    def __post_init__(self) -> None:
        if not 0.0 < self.threshold < 1.0 or self.begin < 1 or self.end < 1:
            raise InvalidInput(
                "a rule that says nothing about events",
                got=(self.threshold, self.begin, self.end),
                expected="threshold in (0, 1), counts of at least 1",
                where="EventRule",
            )


@dataclass(frozen=True, slots=True)
class GridEventSeen:
    """An event of one class.

    Attributes:
        kind: class.
        first_at: end of the first window that spoke for it (aware UTC).
        found_at: end of the window that made it an event.
        probability: highest so far.
        over_at: end of the window that ended it; None while it goes on.
    """

    kind: str
    first_at: datetime
    found_at: datetime
    probability: float
    over_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Run:
    above: int = 0
    below: int = 0
    first_at: datetime | None = None
    open: GridEventSeen | None = None


@dataclass(frozen=True, slots=True)
class EventWatch:
    """State of the watch of all classes; a value, moved on by `watched`."""

    rule: EventRule = field(default_factory=EventRule)
    runs: Mapping[str, _Run] = field(default_factory=dict)
    last_at: datetime | None = None

    @property
    def going_on(self) -> tuple[GridEventSeen, ...]:
        """Events that are not over."""
        return tuple(run.open for run in self.runs.values() if run.open is not None)


def watched(
    watch: EventWatch, at: datetime, probabilities: Mapping[str, float]
) -> tuple[EventWatch, tuple[GridEventSeen, ...]]:
    """Return the watch after one window, and the events that began or ended with it.

    A window that is not newer than the last one changes nothing, so that a repeated one is counted once. A class
    without a number (NaN, or absent) neither begins nor ends anything.

    Args:
        watch: state before.
        at: end of the window (aware UTC).
        probabilities: class -> probability.
    """
    at = require_utc(at, "window")
    if watch.last_at is not None and at <= watch.last_at:
        return watch, ()
    runs, changed = dict(watch.runs), []
    for kind, probability in probabilities.items():
        if isnan(probability):
            continue
        runs[kind], news = _step(runs.get(kind, _Run()), watch.rule, kind, at, probability)
        changed += news
    return EventWatch(watch.rule, runs, at), tuple(changed)


def _step(run: _Run, rule: EventRule, kind: str, at: datetime, probability: float) -> tuple[_Run, list[GridEventSeen]]:
    if run.open is not None:
        event = replace(run.open, probability=max(run.open.probability, probability))
        below = run.below + 1 if probability < rule.threshold / 2.0 else 0
        if below < rule.end:
            return _Run(below=below, open=event), []
        return _Run(), [replace(event, over_at=at)]
    if probability < rule.threshold:
        return _Run(), []
    first = at if run.first_at is None else run.first_at
    above = run.above + 1
    if above < rule.begin:
        return _Run(above=above, first_at=first), []
    event = GridEventSeen(kind, first, at, probability)
    return _Run(open=event), [event]
