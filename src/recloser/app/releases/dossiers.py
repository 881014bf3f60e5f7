"""Owns the verbs of a release dossier: gathering what package and ledger hold, writing it signed, verifying it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recloser import __version__
from recloser.app.platform import Platform
from recloser.app.releases.packages import released, trusted_by
from recloser.core import RecloserError, Unavailable
from recloser.ledger import (
    Entry,
    ReleaseRecord,
    RolloutRecord,
    RunRecord,
    TripRecord,
    VerdictRecord,
)
from recloser.registry import Package, open_package, replace_file
from recloser.registry.dossier.document import dossier_document
from recloser.registry.dossier.facts import DossierFacts
from recloser.registry.dossier.sealing import check_dossier, write_dossier

LATEST_SOURCES = 20


def make_dossier(folder: Path, *, release: str, out: Path) -> dict[str, Any]:
    """Write the dossier of a release, `<release>.html` and `<release>.json`, both signed.

    Returns:
        {"release", "html", "json", "signed_by", "sections", "checks", "sentence"}.

    Raises:
        InvalidInput: no such release.
        Refused: its package does not verify.
        Unavailable: the files cannot be written.
    """
    with Platform.open(folder) as platform:
        document, text, page = sealed_dossier(platform, release)
        key = platform.signer.public_key.key_id
    html, json = out / f"{release}.html", out / f"{release}.json"
    replace_file(json, text, mode=0o644)
    replace_file(html, page, mode=0o644)
    return {
        "release": release,
        "html": str(html),
        "json": str(json),
        "signed_by": key,
        "sections": [section["id"] for section in document["sections"]],
        "checks": len(document["checks"]),
        "sentence": f"{html} and {json.name}, signed by {key}",
    }


def sealed_dossier(platform: Platform, release: str) -> tuple[dict[str, Any], bytes, bytes]:
    """Return the dossier of a release: its document, and the signed JSON file and page.

    Raises:
        InvalidInput: no such release.
        Refused: its package does not verify.
    """
    document = dossier_document(gather(platform, release))
    return document, *write_dossier(document, platform.signer)


def verify_dossier(file: Path, *, folder: Path, keys: Path | None) -> dict[str, Any]:
    """Verify a dossier, page or JSON, with public keys alone.

    Returns:
        {"ok", "release", "digest", "made_at", "signed_by", "form", "sentence"}.

    Raises:
        Refused: changed anywhere, or signed by nobody trusted.
        Unavailable: it cannot be read.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise Unavailable("the dossier cannot be read", got=error.strerror, where=str(file)) from error
    found = check_dossier(content, trusted_by(folder, keys), str(file))
    return {
        "ok": True,
        "release": found.release,
        "digest": found.digest,
        "made_at": found.made_at,
        "signed_by": found.key_id,
        "form": found.form,
        "sentence": f"as signed by {found.key_id} on {found.made_at}, about {found.release}",
    }


def gather(platform: Platform, release: str) -> DossierFacts:
    """Return what package and ledger hold about a release.

    Raises:
        InvalidInput: no such release.
        Refused: its package does not verify.
    """
    ledger, package = platform.ledger, released(platform, release)
    record = ledger.get(ReleaseRecord, release)
    assert record is not None  # `released` has found it
    run = ledger.get(RunRecord, record.run)
    verdicts = ledger.find(VerdictRecord, release=release, order_by="at", descending=True, limit=1)
    entries = [*ledger.entries(subject=record.run), *ledger.entries(subject=release)]
    first = min((entry.seq for entry in entries), default=0)
    return DossierFacts(
        project=platform.project.project.name,
        version=__version__,
        made_at=platform.clock.now(),
        package=package,
        record=record,
        run=run,
        verdict=verdicts[0] if verdicts else None,
        rollouts=ledger.find(RolloutRecord, release=release, order_by="started_at"),
        trips=ledger.find(TripRecord, release=release, order_by="at"),
        champion=_champion(platform, package),
        entries=sorted(entries, key=lambda entry: entry.seq),
        sources=_sources(platform, first),
        audit=ledger.verify(),
        fallback=tuple(platform.ladder(None)),
    )


def _champion(platform: Platform, package: Package) -> Package | None:
    """Return the package it was compared with; None if there was none, or it is gone."""
    name = package.facts.notes.get("champion_at_test")
    if not name:
        return None
    try:
        return open_package(platform.layout.packages / str(name), platform.trusted)
    except RecloserError:
        return None


def _sources(platform: Platform, before: int) -> list[Entry]:
    found = [e for e in platform.ledger.entries() if e.action == "store.ingest" and (not before or e.seq < before)]
    return found[-LATEST_SOURCES:]
