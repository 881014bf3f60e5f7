"""Owns the SQL state and the hash-chained audit log, written in one transaction. Does not decide what to write."""

from recloser.ledger.again import decided_again
from recloser.ledger.audit.chain import Entry, Verification
from recloser.ledger.change import Change
from recloser.ledger.leadership import Leadership
from recloser.ledger.ledger import Ledger, Stored
from recloser.ledger.records import (
    RECORD_TYPES,
    ActRecord,
    DeliveryRecord,
    ForecastRecord,
    FreezeRecord,
    NoticeRecord,
    PairedDayRecord,
    PinRecord,
    ReleaseRecord,
    RolloutRecord,
    RouteRecord,
    RunRecord,
    SignalRecord,
    StateRecord,
    StepRecord,
    TriggerRecord,
    TripRecord,
    VerdictRecord,
)
from recloser.ledger.watching import LedgerWatch

__all__ = [
    "RECORD_TYPES",
    "ActRecord",
    "Change",
    "DeliveryRecord",
    "Entry",
    "ForecastRecord",
    "FreezeRecord",
    "Leadership",
    "Ledger",
    "LedgerWatch",
    "NoticeRecord",
    "PairedDayRecord",
    "PinRecord",
    "ReleaseRecord",
    "RolloutRecord",
    "RouteRecord",
    "RunRecord",
    "SignalRecord",
    "StateRecord",
    "StepRecord",
    "Stored",
    "TriggerRecord",
    "TripRecord",
    "VerdictRecord",
    "Verification",
    "decided_again",
]
