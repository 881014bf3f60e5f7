"""Owns waivers: who sets which check of which candidate aside, why and until when. Draws no verdict, writes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from recloser.core import InvalidInput, format_utc, parse_utc, require_utc
from recloser.ledger import Entry

WAIVE = "gate.waive"
"""Action of the audit entry that a waiver is."""
NEVER = ("data.shape", "leak", "metrics", "parity", "performance.output", "safety.answers", "trial.package")
"""Checks that nobody can set aside: without them nothing is known of the candidate, or it is not the candidate."""


@dataclass(frozen=True, slots=True)
class Waiver:
    """One check of one candidate, set aside for a time.

    Attributes:
        candidate: release id.
        check: full name of the check, e.g. 'performance.slices'.
        name: the person who answers for it.
        reason: why.
        given_at, expires_at: aware UTC; from `expires_at` on it has no effect on a verdict.

    Raises:
        InvalidInput: an empty text, a check that cannot be waived, or an expiry that does not lie ahead.
    """

    candidate: str
    check: str
    name: str
    reason: str
    given_at: datetime
    expires_at: datetime

    def __post_init__(self) -> None:
        for what, text in (("check", self.check), ("name", self.name), ("reason", self.reason)):
            if not text.strip():
                raise InvalidInput(f"a waiver without a {what}", where="gate waive", next_step=f"Say the {what}.")
        if self.check in NEVER:
            raise InvalidInput(
                "a check that cannot be waived",
                got=self.check,
                expected="any check but " + ", ".join(NEVER),
                where="gate waive --check",
                next_step="Train or package the candidate anew.",
            )
        given, expires = require_utc(self.given_at, "Waiver.given_at"), require_utc(self.expires_at, "Waiver.expires")
        if expires <= given:
            raise InvalidInput(
                "a waiver that has already expired",
                got=format_utc(expires),
                expected=f"after {format_utc(given)}",
                where="gate waive --expires",
            )

    def in_force(self, now: datetime) -> bool:
        """Return whether it still has an effect at `now` (aware UTC), which may be the past of a run on old data."""
        return now < self.expires_at

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON-ready form: what the audit entry says."""
        return {
            "candidate": self.candidate,
            "check": self.check,
            "name": self.name,
            "reason": self.reason,
            "given_at": format_utc(self.given_at),
            "expires_at": format_utc(self.expires_at),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Waiver:
        """Read what `to_dict` wrote."""
        given, expires = (parse_utc(str(data[name]), f"waiver.{name}") for name in ("given_at", "expires_at"))
        candidate, check, name, reason = (str(data[key]) for key in ("candidate", "check", "name", "reason"))
        return cls(candidate, check, name, reason, given, expires)


def waivers_in(entries: Iterable[Entry], now: datetime) -> tuple[Waiver, ...]:
    """Return the waivers in force at `now` among audit entries in order; a later one for a check replaces an earlier.

    Args:
        entries: of one candidate.
        now: aware UTC.
    """
    newest = {str(entry.facts["check"]): Waiver.from_dict(entry.facts) for entry in entries if entry.action == WAIVE}
    return tuple(newest[check] for check in sorted(newest) if newest[check].in_force(now))
