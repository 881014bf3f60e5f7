"""Owns proving who sent a delivery: HMAC-SHA-256 in the forms in use, and shared tokens. Reads no body.

Every comparison takes the same time for right and wrong, and every failure is the same refusal: it does not tell
whether a header was missing, a secret wrong or a time too old.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from datetime import UTC, datetime

from recloser.core import Unproven
from recloser.triggers.webhooks.delivery import Delivery, Inlet, InletKind

STANDARD = ("webhook-id", "webhook-timestamp", "webhook-signature")
MLFLOW = ("x-mlflow-delivery-id", "x-mlflow-timestamp", "x-mlflow-signature")
ENCODED = "whsec_"
LONGEST_ID, MOST = 200, 5


def unproven(why: str) -> Unproven:
    """Return the refusal of a delivery whose sender is not proven, in the same words for every reason."""
    return Unproven(
        "there is no such inlet, or the delivery is not signed as it asks",
        why=why,
        next_step="Its settings are in [[triggers.inlets]]; the audit log of the project tells what was wrong.",
    )


def prove(inlet: Inlet, delivery: Delivery, now: datetime) -> str:
    """Return the sender's id of the delivery, once it is proven who sent it.

    The id is covered by the signature where the form has one (`STANDARD`, `MLFLOW`); elsewhere it is what the sender
    says, or the digest of the body.

    Raises:
        Unproven: not signed with a secret of the inlet, at a time too far from `now`, or without a token where the
            inlet has no secret.
    """
    if not inlet.secrets:
        if not delivery.holder:
            raise unproven("the inlet has no secret, and no token that may ask was sent")
        return _told(delivery, "ce-id")
    if inlet.kind is InletKind.GITHUB:
        given = delivery.header("x-hub-signature-256")
        _require(given.startswith("sha256=") and _hex(inlet, delivery.body, given[7:]), "x-hub-signature-256")
        return _told(delivery, "x-github-delivery")
    if inlet.kind is InletKind.GITEA:
        names = [f"x-{forge}-signature" for forge in ("forgejo", "gitea") if delivery.header(f"x-{forge}-signature")]
        given = delivery.header(names[0]) if names else ""
        _require(_hex(inlet, delivery.body, given), names[0] if names else "x-gitea-signature")
        return _told(delivery, "x-forgejo-delivery", "x-gitea-delivery")
    if inlet.kind is InletKind.MLFLOW:
        return _timed(inlet, delivery, now, MLFLOW)
    if inlet.kind is InletKind.GITLAB and not delivery.header(STANDARD[2]):
        _require(_same([delivery.header("x-gitlab-token").encode()], inlet.secrets), "x-gitlab-token")
        return _told(delivery, "idempotency-key", "x-gitlab-event-uuid")
    return _timed(inlet, delivery, now, STANDARD)


def timed_signature(secret: bytes, key: str, sent_at: str, body: bytes) -> str:
    """Return `v1,` and the base64 of the HMAC-SHA-256 over `id.timestamp.body` (Standard Webhooks, MLflow, GitLab).

    A secret that begins with `whsec_` is the base64 of the key, as that specification has it; any other is the key.
    """
    signed = f"{key}.{sent_at}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(_key(secret), signed, hashlib.sha256).digest()).decode()


def body_signature(secret: bytes, body: bytes) -> str:
    """Return the HMAC-SHA-256 over a body as hex, as GitHub (behind `sha256=`), Gitea and Forgejo send it."""
    return hmac.new(secret, body, hashlib.sha256).hexdigest()


def _hex(inlet: Inlet, body: bytes, given: str) -> bool:
    return _same([given.lower().encode()], [body_signature(secret, body).encode() for secret in inlet.secrets])


def _same(given: Sequence[bytes], ours: Sequence[bytes]) -> bool:
    """Tell whether one of the given is one of ours, in a time that depends on their number alone."""
    found = False
    for one in ours:
        for other in given:
            found |= hmac.compare_digest(hashlib.sha256(one).digest(), hashlib.sha256(other).digest())
    return found


def _timed(inlet: Inlet, delivery: Delivery, now: datetime, names: tuple[str, str, str]) -> str:
    key, sent_at, given = (delivery.header(name) for name in names)
    _require(0 < len(key) <= LONGEST_ID and key.isprintable(), names[0])
    _require(sent_at.isascii() and sent_at.isdigit() and len(sent_at) <= 11, names[1])
    found = [item.encode() for item in given.split()[:MOST]]  # several while the sender replaces its secret
    ours = [timed_signature(secret, key, sent_at, delivery.body).encode() for secret in inlet.secrets]
    _require(_same(found, ours), names[2])
    away = abs(now - datetime.fromtimestamp(int(sent_at), UTC))
    _require(away <= inlet.tolerance, f"{names[1]}: {away} from now")
    return key


def _key(secret: bytes) -> bytes:
    text = secret.decode("latin-1")
    if not text.startswith(ENCODED):
        return secret
    try:
        return base64.b64decode(text[len(ENCODED) :], validate=True)
    except binascii.Error:
        return secret


def _told(delivery: Delivery, *names: str) -> str:
    """Return the first id that the sender tells; a delivery without one is named after its body."""
    for name in names:
        told = delivery.header(name)
        if told and len(told) <= LONGEST_ID and told.isprintable():
            return told
    return "sha256:" + hashlib.sha256(delivery.body).hexdigest()


def _require(good: object, why: str) -> None:
    if not good:
        raise unproven(why)
