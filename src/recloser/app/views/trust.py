"""Owns the trust state of an area: whether a person may use its forecast as it is, and the one sentence of why.

Pure; reads nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum

from recloser.ledger import ForecastRecord, SignalRecord

LATE = timedelta(minutes=15)
"""An issue may take so long before it counts as missing."""
OLD = timedelta(hours=24)
"""Load may be so old, beyond the delay of telemetry, before forecasts rest on too little."""
CLASSES = {
    "data_fault": "its measurements are in doubt",
    "covariate_shift": "its inputs are unlike those learned from",
    "concept_drift": "its load behaves unlike before",
    "degradation": "its forecasts have become worse",
}


class Trust(IntEnum):
    """How far a forecast may be trusted; larger is worse."""

    AS_PLANNED = 0
    WITH_CARE = 1
    DO_NOT_USE = 2

    @property
    def words(self) -> str:
        """Return the state in plain words."""
        return ("as planned", "with care", "do not use")[self]


@dataclass(frozen=True, slots=True)
class AreaFacts:
    """What the trust in one area's forecast follows from; times are aware UTC.

    Attributes:
        forecast: its newest valid forecast, None without one.
        recalled: a forecast newer than that was recalled and nothing took its place.
        due: the latest issue that should have been made by now.
        data_until: end of its newest usable load, None where none is known of late.
        signals: open signals about it.
        resolution: length of one interval.
        delay: how late its load usually is.
    """

    forecast: ForecastRecord | None
    recalled: bool
    due: datetime | None
    data_until: datetime | None
    signals: Sequence[SignalRecord]
    resolution: timedelta
    delay: timedelta


@dataclass(frozen=True, slots=True)
class Doubt:
    """One reason against full trust: how much, the word of its cause (a signal's key for a signal), since when."""

    state: Trust
    cause: str
    sentence: str
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Opinion:
    """A trust state, the one sentence of why, and all that speaks against full trust, the worst first."""

    state: Trust
    why: str
    doubts: tuple[Doubt, ...] = ()

    @property
    def others(self) -> tuple[str, ...]:
        """The sentences of the doubts after the first."""
        return tuple(doubt.sentence for doubt in self.doubts[1:])


def opinion(facts: AreaFacts, now: datetime) -> Opinion:
    """Return how far the forecast may be trusted at `now` (aware UTC); the worst reason comes first."""
    record = facts.forecast
    if record is None:
        never = Doubt(Trust.DO_NOT_USE, "never", "nothing was forecast yet")
        return Opinion(never.state, never.sentence, (never,))
    found = sorted(_doubts(facts, record, now), key=lambda doubt: -doubt.state)
    if found:
        return Opinion(found[0].state, found[0].sentence, tuple(found))
    if record.served_by == "canary":
        return Opinion(Trust.AS_PLANNED, f"{record.release} answers as canary, watched beside the champion")
    # After a recall, or in a canary's place: the champion is as good as ever.
    how = record.reason.replace("recall of", "after recall of") or "as planned"
    return Opinion(Trust.AS_PLANNED, f"{record.release} answers {how}")


def _doubts(facts: AreaFacts, record: ForecastRecord, now: datetime) -> list[Doubt]:
    doubts: list[Doubt] = []
    end = record.last_target + facts.resolution
    if facts.recalled:
        sentence = "its forecast was recalled and nothing has taken its place"
        doubts.append(Doubt(Trust.DO_NOT_USE, "recalled", sentence, facts.due))
    if end <= now:
        doubts.append(Doubt(Trust.DO_NOT_USE, "ended", f"its newest forecast ended {_ago(now - end)} ago", end))
    elif facts.due is not None and record.issued_at < facts.due and now - facts.due > LATE:
        sentence = f"no forecast by the deadline: the issue is {_ago(now - facts.due)} late"
        doubts.append(Doubt(Trust.WITH_CARE, "late", sentence, facts.due))
    if record.served_by.startswith("fallback"):
        rung = record.served_by.partition(":")[2].replace("_", " ")
        sentence = f"the fallback '{rung}' answers: {record.reason or 'no model could'}"
        doubts.append(Doubt(Trust.WITH_CARE, "fallback", sentence, record.made_at))
    for signal in facts.signals:
        sentence = f"{CLASSES.get(signal.signal_class, signal.signal_class)}: {signal.reason}"
        doubts.append(Doubt(Trust.WITH_CARE, signal.key, sentence, signal.since))
    if facts.data_until is None:
        doubts.append(Doubt(Trust.WITH_CARE, "no_data", "no usable load in the last two days"))
    elif facts.data_until < now - facts.delay - OLD:
        sentence = f"its newest usable load is {_ago(now - facts.data_until)} old"
        doubts.append(Doubt(Trust.WITH_CARE, "old_data", sentence, facts.data_until))
    return doubts


def _ago(span: timedelta) -> str:
    """Return a length of time in the largest fitting unit."""
    minutes = int(span.total_seconds() // 60)
    if minutes < 120:
        return f"{minutes} min"
    hours = minutes // 60
    return f"{hours} h" if hours < 48 else f"{hours // 24} days"
