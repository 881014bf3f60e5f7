"""Owns what the claims of an ID token must say, and which person with which roles they make. Pure; fetches nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from recloser.app.project.tables.console import ROLES, OidcSection
from recloser.core import Refused

OLDEST = timedelta(minutes=10)
"""A token was issued at most so long ago: it is the answer to a sign-in that goes on now."""
LONGEST_NAME, LONGEST_SUBJECT = 100, 255
SIGN_IN = "an ID token"


@dataclass(frozen=True, slots=True)
class Identity:
    """A person as the provider knows him: issuer and subject never change hands; name and roles are as of now.

    `sid` is the provider's own session if it tells one, `issued_at` when it wrote the ID token (seconds since 1970).
    """

    issuer: str
    subject: str
    name: str
    roles: frozenset[str]
    sid: str = ""
    issued_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Expected:
    """What a token must say: by whom, for whom, in answer to what (nonce), at which instant (aware UTC)."""

    issuer: str
    client_id: str
    nonce: str
    now: datetime
    skew: timedelta


def require_claims(claims: Mapping[str, Any], expected: Expected) -> None:
    """See that an ID token is of this provider, for us, fresh, and the answer to this sign-in.

    Source: OpenID Connect Core 1.0, 3.1.3.7.

    Raises:
        Refused: it is not; the sentence says which claim.
    """
    _same("nonce", claims.get("nonce"), expected.nonce)
    require_addressed(claims, expected)
    audience = claims["aud"]
    if (isinstance(audience, list) and len(audience) > 1) or "azp" in claims:
        _same("azp", claims.get("azp"), expected.client_id)
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= LONGEST_SUBJECT:
        raise refusal("sub", type(subject).__name__, "a subject")


def require_addressed(claims: Mapping[str, Any], expected: Expected, what: str = SIGN_IN) -> None:
    """See that a token is of this provider, for us among others, and in its time.

    Raises:
        Refused: it is not; the sentence says which claim.
    """
    _same("iss", claims.get("iss"), expected.issuer, what)
    audience = claims.get("aud")
    if expected.client_id not in (audience if isinstance(audience, list) else [audience]):
        raise refusal("aud", audience, expected.client_id, what)
    skew, now = expected.skew, expected.now
    if instant_of("exp", claims, what) <= now.timestamp() - skew.total_seconds():
        raise refusal("exp", claims["exp"], f"> {now.timestamp():.0f}", what)
    issued = instant_of("iat", claims, what)
    if not (now - OLDEST - skew).timestamp() <= issued <= (now + skew).timestamp():
        raise refusal("iat", claims["iat"], f"within minutes of {now.timestamp():.0f}: are the clocks right?", what)
    if "nbf" in claims and instant_of("nbf", claims, what) > (now + skew).timestamp():
        raise refusal("nbf", claims["nbf"], f"<= {now.timestamp():.0f}", what)


def identity_of(claims: Mapping[str, Any], section: OidcSection) -> Identity:
    """Return the person that verified claims are about.

    Raises:
        Refused: no usable name, or no value that means a role here.
    """
    name = at_path(claims, section.name_claim)
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME or not name.isprintable() or name.strip() != name:
        raise Refused(
            "the provider tells no usable name",
            got=repr(name)[:120],
            where=f"claim {section.name_claim}",
            next_step="Set name_claim to a claim that is unique at the provider, or ask for its scope.",
        )
    given = at_path(claims, section.roles_claim)
    values = {item for item in (given if isinstance(given, list) else [given]) if isinstance(item, str)}
    roles = frozenset(role for role in ROLES if values & set(section.roles.get(role, ())))
    if not roles:
        raise Refused(
            f"nothing that the provider says of {name} is a role here",
            got=sorted(values)[:20],
            where=f"claim {section.roles_claim}",
            next_step="Ask for a group that [console.oidc] roles names.",
        )
    sid = claims.get("sid")
    session = sid if isinstance(sid, str) and len(sid) <= LONGEST_SUBJECT else ""
    return Identity(str(claims["iss"]), str(claims["sub"]), name, roles, session, instant_of("iat", claims))


def at_path(claims: Mapping[str, Any], path: str) -> Any:
    """Return a claim: by its whole name, else by the parts of a dotted path through objects; None without one."""
    if path in claims:
        return claims[path]
    found: Any = claims
    for part in path.split("."):
        if not isinstance(found, Mapping):
            return None
        found = found.get(part)
    return found


def instant_of(name: str, claims: Mapping[str, Any], what: str = SIGN_IN) -> float:
    """Return a claim that is an instant, in seconds since 1970.

    Raises:
        Refused: it is none.
    """
    given = claims.get(name)
    if isinstance(given, bool) or not isinstance(given, int | float) or not math.isfinite(given):
        raise refusal(name, given, "seconds since 1970", what)
    return float(given)


def _same(name: str, given: Any, wanted: str, what: str = SIGN_IN) -> None:
    if not isinstance(given, str) or given != wanted:
        raise refusal(name, given, wanted, what)


def refusal(name: str, given: Any, wanted: str, what: str = SIGN_IN) -> Refused:
    """Return that a claim does not fit; a nonce is not told."""
    hidden = name == "nonce"
    return Refused(
        f"{what} that does not fit: {name}",
        got=None if hidden else str(given)[:200],
        expected=None if hidden else wanted,
        where="console.oidc",
        next_step="Sign in again." if what == SIGN_IN else None,
    )
