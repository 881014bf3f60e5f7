"""Owns the verbs of signing keys: list, rotate, revoke, and signing a release again. Decides no rollout."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from recloser.app.platform import Platform
from recloser.app.security.trust import REVOCATIONS
from recloser.core import InvalidInput, RecloserError, Refused, format_utc, unknown_name
from recloser.ledger import ReleaseRecord, RouteRecord, StateRecord
from recloser.registry import (
    Revocation,
    RevocationList,
    load_revocations,
    open_package,
    rotate_key,
    save_revocations,
    sign_again,
)


def list_keys(folder: Path) -> dict[str, Any]:
    """Return {"signs", "serial", "keys": [{"key", "state", "reason"}]}: current, former or other, or revoked."""
    with Platform.open(folder) as platform:
        current = platform.signer.public_key.key_id
        rows = [
            {
                "key": key.key_id,
                "state": "revoked" if key.revoked else "signs" if key.key_id == current else "trusted",
                "reason": key.revoked or None,
            }
            for key in platform.trusted
        ]
        return {"signs": current, "serial": _revocations(platform).serial, "keys": rows}


def rotate_signing_key(folder: Path, *, reason: str, actor: str) -> dict[str, Any]:
    """Make a new signing key; what the former one signed stays trusted. Running processes sign with it after a restart.

    Returns:
        {"former", "key", "sentence"}.

    Raises:
        Unavailable: the folder of keys cannot be written.
    """
    with Platform.open(folder) as platform:
        former, signer = rotate_key(platform.layout.key)
        new = signer.public_key.key_id
        with platform.ledger.change(actor, platform.clock.now()) as change:
            change.note("key.rotate", new, {"former": former.key_id, "reason": reason})
        sentence = f"{new} signs from now on; {former.key_id} stays trusted. Restart `recloser up` to use it."
        return {"former": former.key_id, "key": new, "sentence": sentence}


def revoke_signing_key(folder: Path, *, key: str, reason: str, actor: str, since: datetime | None) -> dict[str, Any]:
    """Take trust from a key: nothing that it signed is opened again, unless signed again with a valid key.

    Args:
        folder: project.
        key: id of the key.
        reason: why; part of the signed list and of the audit log.
        actor: who asks.
        since: when it may have come into wrong hands; None for now. Releases that the ledger recorded before can be
            signed again.

    Returns:
        {"key", "serial", "since", "affected": [{"release", "serves", "may_be_signed_again"}], "sentence"}.

    Raises:
        InvalidInput: no such key, or it is the one that signs now.
    """
    with Platform.open(folder) as platform:
        known = {known.key_id: known for known in platform.trusted}
        if key not in known:
            raise unknown_name("key", key, known, "key revoke")
        now = platform.clock.now()
        if since is not None and since > now:
            raise InvalidInput("a revocation in the future", got=format_utc(since), where="--since")
        affected = _affected(platform, key, since or now)
        revocations = _revocations(platform)
        if not revocations.why(key):
            revocations = revocations.adding(Revocation(key, since or now, reason))
            save_revocations(platform.layout.key.parent, revocations, platform.signer)
        state = StateRecord(REVOCATIONS, now, {"serial": revocations.serial})
        with platform.ledger.change(actor, now) as change:
            change.put(state)
            change.note("key.revoke", key, {"reason": reason, "serial": revocations.serial, "releases": len(affected)})
        row = next(known for known in revocations.revoked if known.key_id == key)
        again = [item["release"] for item in affected if item["may_be_signed_again"]]
        advice = f" Check and sign again: {', '.join(again)} (recloser package sign)." if again else ""
        sentence = f"{key} is revoked since {format_utc(row.since)}; {len(affected)} releases no longer open.{advice}"
        return {
            "key": key,
            "serial": revocations.serial,
            "since": row.since,
            "affected": affected,
            "sentence": sentence,
        }


def sign_release(folder: Path, *, release: str, reason: str, actor: str) -> dict[str, Any]:
    """Sign a release again with the key that signs now, if the ledger knew it before its key was revoked.

    Neither the old signature nor any time inside the package is believed: the digest is the ledger's, and so is the
    time at which it was recorded.

    Returns:
        {"release", "digest", "former", "key", "sentence"}.

    Raises:
        InvalidInput: no such release.
        Refused: its key was revoked from an earlier time on, or the package is not the one that was recorded.
    """
    with Platform.open(folder) as platform:
        record = platform.ledger.get(ReleaseRecord, release)
        if record is None:
            releases = [known.key for known in platform.ledger.find(ReleaseRecord)]
            raise unknown_name("release", release, releases, "package sign")
        path = platform.layout.packages / release
        everybody = [replace(key, revoked="") for key in platform.trusted]
        former = open_package(path, everybody).key_id
        row = next((known for known in _revocations(platform).revoked if known.key_id == former), None)
        if row is not None and record.created_at >= row.since:
            raise Refused(
                "recorded after its key may have been in wrong hands",
                got=format_utc(record.created_at),
                expected=f"before {format_utc(row.since)}",
                where=release,
                next_step="Train it again: recloser run",
            )
        signed = sign_again(path, record.digest, platform.trusted, platform.signer)
        with platform.ledger.change(actor, platform.clock.now()) as change:
            change.note("package.sign", release, {"reason": reason, "former": former, "key": signed.key_id})
        sentence = f"{release} is signed by {signed.key_id}; its content and digest are as before."
        return {
            "release": release,
            "digest": signed.digest,
            "former": former,
            "key": signed.key_id,
            "sentence": sentence,
        }


def _revocations(platform: Platform) -> RevocationList:
    return load_revocations(platform.layout.key.parent, platform.trusted)


def _affected(platform: Platform, key: str, since: datetime) -> list[dict[str, Any]]:
    """Return the releases that the key signed, before it is revoked; what does not open is not counted."""
    route = platform.ledger.get(RouteRecord, "route")
    serving = set() if route is None else {route.champion, route.canary, route.shadow, *route.fallback}
    rows = []
    for record in platform.ledger.find(ReleaseRecord, order_by="created_at"):
        try:
            package = open_package(platform.layout.packages / record.key, platform.trusted)
        except RecloserError:
            continue
        if package.key_id == key or any(known.key_id == key for known in package.attestations):
            again = record.created_at < since
            rows.append({"release": record.key, "serves": record.key in serving, "may_be_signed_again": again})
    return rows
