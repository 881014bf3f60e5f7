"""Owns how a verdict gets into the ledger, how a waiver changes it, when it lapses. Judges by `staging.judge` only."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime

from recloser.core import InvalidInput, unknown_name
from recloser.ledger import Ledger, ReleaseRecord, VerdictRecord
from recloser.pipelines.detection.judging import REQUIRED as OF_DETECTORS
from recloser.pipelines.judging import REQUIRED
from recloser.registry import Package
from recloser.staging import PASS, WAIVE, CheckResult, Verdict, Waiver, judge, waivers_in

OPEN_STATES = frozenset({"candidate", "refused", "accepted"})
"""States of a release that a verdict may change; one that serves or served keeps its own."""


def release_record(package: Package, run: str, now: datetime, state: str) -> ReleaseRecord:
    """Return the ledger's record of a package."""
    facts = {"metrics": dict(package.facts.metrics), "scales": dict(package.facts.scales)}
    return ReleaseRecord(package.release, package.digest, str(package.path), run, now, state, None, facts)


def record_verdict(ledger: Ledger, package: Package, run: str, verdict: Verdict, now: datetime) -> None:
    """Write a verdict with its audit entry; the release becomes accepted or refused unless it has served."""
    with ledger.change("staging", now) as change:
        known = ledger.get(ReleaseRecord, package.release)
        if known is None or known.state in OPEN_STATES:
            change.put(release_record(package, run, now, _state(verdict)))
        change.put(verdict_record(package.release, verdict, now))
        facts = {"reason": verdict.reason, "evidence": verdict.evidence_digest}
        change.note(f"staging.{verdict.verdict}", package.release, facts)


def verdict_record(release: str, verdict: Verdict, now: datetime) -> VerdictRecord:
    """Return the ledger's record of a verdict."""
    checks = verdict.to_dict()["checks"]
    key = f"verdict-{release}"
    return VerdictRecord(key, release, now, verdict.verdict, verdict.reason, checks, verdict.evidence_digest)


def required_among(names: Collection[str]) -> tuple[str, ...]:
    """Return the groups of checks without which there is no pass, by the names of those that were made."""
    return OF_DETECTORS if "windows" in names else REQUIRED


def waive(ledger: Ledger, waiver: Waiver, now: datetime) -> Verdict:
    """Write a waiver down and judge the recorded checks again with it, in one change.

    Returns:
        The new verdict: a pure function of the recorded checks and the waivers in force.

    Raises:
        InvalidInput: no verdict, no such check, or the check passed.
    """
    found = ledger.get(VerdictRecord, f"verdict-{waiver.candidate}")
    if found is None:
        raise InvalidInput("no verdict on this candidate", got=waiver.candidate, next_step="Run: recloser run")
    checks = {check["name"]: CheckResult.from_dict(check) for check in found.checks}
    if waiver.check not in checks:
        raise unknown_name("check", waiver.check, list(checks), where="--check")
    if checks[waiver.check].verdict == PASS:
        raise InvalidInput("a check that passed needs no waiver", got=waiver.check, where="--check")
    earlier = waivers_in(ledger.entries(subject=waiver.candidate), now)
    standing = [other for other in earlier if other.check != waiver.check]
    verdict = judge(tuple(checks.values()), required_among(checks), (*standing, waiver))
    with ledger.change(waiver.name, now) as change:
        change.note(WAIVE, waiver.candidate, waiver.to_dict())
        change.put(verdict_record(waiver.candidate, verdict, now))
        release = ledger.get(ReleaseRecord, waiver.candidate)
        if release is not None and release.state in OPEN_STATES:
            change.put(replace(release, state=_state(verdict)))
        facts = {"reason": verdict.reason, "evidence": verdict.evidence_digest}
        change.note(f"staging.{verdict.verdict}", waiver.candidate, facts)
    return verdict


def lapsed(ledger: Ledger, release: str, now: datetime) -> str:
    """Return why the gate no longer passes a release, in plain words: a waiver it rests on has expired; else empty.

    The recorded checks are judged again with the waivers in force at `now` (aware UTC); nothing is measured anew.
    """
    found = ledger.get(VerdictRecord, f"verdict-{release}")
    if found is None or (found.verdict == PASS and not any(check.get("waiver") for check in found.checks)):
        return ""
    checks = tuple(CheckResult.from_dict(check) for check in found.checks)
    verdict = judge(checks, (), waivers_in(ledger.entries(subject=release), now))
    if verdict.verdict == PASS:
        return ""
    given = [check.waiver for check in checks if check.waiver and Waiver.from_dict(check.waiver).expires_at <= now]
    told = [f"the waiver of {one['check']} by {one['name']} expired {one['expires_at']}" for one in given]
    return "; ".join(told) or verdict.reason


def _state(verdict: Verdict) -> str:
    return "accepted" if verdict.verdict == PASS else "refused"
