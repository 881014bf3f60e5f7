"""Owns the checks of a trial's report: process, environment, golden answers, latency under load. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from recloser.core import RecloserError, Refused
from recloser.staging.policy import GatePolicy
from recloser.staging.trial.report import FRESH, TrialReport
from recloser.staging.verdict import HOLD, PASS, REFUSE, CheckResult

TAIL_CALLS = 1000


def check_trial(report: TrialReport, release: str, policy: GatePolicy) -> Iterator[CheckResult]:
    """Yield the checks of a trial in a separate process, for the candidate `release`."""
    yield _check_package(report, release)
    yield _check_environment(report)
    yield _check_golden(report)
    yield _check_answers(report)
    yield _check_load(report, policy)
    yield _check_start(report, policy)


def not_tried(why: str) -> CheckResult:
    """Return the check of a run that is not tried in a process of its own, by choice or because it is a replay."""
    return CheckResult("trial.process", PASS, f"judged in this process: {why}", {"mode": "this process"})


def failed_trial(error: RecloserError) -> CheckResult:
    """Return the check of a trial that came to nothing: the package is refused there, or nobody can tell now."""
    verdict = REFUSE if isinstance(error, Refused) else HOLD
    return CheckResult("trial.process", verdict, f"the trial came to nothing: {error.explain()}", {"mode": "none"})


def _check_package(report: TrialReport, release: str) -> CheckResult:
    numbers = {"mode": "separate process", "environment": report.environment, "release": report.release}
    if report.release != release:
        reason = f"another package was tried: {report.release} instead of {release}"
        return CheckResult("trial.package", REFUSE, reason, numbers)
    made = "a fresh environment made from its lock" if report.environment == FRESH else "the installed environment"
    reason = f"this package, run by the real gateway in a process of its own, in {made}"
    return CheckResult("trial.package", PASS, reason, numbers)


def _check_environment(report: TrialReport) -> CheckResult:
    """Check that the process has the interpreter and libraries of the package's lock; tell how it differs otherwise.

    Source of the latter: NERC CIP-010-4 R1.5.2, differences between the test and the production environment.
    """
    numbers: dict[str, Any] = {
        "different": {name: list(pair) for name, pair in report.locked.items()},
        "staging": dict(report.staging),
        "differs_from_production": {name: list(pair) for name, pair in report.differs.items()},
    }
    if report.locked:
        name, (locked, found) = next(iter(report.locked.items()))
        more = f", and {len(report.locked) - 1} more" if len(report.locked) > 1 else ""
        reason = f"the environment is not the package's lock: {name} is {found}, locked {locked}{more}"
        return CheckResult("trial.environment", REFUSE, reason, numbers, {"different": 0})
    differs = ", ".join(report.differs) or "nothing"
    reason = (
        f"interpreter, platform and libraries are those of the package's lock; differs from production in: {differs}"
    )
    return CheckResult("trial.environment", PASS, reason, numbers, {"different": 0})


def _check_golden(report: TrialReport) -> CheckResult:
    numbers = {told.where: {"rows": told.rows, "agrees": told.agrees} for told in report.golden}
    wrong = [told for told in report.golden if not told.agrees or told.rows == 0]
    if wrong or not report.golden:
        told = wrong[0] if wrong else None
        reason = "no golden rows were scored" if told is None else f"{told.where}: {told.reason}"
        return CheckResult("trial.golden", REFUSE, reason, numbers, {"tolerance_mw": 0.0})
    where = ", ".join(f"{told.where} ({told.rows} rows)" for told in report.golden)
    return CheckResult(
        "trial.golden", PASS, f"the answers of training, bit for bit: {where}", numbers, {"tolerance_mw": 0.0}
    )


def _check_answers(report: TrialReport) -> CheckResult:
    """Check that answers under load are the model's own, bit for bit, and that nobody had to answer for it."""
    load, name = report.load, "trial.answers"
    numbers = {"compared": load.compared, "different": load.different, "fallbacks": load.fallbacks}
    if load.compared == 0 and load.fallbacks == 0:
        return CheckResult(name, HOLD, "no answer was compared", numbers)
    if load.different or load.fallbacks:
        reason = f"{load.different} answers differ from the model's own, {load.fallbacks} were given by a fallback"
        return CheckResult(name, REFUSE, f"under load: {reason}, of {load.sent}", numbers)
    return CheckResult(name, PASS, f"{load.compared} answers under load are the model's own, bit for bit", numbers)


def _check_load(report: TrialReport, policy: GatePolicy) -> CheckResult:
    load, name = report.load, "latency.load"
    numbers: dict[str, Any] = {
        "rate_per_s": load.rate_per_s,
        "sent": load.sent,
        "answered": load.answered,
        "error_share": load.error_share,
        "errors": dict(load.errors),
        "p50_ms": load.p50_ms,
        "p99_ms": load.p99_ms,
        "p999_ms": load.p999_ms,
        "largest_ms": load.largest_ms,
        "seconds": load.seconds,
        "late_share": load.late_share,
    }
    limits = {"p50_ms": policy.sla_p50_ms, "p99_ms": policy.sla_p99_ms}
    thresholds = {**limits, "p999_ms": policy.sla_p999_ms, "error_share": policy.sla_error_share}
    if load.sent >= TAIL_CALLS:  # fewer calls know nothing of one in a thousand
        limits["p999_ms"] = policy.sla_p999_ms
    told = (
        f"{load.sent} requests at {load.rate_per_s:g}/s: p50 {load.p50_ms:.3g}, p99 {load.p99_ms:.3g}, "
        f"p99.9 {load.p999_ms:.3g} ms from the meant departure, {load.error_share:.2%} errors"
    )
    if not load.error_share <= policy.sla_error_share:
        first = max(load.errors, key=lambda key: load.errors[key])
        return CheckResult(name, REFUSE, f"too many errors ({first}): {told}", numbers, thresholds)
    # Written so that a NaN refuses.
    slow = [key for key, limit in limits.items() if not numbers[key] <= limit]
    if slow:
        return CheckResult(name, REFUSE, f"too slow under load ({', '.join(slow)}): {told}", numbers, thresholds)
    return CheckResult(name, PASS, told, numbers, thresholds)


def _check_start(report: TrialReport, policy: GatePolicy) -> CheckResult:
    numbers = {"start_s": report.start_s, "memory_mb": report.memory_mb}
    thresholds = {"start_s": policy.sla_start_s, "memory_mb": policy.sla_memory_mb}
    told = f"ready after {report.start_s:.1f} s, {report.memory_mb:.0f} MB at most"
    fits = report.start_s <= policy.sla_start_s and report.memory_mb <= policy.sla_memory_mb
    return CheckResult(
        "latency.start", PASS if fits else REFUSE, told if fits else f"too dear: {told}", numbers, thresholds
    )
