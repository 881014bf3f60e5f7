"""Owns what is kept of operators' forecasts in the ledger: days by month, signals, detectors. Judges nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, cast

from recloser.app.loop.relation.learning import from_row, to_row
from recloser.app.platform import Platform
from recloser.core import format_utc, parse_utc
from recloser.ledger import Change as LedgerChange
from recloser.ledger import StateRecord
from recloser.monitoring import Severity, Signal, SignalClass
from recloser.monitoring.accuracy.incumbent import GivenDay
from recloser.monitoring.detectors import DayErrors

STATE = "incumbent"
MONITORS = "incumbent/monitors"
DAYS = "incumbent/days"
KEPT_MONTHS = 13
GIVEN = 6  # numbers of a GivenDay in a row


@dataclass(frozen=True, slots=True)
class Told:
    """A signal about an operator's forecast, with when it was over (aware UTC; None while it stands)."""

    signal: Signal
    closed_at: datetime | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-ready data."""
        signal = self.signal
        return {
            "key": signal.key,
            "at": format_utc(signal.at),
            "class": signal.signal_class,
            "kind": signal.evidence["kind"],
            "direction": signal.evidence.get("direction"),
            "severity": signal.severity,
            "areas": list(signal.areas),
            "since": format_utc(signal.since),
            "closed_at": None if self.closed_at is None else format_utc(self.closed_at),
            "reason": signal.reason,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Told:
        """Return what `to_dict` wrote; of the evidence kind and direction are kept."""
        signal = Signal(
            data["key"],
            parse_utc(data["at"], STATE),
            cast("SignalClass", data["class"]),
            cast("Severity", data["severity"]),
            tuple(data["areas"]),
            parse_utc(data["since"], STATE),
            data["reason"],
            {"kind": data["kind"], "direction": data["direction"]},
        )
        return cls(signal, None if data["closed_at"] is None else parse_utc(data["closed_at"], STATE))


@dataclass(frozen=True, slots=True)
class GivenErrors:
    """One area's day: the sums of the comparison, and the forecast's errors by block."""

    given: GivenDay
    errors: DayErrors


Histories = dict[str, list[GivenErrors]]


@dataclass(frozen=True, slots=True)
class IncumbentState:
    """What is known of operators' forecasts.

    Attributes:
        last_day: newest closed day that was looked at; empty before the first.
        areas: those that ever had such a forecast.
        told: signals in order, open and over.
        faults: open faults of the feeds, as `finding_to` writes them.
        fitted_at: when the detectors were learned; None before.
        facts: detector (its name) and days (area -> how many were compared).
    """

    last_day: str = ""
    areas: tuple[str, ...] = ()
    told: tuple[Told, ...] = ()
    faults: tuple[dict[str, Any], ...] = ()
    fitted_at: datetime | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-ready data."""
        return {
            "last_day": self.last_day,
            "areas": list(self.areas),
            "told": [one.to_dict() for one in self.told],
            "faults": list(self.faults),
            "fitted_at": None if self.fitted_at is None else format_utc(self.fitted_at),
            "facts": self.facts,
        }


def incumbent_state(platform: Platform) -> IncumbentState:
    """Return what the ledger holds."""
    record = platform.ledger.get(StateRecord, STATE)
    if record is None:
        return IncumbentState()
    kept = record.state
    fitted = kept["fitted_at"]
    return IncumbentState(
        kept["last_day"],
        tuple(kept["areas"]),
        tuple(Told.from_dict(item) for item in kept["told"]),
        tuple(kept["faults"]),
        None if fitted is None else parse_utc(fitted, STATE),
        dict(kept["facts"]),
    )


def remember_given(
    change: LedgerChange, platform: Platform, day: date, found: Mapping[str, GivenErrors], now: datetime
) -> None:
    """Add a day to the record of its month; a day that is there already stays as it is."""
    known = platform.ledger.get(StateRecord, _month_key(day))
    months = {} if known is None else dict(known.state)
    if day.isoformat() not in months and found:
        rows = {area: [*one.given.to_row(), *to_row(one.errors)] for area, one in sorted(found.items())}
        change.put(StateRecord(_month_key(day), now, {**months, day.isoformat(): rows}))


def given_days(platform: Platform, last: date, months: int = KEPT_MONTHS) -> Histories:
    """Return the days of the months up to that of `last` by area, in order."""
    month = last.replace(day=1)
    keys = []
    for _ in range(months):
        keys.append(_month_key(month))
        month = (month - timedelta(days=1)).replace(day=1)
    found: Histories = {}
    for key in reversed(keys):
        record = platform.ledger.get(StateRecord, key)
        for text, rows in sorted(({} if record is None else record.state).items()):
            day = date.fromisoformat(text)
            for area, row in rows.items():
                one = GivenErrors(GivenDay.from_row(day, row[:GIVEN]), from_row(day, row[GIVEN:]))
                found.setdefault(area, []).append(one)
    return found


def _month_key(day: date) -> str:
    return f"{DAYS}/{day:%Y-%m}"
