"""Owns what is said about a finished package without touching its content: attestations, and signing it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from recloser.core import Refused, Unavailable
from recloser.registry.building import put_in
from recloser.registry.manifest import MANIFEST, SIGNATURE, write_signature
from recloser.registry.package import Package, open_package
from recloser.registry.trust.attestation import attestation_path, write_attestation
from recloser.registry.trust.keys import PublicKey, Signer


def attest_package(
    package: Package, name: str, predicate_type: str, predicate: Mapping[str, Any], signer: Signer
) -> Path:
    """Put a signed statement about a package beside its manifest, in place of an older one; return the file.

    Args:
        package: opened and verified.
        name: lower-case word, such as 'gate'; one statement per name.
        predicate_type: URI of the kind of statement.
        predicate: JSON-ready content.
        signer: who says so.

    Raises:
        Unavailable: the file cannot be written.
    """
    content = write_attestation((package.release, package.digest), predicate_type, predicate, signer)
    _put(package.path, attestation_path(name), content)
    return package.path / attestation_path(name)


def sign_again(path: Path, digest: str, trusted: Sequence[PublicKey], signer: Signer) -> Package:
    """Sign a package and its attestations anew, whose former key may be revoked by now, and return it opened.

    The old signature is not what this rests on: `digest` is, which the caller knows from a record that the holder of
    the revoked key could not have written (the ledger). The content and its digest stay as they are. Repeatable.

    Args:
        path: the package.
        digest: SHA-256 that the package must have.
        trusted: keys that are or were trusted.
        signer: a key that is valid now.

    Raises:
        Refused: it does not verify even with the former key, or it has another digest.
        Unavailable: it cannot be read or written.
    """
    former = open_package(path, [replace(key, revoked="") for key in (*trusted, signer.public_key)])
    if former.digest != digest:
        raise Refused(
            "not the package that was recorded",
            got=former.digest,
            expected=digest,
            where=str(path),
            next_step="Do not sign it; restore the package from a backup.",
        )
    manifest = (path / MANIFEST).read_bytes()
    _put(path, SIGNATURE, write_signature(manifest, signer))
    for known in former.attestations:
        attest_package(former, known.name, known.predicate_type, known.predicate, signer)
    return open_package(path, [*trusted, signer.public_key])


def _put(package: Path, name: str, content: bytes) -> None:
    try:
        put_in(package, name, content)
    except OSError as error:
        raise Unavailable("a file cannot be written", got=error.strerror, where=str(package / name)) from error
