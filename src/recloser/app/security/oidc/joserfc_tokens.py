"""Owns the signature of an ID token: verified by the provider's keys with joserfc. Judges no claim."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from typing import Any

from recloser.core import Refused, Unavailable

try:
    import joserfc as _installed
    from joserfc import jws as _jws
    from joserfc.errors import JoseError as _JoseError
    from joserfc.jwk import JWKRegistry as _JWKRegistry
except ImportError:  # pragma: no cover - the extra is not installed
    _installed = None

SIGNED_BY = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519", "EdDSA")
"""Algorithms of a key pair: never none, and none whose key both sides share."""
LONGEST = 65_536


def require_joserfc() -> None:
    """See that the library is there.

    Raises:
        Unavailable: the extra `oidc` is not installed.
    """
    if _installed is None:
        raise Unavailable(
            "the library that verifies ID tokens is not installed",
            where="console.oidc",
            next_step='Install it: pip install "recloser[oidc]".',
        )


def header_of(token: str) -> Mapping[str, Any]:
    """Return the header of a compact token, not verified.

    Raises:
        Refused: it is none.
    """
    if len(token) > LONGEST or token.count(".") != 2:
        raise Refused("a token that is none", where="console.oidc")
    part = token.partition(".")[0]
    try:
        header = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (binascii.Error, ValueError) as error:
        raise Refused("a token that is none", where="console.oidc") from error
    if not isinstance(header, dict):
        raise Refused("a token that is none", where="console.oidc")
    return header


def key_of(header: Mapping[str, Any], keys: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the key that a header names, the only one for signatures where it names none; None where there is none."""
    usable = [key for key in keys if key.get("use", "sig") == "sig" and key.get("kty") in {"RSA", "EC", "OKP"}]
    if header.get("kid") is None:
        return usable[0] if len(usable) == 1 else None
    return next((key for key in usable if key.get("kid") == header["kid"]), None)


def verified(token: str, key: Mapping[str, Any], algorithms: Sequence[str]) -> dict[str, Any]:
    """Return the claims of a token whose signature holds.

    Args:
        token: compact JWS.
        key: JWK of the provider.
        algorithms: that may be used.

    Raises:
        Refused: the signature does not hold, the algorithm may not be used, or the content is no JSON object.
        Unavailable: the extra `oidc` is not installed.
    """
    require_joserfc()
    try:
        found = _jws.deserialize_compact(
            token.encode(), _JWKRegistry.import_key(dict(key)), algorithms=list(algorithms)
        )
        claims = json.loads(found.payload or b"")
    except (_JoseError, ValueError, TypeError, KeyError) as error:
        raise Refused("a token whose signature does not hold", got=str(error)[:200], where="console.oidc") from error
    if not isinstance(claims, dict):
        raise Refused("a token without claims", where="console.oidc")
    return claims
