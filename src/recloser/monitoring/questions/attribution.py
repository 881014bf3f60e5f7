"""Owns whether a change is a fault of the meter or of load itself, by what else is measured. Finds neither."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

from recloser.core import LOAD
from recloser.monitoring.detectors.detector import Change
from recloser.monitoring.finding import Finding
from recloser.monitoring.signal import Severity, Signal, name_areas, signal_key

Cause = Literal["fault", "drift", "unknown"]
_LEVELS = frozenset({"level", "slow"})


@dataclass(frozen=True, slots=True)
class Witnesses:
    """What else measures the same load.

    Attributes:
        covered: areas whose feeders' sum a substation meter checks; its disagreement is a finding low or high.
        areas: all areas that are watched, each by its own meter.
        company: areas that must have changed alike for neighbours to bear each other out.
        share: of all areas that must have.
        around: how far before a change's onset a fault may have begun to explain it.
    """

    covered: frozenset[str] = frozenset()
    areas: tuple[str, ...] = ()
    company: int = 3
    share: float = 0.3
    around: timedelta = timedelta(days=5)


@dataclass(frozen=True, slots=True)
class Attributed:
    """A change with its cause.

    Attributes:
        area: where.
        change: what the detector said.
        cause: fault (an open data fault explains it), drift (a second measurement or the neighbours bear it out) or
            unknown (nothing can tell).
        witness: who says so, in words.
    """

    area: str
    change: Change
    cause: Cause
    witness: str


def attribute(
    changes: Mapping[str, Change], findings: Sequence[Finding], witnesses: Witnesses
) -> tuple[Attributed, ...]:
    """Return the cause of each change.

    Args:
        changes: area -> its newest Change; all those of the last days, so that neighbours can be compared.
        findings: data faults known now, closed ones of the last days included.
        witnesses: what else is measured.
    """
    together = {
        key: [a for a, c in changes.items() if (c.channel in _LEVELS, c.direction) == key]
        for key in {(c.channel in _LEVELS, c.direction) for c in changes.values()}
    }
    found = []
    for area, change in sorted(changes.items()):
        fault = next((f for f in findings if _explains(f, area, change, witnesses.around)), None)
        alike = together[change.channel in _LEVELS, change.direction]
        if fault is not None:
            found.append(Attributed(area, change, "fault", f"the data are at fault: {fault.kind}"))
        elif area in witnesses.covered and change.channel in _LEVELS:
            found.append(Attributed(area, change, "drift", "the substation's meter agrees with the feeder"))
        elif len(alike) >= max(witnesses.company, witnesses.share * len(witnesses.areas)):
            found.append(
                Attributed(area, change, "drift", f"{len(alike)} of {len(witnesses.areas)} areas changed alike")
            )
        else:
            found.append(Attributed(area, change, "unknown", "no second measurement"))
    return tuple(found)


def change_signals(attributed: Sequence[Attributed], now: datetime) -> tuple[Signal, ...]:
    """Return the signals of changes: one for the areas that drifted together, one for each of unknown cause.

    A change that a data fault explains has its signal already: that of the fault.
    """
    signals = []
    drifted = [one for one in attributed if one.cause == "drift"]
    for channel, direction in sorted({(one.change.channel, one.change.direction) for one in drifted}):
        own = [one for one in drifted if (one.change.channel, one.change.direction) == (channel, direction)]
        signals.append(_signal(own, "drift", now))
    signals += [_signal([one], "unknown", now) for one in attributed if one.cause == "unknown"]
    return tuple(signals)


def _explains(finding: Finding, area: str, change: Change, around: timedelta) -> bool:
    if finding.quantity != LOAD or area not in finding.areas or finding.confidence == "unknown":
        return False
    begin, end = _midnight(change.since) - around, _midnight(change.day) + timedelta(days=2)
    return finding.start < end and (finding.active or finding.end > begin)


WORDS = {
    "level": "runs {size}{direction} the forecast",
    "slow": "moves slowly {direction} the forecast at midday",
    "shape": "has another shape over the day than the forecast",
    "scale": "is less regular than the forecast expects",
}


def _signal(own: Sequence[Attributed], cause: Literal["drift", "unknown"], now: datetime) -> Signal:
    change = own[0].change
    areas = tuple(sorted(one.area for one in own))
    since = min(one.change.since for one in own)
    sizes = [one.change.change for one in own if one.change.change == one.change.change]
    size = f"{abs(sum(sizes) / len(sizes)):.1%} " if sizes else ""
    words = WORDS.get(change.channel, "no longer fits the forecast").format(size=size, direction=change.direction)
    tail = "" if cause == "drift" else " It may be the meter: nothing else measures it."
    reason = f"Load of {name_areas(areas)} {words} since about {since.isoformat()} ({own[0].witness}).{tail}"
    evidence: dict[str, Any] = {
        "kind": change.channel,
        "direction": change.direction,
        "cause": cause,
        "witness": own[0].witness,
        "score": {one.area: one.change.score for one in own},
    }
    if sizes:
        evidence["change"] = sum(sizes) / len(sizes)
    severity: Severity = "warning" if cause == "drift" else "notice"
    key = signal_key("concept_drift", f"{change.channel}:{change.direction}", areas, _midnight(since))
    return Signal(key, now, "concept_drift", severity, areas, _midnight(since), reason, evidence)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
