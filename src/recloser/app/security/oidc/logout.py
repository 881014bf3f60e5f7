"""Owns the provider's word that somebody has left: what a logout token must say, and which sessions it ends.

Source: OpenID Connect Back-Channel Logout 1.0, 2.4 to 2.7. Verifies no signature.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from recloser.app.security.oidc.claims import LONGEST_SUBJECT, Expected, instant_of, refusal, require_addressed
from recloser.core import Refused, format_utc
from recloser.ledger import Ledger, StateRecord

EVENT = "http://schemas.openid.net/event/backchannel-logout"
TYPES = frozenset({"logout+jwt", "jwt"})
WHAT = "a logout token"


@dataclass(frozen=True, slots=True)
class Departure:
    """Who has left, by a verified logout token.

    Attributes:
        issuer: the provider.
        subject: who, empty if only a session is named.
        sid: the session at the provider, empty if all of the subject's are over.
        token: id of the token, which counts once.
        issued_at: when the provider wrote it, in seconds since 1970 by its clock.
    """

    issuer: str
    subject: str
    sid: str
    token: str
    issued_at: float


@dataclass(frozen=True, slots=True)
class Origin:
    """What a session of ours comes from: issuer, subject, the provider's session (or empty), the ID token's instant."""

    issuer: str
    subject: str
    sid: str
    issued_at: float


def departure_of(header: Mapping[str, Any], claims: Mapping[str, Any], expected: Expected) -> Departure:
    """Return who has left by the claims of a token whose signature holds; an ID token is none.

    Raises:
        Refused: it is not a logout token of this provider, for us, and fresh; the sentence says which claim.
    """
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower().removeprefix("application/") not in TYPES:
        raise refusal("typ", kind, "logout+jwt", WHAT)
    require_addressed(claims, expected, WHAT)
    events = claims.get("events")
    if not isinstance(events, Mapping) or not isinstance(events.get(EVENT), Mapping):
        raise refusal("events", events, EVENT, WHAT)
    if "nonce" in claims:
        raise refusal("nonce", "there", "none", WHAT)
    subject, sid, token = (_text(claims, name) for name in ("sub", "sid", "jti"))
    if not token:
        raise refusal("jti", claims.get("jti"), "an id", WHAT)
    if not subject and not sid:
        raise refusal("sub", None, "a subject or a session (sid)", WHAT)
    return Departure(expected.issuer, subject, sid, token, instant_of("iat", claims, WHAT))


def _text(claims: Mapping[str, Any], name: str) -> str:
    given = claims.get(name, "")
    if not isinstance(given, str) or len(given) > LONGEST_SUBJECT:
        raise refusal(name, type(given).__name__, "a text", WHAT)
    return given


def note_departure(ledger: Ledger, departure: Departure, now: datetime) -> None:
    """Write down that somebody has left: from then on none of the sessions that it ends is in force.

    Args:
        ledger: of the project.
        departure: the provider's word.
        now: aware UTC.

    Raises:
        Refused: this token was used before.
        Unavailable: the ledger cannot be written now.
    """
    used = _key("token", departure.issuer, departure.token)
    if ledger.get(StateRecord, used) is not None:
        raise Refused("a logout token that was used before", where="console.oidc")
    state = {"issued_at": departure.issued_at}
    with ledger.change("console", now) as change:
        change.add(StateRecord(used, now, {"at": format_utc(now)}))  # of two at once one is refused
        for key in _marks(departure):
            change.put(StateRecord(key, now, state))
        facts = {"issuer": departure.issuer, "by": "provider", "session": departure.sid or None}
        change.note("console.sign_out", departure.subject or "a session of the provider", facts)


def has_departed(ledger: Ledger, origin: Origin) -> bool:
    """Tell whether the provider has said that a session's person left, after the sign-in that began it.

    Raises:
        Unavailable: the ledger cannot be read now.
    """
    keys = [_key("subject", origin.issuer, origin.subject)]
    keys.append(
        _key("session", origin.issuer, origin.sid) if origin.sid else _key("unknown", origin.issuer, origin.subject)
    )
    marks = [mark for key in keys if (mark := ledger.get(StateRecord, key)) is not None]
    return any(origin.issued_at <= float(mark.state["issued_at"]) for mark in marks)


def _marks(departure: Departure) -> list[str]:
    """Return where a departure is kept; of a subject's one session also those of his that tell no session."""
    issuer, subject = departure.issuer, departure.subject
    if not departure.sid:
        return [_key("subject", issuer, subject)]
    more = [_key("unknown", issuer, subject)] if subject else []
    return [_key("session", issuer, departure.sid), *more]


def _key(kind: str, issuer: str, name: str) -> str:
    digest = hashlib.sha256(f"{len(issuer)}:{issuer}{name}".encode("utf-8", "surrogatepass")).hexdigest()
    return f"console.departed/{kind}/{digest}"
