"""Owns the forms of what people are told about a rollout and about their own decisions. Tells nothing itself."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal

import msgspec

State = Literal[
    "staged", "queued", "awaiting_approval", "shadow", "canary", "probation", "held", "champion", "retired", "tripped",
    "rolled_back", "aborted",
]  # fmt: skip


class Form(msgspec.Struct, forbid_unknown_fields=True):
    """A form whose fields are all there."""


class Next(Form):
    """What the next tick would do."""

    state: State
    reason: str


class Step(Form):
    """Which canary step it is at, counted from 0, of how many."""

    index: int
    of: int


class Lookout(Form):
    """A betting wealth, what it must reach, and when it will at the present rate (null: not within a year)."""

    wealth: float
    needed: float
    days: int
    more_days: int | None
    about: str | None


class Outlook(Form):
    """When the strict tests decide for and against the release."""

    good: Lookout | None
    worse: Lookout


class Proposers(Form):
    """The people behind the release, who may not approve it; strangers are not named in the project file."""

    known: list[str]
    strangers: list[str]


class Yes(Form):
    """An approval that counts."""

    name: str
    role: str
    case: str
    expires_at: datetime


class Person(Form):
    """Somebody who may still approve."""

    name: str
    roles: list[str]


class Approval(Form):
    """What is to be approved (the digest `case`), by how many people, who has and who may."""

    case: str
    needed: int
    roles: list[str]
    given: list[Yes]
    missing: list[str]
    overridden: str
    may_approve: list[Person]


class AreaCorrector(Form):
    """What an area's bias corrector does: the share it has earned, what it adds to the median, until when it is off."""

    share: float
    offset_pct: float
    off_until: date | None


class Corrector(Form):
    """The bias correctors of a release, as of their version."""

    release: str
    version: int
    areas: dict[str, AreaCorrector]


class Explained(Form):
    """Why a rollout is where it is, and what would change it."""

    rollout: str | None
    release: str
    champion: str | None
    state: State
    phase: State
    since: datetime
    as_of: datetime
    time_base: Literal["clock", "data"]
    share: float
    step: Step | None
    reason: str
    next: Next
    would_advance: list[str]
    would_end: list[str]
    deadline: datetime | None
    numbers: dict[str, Any]
    outlook: Outlook | None
    freeze: str
    gate: str
    cohort: list[str]
    proposers: Proposers
    approval: Approval | None
    on_trial: str | None
    corrector: Corrector | None
    sentences: list[str]


class Against(Form):
    """A decision against the advice."""

    kind: str
    release: str
    reason: str


class OfPerson(Form):
    """How often one person followed the advice."""

    name: str
    advised: int
    followed: int
    against: int
    share: float | None


class Agreement(Form):
    """How often people followed the advice."""

    since: datetime | None
    advised: int
    followed: int
    against: int
    share: float | None
    by_kind: dict[str, int]
    by_person: list[OfPerson]
    reasons_against: list[Against]
    sentence: str
