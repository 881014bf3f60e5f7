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
class Opinion:
    """A trust state, the one sentence of why, and everything else that speaks against full trust."""

    state: Trust
    why: str
    others: tuple[str, ...] = ()


def opinion(facts: AreaFacts, now: datetime) -> Opinion:
    """Return how far the forecast may be trusted at `now` (aware UTC); the worst reason comes first."""
    record = facts.forecast
    if record is None:
        return Opinion(Trust.DO_NOT_USE, "nothing was forecast yet")
    found = sorted(_doubts(facts, record, now), key=lambda doubt: -doubt[0])
    if found:
        return Opinion(found[0][0], found[0][1], tuple(sentence for _, sentence in found[1:]))
    if record.served_by == "canary":
        return Opinion(Trust.AS_PLANNED, f"{record.release} answers as canary, watched beside the champion")
    # After a recall, or in a canary's place: the champion is as good as ever.
    how = record.reason.replace("recall of", "after recall of") or "as planned"
    return Opinion(Trust.AS_PLANNED, f"{record.release} answers {how}")


def _doubts(facts: AreaFacts, record: ForecastRecord, now: datetime) -> list[tuple[Trust, str]]:
    doubts: list[tuple[Trust, str]] = []
    end = record.last_target + facts.resolution
    if facts.recalled:
        doubts.append((Trust.DO_NOT_USE, "its forecast was recalled and nothing has taken its place"))
    if end <= now:
        doubts.append((Trust.DO_NOT_USE, f"its newest forecast ended {_ago(now - end)} ago"))
    elif facts.due is not None and record.issued_at < facts.due and now - facts.due > LATE:
        doubts.append((Trust.WITH_CARE, f"no forecast by the deadline: the issue is {_ago(now - facts.due)} late"))
    if record.served_by.startswith("fallback"):
        rung = record.served_by.partition(":")[2].replace("_", " ")
        doubts.append((Trust.WITH_CARE, f"the fallback '{rung}' answers: {record.reason or 'no model could'}"))
    doubts += [
        (Trust.WITH_CARE, f"{CLASSES.get(signal.signal_class, signal.signal_class)}: {signal.reason}")
        for signal in facts.signals
    ]
    oldest = now - facts.delay - OLD
    if facts.data_until is None:
        doubts.append((Trust.WITH_CARE, "no usable load in the last two days"))
    elif facts.data_until < oldest:
        doubts.append((Trust.WITH_CARE, f"its newest usable load is {_ago(now - facts.data_until)} old"))
    return doubts


def _ago(span: timedelta) -> str:
    """Return a length of time in the largest fitting unit."""
    minutes = int(span.total_seconds() // 60)
    if minutes < 120:
        return f"{minutes} min"
    hours = minutes // 60
    return f"{hours} h" if hours < 48 else f"{hours // 24} days"
