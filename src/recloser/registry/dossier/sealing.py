"""Owns the signature of a dossier, in its JSON form and on its page: any changed byte of either file breaks it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recloser.core import canonical_json, digest_bytes
from recloser.registry.dossier.document import document_bytes
from recloser.registry.dossier.page import render_page
from recloser.registry.trust.envelope import refused, seal, unseal
from recloser.registry.trust.keys import PublicKey, Signer

KIND = "application/vnd.recloser.dossier+json"
_BEFORE, _BEHIND = b"<!-- recloser-dossier-signature ", b" -->\n"


@dataclass(frozen=True, slots=True)
class CheckedDossier:
    """A dossier whose signature fits.

    Attributes:
        release, digest: what it is about.
        made_at: when it was made.
        key_id: trusted key that signed it.
        form: 'json' or 'html'.
    """

    release: str
    digest: str
    made_at: str
    key_id: str
    form: str


def write_dossier(document: Mapping[str, Any], signer: Signer) -> tuple[bytes, bytes]:
    """Return the JSON file and the page of a dossier, each with the same signed card in it.

    The card holds the SHA-256 of the document and of the page, so either file can be checked alone.
    """
    body, page = document_bytes(document), render_page(document).encode()
    card = {
        "release": document["release"],
        "digest": document["digest"],
        "made_at": document["made_at"],
        "document_sha256": digest_bytes(body),
        "page_sha256": digest_bytes(page),
    }
    envelope = seal(KIND, card, signer)
    together = canonical_json({"document": document, "envelope": json.loads(envelope)})
    return together, page + _BEFORE + envelope + _BEHIND


def check_dossier(content: bytes, trusted: Sequence[PublicKey], where: str) -> CheckedDossier:
    """Verify a dossier, JSON or page, with nothing but trusted public keys.

    Raises:
        Refused: not a dossier, changed anywhere, or signed by nobody trusted or by a revoked key.
    """
    if content.startswith(b"{"):
        return _json(content, trusted, where)
    page, found, rest = content.rpartition(_BEFORE)
    if not found or not rest.endswith(_BEHIND):
        raise refused("not a signed dossier", where)
    sealed = unseal(rest.removesuffix(_BEHIND), KIND, trusted, where)
    return _checked(sealed.payload, "page_sha256", page, sealed.key_id, where)


def _json(content: bytes, trusted: Sequence[PublicKey], where: str) -> CheckedDossier:
    try:
        data = json.loads(content)
        whole = isinstance(data, dict) and set(data) == {"document", "envelope"} and canonical_json(data) == content
    except (ValueError, RecursionError) as error:
        raise refused("an unreadable dossier", where) from error
    if not whole:
        raise refused("not a signed dossier in canonical form", where)
    sealed = unseal(canonical_json(data["envelope"]), KIND, trusted, where)
    return _checked(sealed.payload, "document_sha256", canonical_json(data["document"]), sealed.key_id, where)


def _checked(card: Mapping[str, Any], name: str, content: bytes, key_id: str, where: str) -> CheckedDossier:
    if card.get(name) != digest_bytes(content):
        raise refused("a changed dossier", where, got=digest_bytes(content)[:16], expected=str(card.get(name))[:16])
    release, digest, made_at = (str(card.get(part)) for part in ("release", "digest", "made_at"))
    return CheckedDossier(release, digest, made_at, key_id, "html" if name == "page_sha256" else "json")
