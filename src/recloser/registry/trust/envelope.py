"""Owns signed JSON documents: one canonical text per document in a DSSE envelope. Knows no kind of document."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recloser.core import Refused, canonical_json
from recloser.registry.trust.keys import PublicKey, Signer


@dataclass(frozen=True, slots=True)
class Sealed:
    """A signed document that was verified: its content, and the trusted key that signed it."""

    payload: Mapping[str, Any]
    key_id: str


def seal(kind: str, payload: Mapping[str, Any], signer: Signer) -> bytes:
    """Return the canonical envelope of a JSON document (DSSE 1.0 with one Ed25519 signature).

    The signature covers `kind` too, so that a document of one kind never passes for one of another.

    Args:
        kind: media type of the document.
        payload: JSON-ready content.
        signer: who vouches for it.
    """
    body = canonical_json(payload)
    signature = bytes.fromhex(signer.sign(pre_authentication(kind, body)))
    return canonical_json(
        {
            "payload": _text(body),
            "payloadType": kind,
            "signatures": [{"keyid": signer.public_key.key_id, "sig": _text(signature)}],
        }
    )


def unseal(content: bytes, kind: str, trusted: Sequence[PublicKey], where: str) -> Sealed:
    """Return the document of an envelope after verifying all of its bytes.

    Raises:
        Refused: another form or kind, a key that is unknown or revoked, or a signature that does not fit.
    """
    data = _read(content, where)
    if not isinstance(data, dict) or set(data) != {"payload", "payloadType", "signatures"}:
        raise refused("not a signed document", where)
    if data["payloadType"] != kind:
        raise refused("a signed document of another kind", where, got=str(data["payloadType"])[:100], expected=kind)
    signatures = data["signatures"]
    if not isinstance(signatures, list) or len(signatures) != 1 or not isinstance(signatures[0], dict):
        raise refused("not exactly one signature", where)
    if set(signatures[0]) != {"keyid", "sig"}:
        raise refused("a signature of another form", where)
    body, signature = _bytes(data["payload"], where), _bytes(signatures[0]["sig"], where)
    key = find_key(signatures[0]["keyid"], trusted, where)
    if not key.verifies(pre_authentication(kind, body), signature.hex()):
        raise refused("the signature does not fit the document", where, got=f"signed as {key.key_id}")
    payload = _read(body, where)
    if not isinstance(payload, dict):
        raise refused("a signed document that is no object", where)
    return Sealed(payload, key.key_id)


def find_key(key_id: Any, trusted: Sequence[PublicKey], where: str) -> PublicKey:
    """Return the trusted key of that id.

    Raises:
        Refused: no such key is trusted, or it is revoked.
    """
    for key in trusted:
        if key.key_id != key_id:
            continue
        if key.revoked:
            raise Refused(
                "signed by a revoked key",
                got=key.key_id,
                where=where,
                expected=f"a signature made anew ({key.revoked})",
                next_step="Check that the content is what was released, then run: recloser package sign RELEASE",
            )
        return key
    known = ", ".join(key.key_id for key in trusted if not key.revoked) or "(no trusted key given)"
    raise refused("signed by a key that is not trusted", where, got=str(key_id)[:100], expected=f"one of {known}")


def pre_authentication(kind: str, body: bytes) -> bytes:
    """Return what is signed: DSSE's pre-authentication encoding (secure-systems-lab/dsse, protocol.md)."""
    name = kind.encode()
    return b"DSSEv1 %d %b %d %b" % (len(name), name, len(body), body)


def refused(what: str, where: str, *, got: str | None = None, expected: str | None = None) -> Refused:
    """Build the refusal of something whose origin is not proven."""
    step = "Do not use it; fetch or make it again, and find out who changed it."
    return Refused(what, got=got, expected=expected, where=where, next_step=step)


def _read(content: bytes, where: str) -> Any:
    try:
        data = json.loads(content)
        same = canonical_json(data) == content
    except (ValueError, RecursionError) as error:
        raise refused("an unreadable document", where) from error
    if not same:
        raise refused("a document that is not in canonical form", where)
    return data


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _bytes(text: Any, where: str) -> bytes:
    try:
        content = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except (binascii.Error, ValueError) as error:
        raise refused("unreadable base64", where) from error
    if not content or _text(content) != text:  # base64 has several texts for some bytes; only one of them counts
        raise refused("base64 that is not in canonical form", where)
    return content
