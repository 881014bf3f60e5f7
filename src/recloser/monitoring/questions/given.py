"""Owns the signals about an operator's own forecast: changes of its relation to load, and faults of its feed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from recloser.core import INCUMBENT
from recloser.monitoring.detectors.detector import Change
from recloser.monitoring.finding import Finding, signal_of
from recloser.monitoring.performance import midnight
from recloser.monitoring.questions.attribution import WORDS
from recloser.monitoring.signal import Signal, name_areas, signal_key

TOGETHER = timedelta(days=21)


def relation_signal(area: str, change: Change, ours: Change | None, name: str, now: datetime) -> Signal:
    """Return the signal of a change between load and an operator's forecast.

    Args:
        area: where.
        change: what its detector said.
        ours: the newest change that our own watch of the same area found, against calendar and weather or against our
            own forecast; the same direction at the same time means that load has changed. None: it found none.
        name: of the forecast, as people call it.
        now: aware UTC.
    """
    size = f"{abs(change.change):.1%} " if change.change == change.change else ""
    words = WORDS.get(change.channel, "no longer fits the forecast").format(size=size, direction=change.direction)
    words = words.replace("the forecast", f"the {name}")
    load = ours is not None and ours.direction == change.direction and abs(ours.since - change.since) <= TOGETHER
    who = "load has changed: our own watch saw it too" if load else "our own watch saw no such change of load"
    reason = f"Load of {area} {words} since about {change.since.isoformat()}; {who}."
    key = signal_key("concept_drift", f"incumbent:{change.channel}:{change.direction}", (area,), midnight(change.since))
    evidence = {
        "kind": change.channel,
        "direction": change.direction,
        "cause": "load" if load else "forecast",
        "score": change.score,
        **({"change": change.change} if change.change == change.change else {}),
    }
    return Signal(key, now, "concept_drift", "warning", (area,), midnight(change.since), reason, evidence)


def feed_signal(finding: Finding, name: str, now: datetime) -> Signal:
    """Return the signal of a fault of the feed of an operator's forecast."""
    found = signal_of(replace(finding, quantity=INCUMBENT), now)
    return replace(found, reason=found.reason.replace(INCUMBENT, f"The {name}", 1))


def stamp_signal(area: str, hours: int, since: datetime, name: str, now: datetime) -> Signal:
    """Return the signal of an operator's forecast that fits load only when moved by an hour."""
    word = "late" if hours > 0 else "early"
    reason = f"The {name} of {name_areas((area,))} is stamped an hour {word} since {since:%Y-%m-%d}."
    key = signal_key("data_fault", f"incumbent:shift:{hours}", (area,), since)
    evidence: Mapping[str, object] = {"kind": "shift", "quantity": INCUMBENT, "hours": hours}
    return Signal(key, now, "data_fault", "warning", (area,), since, reason, dict(evidence))
