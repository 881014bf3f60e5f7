"""Owns what the pipeline says about a package besides its numbers: its formats, and the signed verdict beside it."""

from __future__ import annotations

from recloser.core import InvalidInput, format_utc
from recloser.ledger import Ledger, VerdictRecord
from recloser.registry import GATE, GATE_VERDICT, Package, Signer, attest_package
from recloser.registry.content.pickles import pickle_files
from recloser.staging import CheckResult


def check_formats(package: Package, *, allow_pickle: bool) -> CheckResult:
    """Say whether every file of the model is data only; a pickle runs code when it is opened.

    Args:
        package: opened, so its signature is valid.
        allow_pickle: the project allows pickles in signed packages.
    """
    found = pickles_of(package)
    numbers = {"pickles": list(found), "signed_by": package.key_id}
    thresholds = {"allow_pickle": allow_pickle}
    if not found:
        return CheckResult("formats", "pass", "every file of the model is data only", numbers, thresholds)
    names = ", ".join(found[:3])
    if allow_pickle:
        reason = f"Python pickles run code when opened: {names}; signed by {package.key_id} and allowed by the project"
        return CheckResult("formats", "pass", reason, numbers, thresholds)
    reason = f"Python pickles run code when opened: {names}; the gateway opens them only with [gateway] allow_pickle"
    return CheckResult("formats", "refuse", reason, numbers, thresholds)


def pickles_of(package: Package) -> tuple[str, ...]:
    """Return the files of a package's model that hold a pickle."""
    return pickle_files((f.path for f in package.files if f.path.startswith("model/")), package.read_bytes)


def attest_verdict(ledger: Ledger, package: Package, signer: Signer) -> str:
    """Put the newest verdict of the ledger, signed, beside the package; return its evidence digest.

    To be called again after a verdict was changed, as by a waiver.

    Raises:
        InvalidInput: the gate has not judged it.
        Unavailable: the package's folder cannot be written.
    """
    found = ledger.find(VerdictRecord, release=package.release, order_by="at", descending=True, limit=1)
    if not found:
        raise InvalidInput("no verdict to attest", got=package.release)
    verdict = found[0]
    told = {
        "at": format_utc(verdict.at),
        "verdict": verdict.verdict,
        "reason": verdict.reason,
        "checks": verdict.checks,
        "evidence_digest": verdict.evidence_digest,
    }
    attest_package(package, GATE, GATE_VERDICT, told, signer)
    return verdict.evidence_digest
