"""Owns check results and the verdict drawn from them. Knows no check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from recloser.core import digest_of, jsonable, unknown_name

PASS = "pass"  # noqa: S105 - a verdict word
REFUSE = "refuse"
HOLD = "hold"
_WORDS = (PASS, REFUSE, HOLD)


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Outcome of one check.

    Attributes:
        name: '<group>' or '<group>.<check>', e.g. 'data.units'.
        verdict: 'pass', 'refuse' or 'hold' (not enough to tell).
        reason: one plain sentence that names the fault, or what was found in order.
        numbers: what was measured, JSON-ready.
        thresholds: what it was compared with, JSON-ready.

    Raises:
        InvalidInput: another verdict word.
    """

    name: str
    verdict: str
    reason: str
    numbers: Mapping[str, Any] = field(default_factory=dict)
    thresholds: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.verdict not in _WORDS:
            raise unknown_name("verdict", self.verdict, _WORDS, where=self.name)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON-ready form; numbers that are not finite become null."""
        return {
            "name": self.name,
            "verdict": self.verdict,
            "reason": self.reason,
            "numbers": jsonable(self.numbers),
            "thresholds": jsonable(self.thresholds),
        }


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate says of a candidate, with every check it rests on, in order."""

    verdict: str
    reason: str
    checks: tuple[CheckResult, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON-ready form."""
        return {"verdict": self.verdict, "reason": self.reason, "checks": [check.to_dict() for check in self.checks]}

    @property
    def evidence_digest(self) -> str:
        """Return the SHA-256 of the canonical JSON: an approval is bound to it."""
        return digest_of(self.to_dict())


def judge(checks: Sequence[CheckResult], required: Sequence[str] = ()) -> Verdict:
    """Draw the verdict: any refusal refuses, else any hold holds, else it passes; nothing to judge is a hold.

    Args:
        checks: results in the order they are to be told.
        required: check names, or groups before the dot, without which there is no pass: missing ones are a hold.
    """
    checks = tuple(checks)
    refused = [check for check in checks if check.verdict == REFUSE]
    if refused:
        return Verdict(REFUSE, _sentence(refused), checks)
    held = [check for check in checks if check.verdict == HOLD]
    if held:
        return Verdict(HOLD, _sentence(held), checks)
    present = {name for check in checks for name in (check.name, check.name.split(".", maxsplit=1)[0])}
    missing = [name for name in required if name not in present]
    if missing or not checks:
        return Verdict(HOLD, f"not checked: {', '.join(missing) or 'anything'}", checks)
    return Verdict(PASS, f"all {len(checks)} checks passed", checks)


def _sentence(checks: Sequence[CheckResult]) -> str:
    return "; ".join(f"{check.name}: {check.reason}" for check in checks)
