"""Owns attestations: signed statements about a package that lie beside its manifest and leave its digest alone.

The gate judges the built package, so what it found cannot be part of the content that it judged. A statement follows
in-toto (Statement v1): it names the package by its digest, and fits no other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recloser.registry.trust.envelope import refused, seal, unseal
from recloser.registry.trust.keys import PublicKey, Signer

FOLDER = "attestations"
KIND = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
GATE = "gate"
GATE_VERDICT = "urn:recloser:gate-verdict:1"

_FILE = re.compile(rf"{FOLDER}/([a-z][a-z0-9-]*)\.json")


@dataclass(frozen=True, slots=True)
class Attestation:
    """A verified statement about a package.

    Attributes:
        name: what the file is called, such as 'gate'.
        predicate_type: kind of the statement, a URI.
        predicate: what it says.
        key_id: trusted key that signed it.
    """

    name: str
    predicate_type: str
    predicate: Mapping[str, Any]
    key_id: str


def attestation_path(name: str) -> str:
    """Return where in a package an attestation lies."""
    return f"{FOLDER}/{name}.json"


def attestation_name(path: str) -> str | None:
    """Return the name of the attestation at a path of a package, None if none may lie there."""
    found = _FILE.fullmatch(path)
    return None if found is None else found[1]


def write_attestation(
    subject: tuple[str, str], predicate_type: str, predicate: Mapping[str, Any], signer: Signer
) -> bytes:
    """Return the signed statement.

    Args:
        subject: release and digest of the package it is about.
        predicate_type: URI of the kind of statement.
        predicate: JSON-ready content.
        signer: who says so.
    """
    release, digest = subject
    statement = {
        "_type": STATEMENT,
        "subject": [{"name": release, "digest": {"sha256": digest}}],
        "predicateType": predicate_type,
        "predicate": predicate,
    }
    return seal(KIND, statement, signer)


def read_attestation(content: bytes, name: str, digest: str, trusted: Sequence[PublicKey], where: str) -> Attestation:
    """Return the statement of an attestation about the package of that digest.

    Raises:
        Refused: damaged, signed by nobody trusted or by a revoked key, or about something else.
    """
    sealed = unseal(content, KIND, trusted, where)
    statement = sealed.payload
    if statement.get("_type") != STATEMENT or not isinstance(statement.get("predicate"), dict):
        raise refused("not a statement about a package", where)
    subject = statement.get("subject")
    named = subject[0] if isinstance(subject, list) and len(subject) == 1 and isinstance(subject[0], dict) else {}
    if named.get("digest") != {"sha256": digest}:
        raise refused("an attestation about something else", where, got=str(named)[:100], expected=digest)
    return Attestation(name, str(statement.get("predicateType")), statement["predicate"], sealed.key_id)
