"""Owns check results and the verdict drawn from them, waivers included. Knows no check and no clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from recloser.core import canonical_json, digest_bytes, jsonable, unknown_name
from recloser.staging.waivers import Waiver

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
        evidence: what it rests on, name -> SHA-256 or id.
        duration_ms: how long the check took; None where nobody measured. No part of the verdict.
        waiver: the waiver that sets a refusal or a hold aside, JSON-ready; None for none.

    Raises:
        InvalidInput: another verdict word.
    """

    name: str
    verdict: str
    reason: str
    numbers: Mapping[str, Any] = field(default_factory=dict)
    thresholds: Mapping[str, Any] = field(default_factory=dict)
    evidence: Mapping[str, str] = field(default_factory=dict)
    duration_ms: float | None = None
    waiver: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.verdict not in _WORDS:
            raise unknown_name("verdict", self.verdict, _WORDS, where=self.name)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> CheckResult:
        """Read what `to_dict` wrote, of this or an earlier release."""
        return cls(
            str(data["name"]),
            str(data["verdict"]),
            str(data["reason"]),
            dict(data["numbers"]),
            dict(data["thresholds"]),
            dict(data.get("evidence", {})),
            data.get("duration_ms"),
            data.get("waiver"),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON-ready form; numbers that are not finite become null."""
        return {
            "name": self.name,
            "verdict": self.verdict,
            "reason": self.reason,
            "numbers": jsonable(self.numbers),
            "thresholds": jsonable(self.thresholds),
            "evidence": jsonable(self.evidence),
            "duration_ms": jsonable(self.duration_ms),
            "waiver": jsonable(self.waiver),
        }

    @property
    def group(self) -> str:
        """Return the part of the name before the dot."""
        return self.name.split(".", maxsplit=1)[0]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate says of a candidate, with every check it rests on, in order."""

    verdict: str
    reason: str
    checks: tuple[CheckResult, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON-ready form."""
        return {"verdict": self.verdict, "reason": self.reason, "checks": [check.to_dict() for check in self.checks]}

    def to_bytes(self) -> bytes:
        """Return the canonical JSON without the checks' durations: the same bytes for the same evidence."""
        untimed = Verdict(self.verdict, self.reason, tuple(replace(check, duration_ms=None) for check in self.checks))
        return canonical_json(untimed.to_dict())

    @property
    def evidence_digest(self) -> str:
        """Return the SHA-256 of `to_bytes`: an approval is bound to it."""
        return digest_bytes(self.to_bytes())


def judge(checks: Sequence[CheckResult], required: Sequence[str] = (), waivers: Sequence[Waiver] = ()) -> Verdict:
    """Draw the verdict: any refusal refuses, else any hold holds, else it passes; nothing to judge is a hold.

    Args:
        checks: results in the order they are to be told.
        required: check names, or groups before the dot, without which there is no pass: missing ones are a hold.
        waivers: those in force; a check that one names stays as it is and no longer decides. A missing check cannot
            be waived.
    """
    by_check = {waiver.check: waiver for waiver in waivers}
    checks = tuple(_marked(check, by_check.get(check.name)) for check in checks)
    deciding = [check for check in checks if check.waiver is None]
    refused = [check for check in deciding if check.verdict == REFUSE]
    if refused:
        return Verdict(REFUSE, _sentence(refused), checks)
    held = [check for check in deciding if check.verdict == HOLD]
    if held:
        return Verdict(HOLD, _sentence(held), checks)
    present = {name for check in checks for name in (check.name, check.group)}
    missing = [name for name in required if name not in present]
    if missing or not checks:
        return Verdict(HOLD, f"not checked: {', '.join(missing) or 'anything'}", checks)
    waived = [check for check in checks if check.waiver is not None]
    if waived:
        names = ", ".join(f"{check.name} by {(check.waiver or {}).get('name')}" for check in waived)
        return Verdict(PASS, f"{len(deciding)} checks passed, {len(waived)} waived: {names}", checks)
    return Verdict(PASS, f"all {len(checks)} checks passed", checks)


def timed(
    timer: Callable[[], float] | None, evidence: Mapping[str, str], checks: Iterable[CheckResult]
) -> Iterator[CheckResult]:
    """Yield results as they are made, each with the time it took to make it and what it rests on.

    Args:
        timer: monotonic seconds; None measures nothing.
        evidence: name -> SHA-256 or id, added to each result's own.
        checks: made lazily, one after another.
    """
    began = None if timer is None else timer()
    for check in checks:
        spent = None if timer is None or began is None else 1000.0 * (timer() - began)
        yield replace(check, duration_ms=spent, evidence={**evidence, **check.evidence})
        began = None if timer is None else timer()


def _marked(check: CheckResult, waiver: Waiver | None) -> CheckResult:
    """Return the check with the waiver that concerns it; one that passed needs none."""
    return replace(check, waiver=None if waiver is None or check.verdict == PASS else waiver.to_dict())


def _sentence(checks: Sequence[CheckResult]) -> str:
    return "; ".join(f"{check.name}: {check.reason}" for check in checks)
