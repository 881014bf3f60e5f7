"""Owns the seam to whoever carries out what people ask. Carries nothing out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Kind = Literal["rollback", "approve", "reject", "hold", "resume", "override", "freeze", "lift", "retrain"]
LONGEST_REASON = 2000
Told = Literal["rollouts", "explain", "freezes", "agreement"]


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody asks.

    Attributes:
        kind: what is to be done.
        subject: the rollout (its id or its release), the freeze, or the release to roll back to; None without one.
        actor: who; the owner of the token where tokens are in use.
        reason: why; that of a rollback is cut to 2,000 characters, for no rollback fails by its reason.
        more: what else the kind takes: `evidence` of an approval, `from` and `to` (aware UTC or None) of a freeze.
        key: the caller's name for this wish, under which it is carried out once; None without one.
    """

    kind: Kind
    subject: str | None
    actor: str
    reason: str
    more: Mapping[str, Any] = field(default_factory=dict)
    key: str | None = None

    def __post_init__(self) -> None:
        """Cut the reason of a rollback."""
        if self.kind == "rollback" and len(self.reason) > LONGEST_REASON:
            object.__setattr__(self, "reason", self.reason[: LONGEST_REASON - 1] + "\u2026")


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a wish, JSON-ready, and whether it had been carried out before under the same key."""

    document: Mapping[str, Any]
    repeated: bool = False


class Desk(Protocol):
    """Carries out wishes and tells how things stand. Thread safe; may block; raises our errors."""

    def carry_out(self, wish: Wish) -> Done:
        """Do it; the same wish under the same key is done once, and answered as it was then.

        Raises:
            InvalidInput: no such subject or person, or the key was used for another wish.
            Refused: a state or a policy forbids it, or the same wish is under way.
            Unavailable: not now.
        """
        ...

    def tell(self, what: Told, subject: str | None) -> Mapping[str, Any]:
        """Return the rollouts under way, the explanation of one, the freezes, or how often advice was followed."""
        ...
