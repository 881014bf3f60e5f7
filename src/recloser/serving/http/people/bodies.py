"""Owns the forms of what people send and are answered under /v1. Judges nothing but the form."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec

from recloser.core import within_reach
from recloser.serving.http.people.desk import LONGEST_REASON

Reason = Annotated[
    str, msgspec.Meta(min_length=1, max_length=LONGEST_REASON, description="Why; goes into the audit log.")
]
Person = Annotated[
    str,
    msgspec.Meta(max_length=100, description="Who; only where no tokens are in use, else the token's owner acts."),
]
Evidence = Annotated[
    str,
    msgspec.Meta(min_length=8, max_length=64, description="Digest of the evidence that was seen, or its beginning."),
]


class RollbackBody(msgspec.Struct, forbid_unknown_fields=True):
    """Body of `POST /v1/rollback`."""

    reason: str
    to: str | None = None


class ReasonBody(msgspec.Struct, forbid_unknown_fields=True):
    """Body of what needs no more than a reason."""

    reason: Reason
    name: Person | None = None


class ApproveBody(msgspec.Struct, forbid_unknown_fields=True):
    """Body of an approval; it counts for this evidence alone."""

    reason: Reason
    evidence: Evidence
    name: Person | None = None


class FreezeBody(msgspec.Struct, forbid_unknown_fields=True, rename={"start": "from", "end": "to"}):
    """Body of a freeze; `from` absent: now, `to` absent: until it is lifted. Times with an offset."""

    reason: Reason
    start: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    end: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    name: Person | None = None

    def __post_init__(self) -> None:
        """See that pages can show the times.

        Raises:
            InvalidInput: a time that is not in 1900 .. 2199.
        """
        self.start = None if self.start is None else within_reach(self.start, "from")
        self.end = None if self.end is None else within_reach(self.end, "to")


class RolledBack(msgspec.Struct, forbid_unknown_fields=True):
    """What a rollback did: who was stopped, who serves (null: the fallback ladder), which forecasts are void."""

    released: str | None
    champion: str | None
    epoch: int | None
    recalled: list[str]
    reason: str
    sentence: str


class Acted(msgspec.Struct, forbid_unknown_fields=True):
    """What became of a person's act about a rollout; `case` is the digest of the evidence approved."""

    rollout: str
    release: str
    kind: str
    name: str
    role: str | None
    case: str
    state: str
    sentence: str


class Freeze(msgspec.Struct, forbid_unknown_fields=True, rename={"start": "from", "end": "to"}):
    """A freeze that was declared or lifted."""

    freeze: str
    start: datetime
    end: datetime | None
    reason: str
    actor: str
    sentence: str


class Freezes(msgspec.Struct, forbid_unknown_fields=True):
    """Freezes in force, declared ahead, and recurring by the project file."""

    in_force: list[dict[str, Any]]
    declared: list[dict[str, Any]]
    recurring: list[dict[str, Any]]


class Asked(msgspec.Struct, forbid_unknown_fields=True):
    """A request to retrain that now waits for the controller."""

    trigger: str
    at: datetime
    reason: str
    actor: str
    sentence: str


class Taken(msgspec.Struct, forbid_unknown_fields=True):
    """What a delivery came to: the request it made, or made before; or why it asks for nothing (trigger null)."""

    trigger: str | None
    at: datetime | None
    reason: str
    asked_by: list[str]
    repeated: bool
    sentence: str


class RolloutRow(msgspec.Struct, forbid_unknown_fields=True):
    """A rollout under way; `case` is the digest that is to be approved, empty where nobody is asked."""

    key: str
    release: str
    state: str
    reason: str
    case: str


class Rollouts(msgspec.Struct, forbid_unknown_fields=True):
    """The rollouts under way, oldest first."""

    rollouts: list[RolloutRow]
