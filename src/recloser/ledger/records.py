"""Owns the record types the ledger keeps: what each room may say about itself. Holds no behaviour and no SQL.

Every record is keyed by `key`. Times are aware UTC. `dict` and `list` fields hold plain JSON data. A field added
later must be nullable: old rows then keep their digests.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run of a pipeline; state is running, done or failed."""

    key: str
    trigger: str
    reason: str
    as_of: datetime
    state: str
    started_at: datetime
    finished_at: datetime | None
    candidate: str | None
    verdict: str | None
    parameters: dict[str, Any]


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One step of a run, key = '<run>/<name>'; state is running, done or failed; `result` is kept when done."""

    key: str
    run: str
    name: str
    position: int
    state: str
    attempts: int
    input_digest: str
    result: dict[str, Any] | None
    error: dict[str, Any] | None
    started_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class ReleaseRecord:
    """One release; state is candidate, refused, accepted, champion, retired or tripped."""

    key: str
    digest: str
    path: str
    run: str
    created_at: datetime
    state: str
    model_version: str | None
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class VerdictRecord:
    """What staging said about a release (pass, refuse or hold), with every check."""

    key: str
    release: str
    at: datetime
    verdict: str
    reason: str
    checks: list[Any]
    evidence_digest: str


@dataclass(frozen=True, slots=True)
class RolloutRecord:
    """Where the rollout of one release stands; `share` is the canary's part of the traffic in [0, 1]."""

    key: str
    release: str
    champion: str | None
    state: str
    since: datetime
    started_at: datetime
    finished_at: datetime | None
    share: float
    reason: str
    plan: dict[str, Any]
    evidence: dict[str, Any]


@dataclass(frozen=True, slots=True)
class RouteRecord:
    """Who serves now: the desired state every gateway worker follows, ordered by `epoch`. Its one key is 'route'."""

    key: str
    epoch: int
    champion: str | None
    canary: str | None
    share: float
    cohort: list[str]
    shadow: str | None
    fallback: list[str]
    lease_until: datetime | None
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class ForecastRecord:
    """One forecast handed out for one area: targets, quantile levels, and every model's answer in MW by target."""

    key: str
    area: str
    issued_at: datetime
    made_at: datetime
    first_target: datetime
    last_target: datetime
    release: str
    served_by: str
    reason: str
    targets: list[Any]
    quantiles: list[float]
    answers: dict[str, Any]
    void: bool
    void_at: datetime | None
    void_reason: str | None
    replaced_by: str | None


@dataclass(frozen=True, slots=True)
class PairedDayRecord:
    """One closed day of a rollout's paired test: mean of (canary loss - champion loss) over `n` labels."""

    key: str
    rollout: str
    day: str
    difference: float
    n: int
    closed_at: datetime
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class SignalRecord:
    """What monitoring saw; the class is data_fault, covariate_shift, concept_drift or degradation."""

    key: str
    at: datetime
    signal_class: str
    severity: str
    areas: list[str]
    since: datetime
    reason: str
    evidence: dict[str, Any]
    closed_at: datetime | None


@dataclass(frozen=True, slots=True)
class TripRecord:
    """One automatic rollback: which tier tripped which release and which forecasts were recalled."""

    key: str
    at: datetime
    release: str
    tier: str
    reason: str
    recalled: list[str]


@dataclass(frozen=True, slots=True)
class TriggerRecord:
    """One decision whether to retrain (start or skip), why, and the run it started."""

    key: str
    at: datetime
    kind: str
    reason: str
    decision: str
    why: str
    run: str | None


@dataclass(frozen=True, slots=True)
class PinRecord:
    """A version of a store table that must stay readable, and who needs it."""

    key: str
    table_name: str
    version: int
    digest: str
    owner: str
    at: datetime


@dataclass(frozen=True, slots=True)
class ActRecord:
    """What a person decided about a rollout: approve, reject, hold, resume, override or rollback.

    `followed` tells whether that was the machine's advice (None: neither); an approval counts for `evidence_digest`
    alone, until `expires_at`.
    """

    key: str
    at: datetime
    rollout: str
    release: str
    kind: str
    name: str
    role: str | None
    reason: str
    evidence_digest: str
    expires_at: datetime | None
    followed: bool | None


@dataclass(frozen=True, slots=True)
class FreezeRecord:
    """Promotions stop from `starts_at` until `ends_at` (None: until lifted); a lifted one stays as history."""

    key: str
    at: datetime
    actor: str
    reason: str
    starts_at: datetime
    ends_at: datetime | None
    lifted_at: datetime | None
    lifted_by: str | None
    lift_reason: str | None


@dataclass(frozen=True, slots=True)
class NoticeRecord:
    """What somebody must be told, written together with what it is about; kind is recall, alarm or absence."""

    key: str
    at: datetime
    kind: str
    subject: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class DeliveryRecord:
    """What became of a notice on one channel, key = '<notice>/<channel>'; state is failing, delivered or given_up."""

    key: str
    notice: str
    channel: str
    at: datetime
    state: str
    attempts: int
    error: str | None


@dataclass(frozen=True, slots=True)
class StateRecord:
    """A cursor or the state of a monitor, kept between ticks."""

    key: str
    at: datetime
    state: dict[str, Any]


RECORD_TYPES: tuple[type[Any], ...] = (
    RunRecord,
    StepRecord,
    ReleaseRecord,
    VerdictRecord,
    RolloutRecord,
    RouteRecord,
    ForecastRecord,
    PairedDayRecord,
    SignalRecord,
    TripRecord,
    TriggerRecord,
    PinRecord,
    StateRecord,
    ActRecord,
    FreezeRecord,
    NoticeRecord,
    DeliveryRecord,
)
