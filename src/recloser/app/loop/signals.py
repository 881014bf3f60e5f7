"""Owns how a signal is kept in the ledger. Raises none."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

from recloser.core import format_utc
from recloser.ledger import SignalRecord
from recloser.monitoring import Severity, Signal, SignalClass
from recloser.monitoring.questions import action_of


def record_of_signal(signal: Signal, closed_at: datetime | None) -> SignalRecord:
    """Return the ledger's record of a signal."""
    return SignalRecord(
        key=signal.key,
        at=signal.at,
        signal_class=signal.signal_class,
        severity=signal.severity,
        areas=list(signal.areas),
        since=signal.since,
        reason=signal.reason,
        evidence=plain(signal.evidence),
        closed_at=closed_at,
    )


def signal_of_record(record: SignalRecord) -> Signal:
    """Return the signal that a record keeps."""
    return Signal(
        key=record.key,
        at=record.at,
        signal_class=cast("SignalClass", record.signal_class),
        severity=cast("Severity", record.severity),
        areas=tuple(record.areas),
        since=record.since,
        reason=record.reason,
        evidence=dict(record.evidence),
    )


def signal_row(record: SignalRecord) -> dict[str, Any]:
    """Return an open signal as status tells it, with the one action that it asks for."""
    return {
        "key": record.key,
        "class": record.signal_class,
        "severity": record.severity,
        "areas": list(record.areas),
        "since": record.since,
        "reason": record.reason,
        "action": action_of(signal_of_record(record)),
    }


def plain(evidence: dict[str, object]) -> dict[str, object]:
    """Return evidence as plain JSON data."""
    return {k: format_utc(v) if isinstance(v, datetime) else v for k, v in evidence.items()}
