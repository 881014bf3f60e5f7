"""Owns the manifest and signature texts of a package: writing and strict reading. Pure, no I/O."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from recloser.core import Refused, canonical_json
from recloser.registry.trust.attestation import FOLDER
from recloser.registry.trust.envelope import find_key
from recloser.registry.trust.keys import PublicKey, Signer

FORMAT = "recloser-package/1"
MANIFEST = "manifest.json"
SIGNATURE = "signature.json"
RELEASE = "release.json"

# Signed in front of the manifest, so that a signature made for something else never fits a package.
_DOMAIN = f"{FORMAT}\n".encode()
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+=@ -]*")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file of a package: relative POSIX path, SHA-256 (64 hex digits) and size in bytes."""

    path: str
    sha256: str
    size: int


def safe_path(path: str) -> bool:
    """Tell whether `path` is relative, stays inside its folder and has plain names only (no '..', no hidden file)."""
    parts = path.split("/")
    return all(_PART.fullmatch(part) for part in parts) and path not in {MANIFEST, SIGNATURE} and parts[0] != FOLDER


def write_manifest(entries: Iterable[FileEntry]) -> bytes:
    """Return the canonical manifest bytes: files sorted by path. Their SHA-256 is the package digest."""
    files = [{"path": e.path, "sha256": e.sha256, "size": e.size} for e in sorted(entries, key=lambda e: e.path)]
    return canonical_json({"format": FORMAT, "files": files})


def read_manifest(content: bytes, where: str) -> tuple[FileEntry, ...]:
    """Return the entries of a manifest, sorted by path.

    Raises:
        Refused: not the canonical form, another format, an unsafe path, or a path twice.
    """
    data = _canonical(content, "manifest", where)
    if not isinstance(data, dict) or data.get("format") != FORMAT or set(data) != {"format", "files"}:
        raise _refused("a manifest of another format", where, expected=FORMAT)
    if not isinstance(data["files"], list):
        raise _refused("a manifest without a list of files", where)
    entries = tuple(_entry(item, where) for item in data["files"])
    paths = [entry.path for entry in entries]
    if paths != sorted(set(paths)):
        raise _refused("manifest paths that are unsorted or stand twice", where)
    return entries


def write_signature(manifest: bytes, signer: Signer) -> bytes:
    """Return the signature file's bytes for a manifest."""
    signature = signer.sign(_DOMAIN + manifest)
    return canonical_json({"algorithm": "ed25519", "key": signer.public_key.key_id, "signature": signature})


def check_signature(manifest: bytes, content: bytes, trusted: Sequence[PublicKey], where: str) -> PublicKey:
    """Return the trusted key that signed the manifest.

    Raises:
        Refused: unreadable signature file, an unknown or revoked key, or a signature that does not fit.
    """
    data = _canonical(content, "signature", where)
    if not isinstance(data, dict) or set(data) != {"algorithm", "key", "signature"} or data["algorithm"] != "ed25519":
        raise _refused("a signature file of another form", where, expected="algorithm ed25519, key, signature")
    key = find_key(data["key"], trusted, where)
    if not isinstance(data["signature"], str) or not key.verifies(_DOMAIN + manifest, data["signature"]):
        raise _refused("the signature does not fit the manifest", where, got=f"signed as {key.key_id}")
    return key


def _canonical(content: bytes, kind: str, where: str) -> Any:
    try:
        data = json.loads(content)
        same = canonical_json(data) == content
    except (ValueError, RecursionError) as error:
        raise _refused(f"an unreadable {kind}", where) from error
    if not same:
        raise _refused(f"a {kind} that is not in canonical form", where)
    return data


def _entry(item: Any, where: str) -> FileEntry:
    if not isinstance(item, dict) or set(item) != {"path", "sha256", "size"}:
        raise _refused("a manifest entry of another form", where, got=str(item)[:200])
    path, sha256, size = item["path"], item["sha256"], item["size"]
    if not isinstance(path, str) or not safe_path(path):
        raise _refused("an unsafe path in the manifest", where, got=str(path)[:200])
    if not isinstance(sha256, str) or not _DIGEST.fullmatch(sha256) or type(size) is not int or size < 0:
        raise _refused("a manifest entry without digest or size", where, got=path)
    return FileEntry(path, sha256, size)


def _refused(what: str, where: str, *, got: str | None = None, expected: str | None = None) -> Refused:
    step = "Do not use this package; fetch or build it again, and find out who changed it."
    return Refused(what, got=got, expected=expected, where=where, next_step=step)
