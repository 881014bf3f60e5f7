"""Owns setting a check aside by a named person, for a time, and what follows from it. Judges nothing itself."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from recloser.app.gate.explaining import verdict_on
from recloser.app.loop.control_loop import ControlLoop, LoopOptions
from recloser.app.platform import Platform
from recloser.app.verbs import newest_instant
from recloser.core import VirtualClock
from recloser.ledger import RolloutRecord
from recloser.pipelines import waive
from recloser.pipelines.proving import attest_verdict
from recloser.registry import open_package
from recloser.staging import PASS, Waiver


def waive_check(
    folder: Path, candidate: str, *, check: str, name: str, reason: str, expires: datetime
) -> dict[str, Any]:
    """Set one check of a candidate aside, judge its recorded evidence again and roll it out if it passes now.

    Args:
        folder: project.
        candidate: release, or the run that made it.
        check: full name of the check.
        name: person who answers for it.
        reason: why.
        expires: when the waiver loses its effect (aware UTC).

    Returns:
        {"candidate", "check", "verdict", "reason", "waiver", "evidence_digest"}.

    Raises:
        InvalidInput: no such candidate or check, a check that passed or cannot be waived, an expiry in the past.
    """
    with Platform.open(folder) as platform:
        now = platform.clock.now()
        before = verdict_on(platform, candidate)
        waiver = Waiver(before.release, check, name, reason, now, expires)
        verdict = waive(platform.ledger, waiver, now)
        package = open_package(platform.layout.packages / before.release, platform.trusted)
        attest_verdict(platform.ledger, package, platform.signer)
        if verdict.verdict == PASS and not platform.ledger.find(RolloutRecord, release=before.release, limit=1):
            platform.clock = VirtualClock(newest_instant(platform))  # a rollout lives in the time of its data
            loop = ControlLoop(platform, LoopOptions())
            loop.retraining.submit(before.release, f"{check} waived by {name}", name)
            loop.advance()
        return {
            "candidate": before.release,
            "check": check,
            "verdict": verdict.verdict,
            "reason": verdict.reason,
            "waiver": waiver.to_dict(),
            "evidence_digest": verdict.evidence_digest,
        }
