"""Owns one sign-in by a provider, from leaving for it to coming back: state, nonce, proof of possession, browser.

Fetches nothing itself. Sources: RFC 6749, 7636 and 9207, OpenID Connect Core 1.0, Back-Channel Logout 1.0.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

from recloser.app.project.tables.console import OidcSection
from recloser.app.security.oidc.claims import Expected, Identity, at_path, identity_of, require_claims
from recloser.app.security.oidc.joserfc_tokens import SIGNED_BY, header_of, key_of, require_joserfc, verified
from recloser.app.security.oidc.logout import Departure, departure_of
from recloser.app.security.oidc.provider import Provider
from recloser.core import Clock, Refused, Unavailable, digest_of

LASTS = timedelta(minutes=10)
"""So long somebody may take at the provider."""
MOST = 1_000
"""Sign-ins that are under way at once; the oldest gives way."""


@dataclass(frozen=True, slots=True)
class Leaving:
    """Where a browser is sent to, and the secret that its cookie keeps until it comes back."""

    url: str
    browser: str


@dataclass(frozen=True, slots=True)
class Arrival:
    """Who came back from the provider, and the page that was wanted."""

    identity: Identity
    back: str


@dataclass(frozen=True, slots=True)
class _Pending:
    browser: str
    nonce: str
    verifier: str
    redirect_uri: str
    back: str
    at: datetime


class SingleSignOn:
    """Signs people in by one provider; thread safe. What is under way is kept in memory: a restart begins it anew.

    Args:
        section: the provider and what its claims mean.
        root: folder that files are relative to.
        clock: of the machine.
    """

    def __init__(self, section: OidcSection, root: Path, clock: Clock) -> None:
        self.section, self._clock = section, clock
        self.provider = Provider(section, root)
        self._lock = threading.Lock()
        self._pending: OrderedDict[str, _Pending] = OrderedDict()

    @property
    def stamp(self) -> str:
        """A digest that changes with the provider and with what its claims mean: sessions of another one are over."""
        return stamp_of(self.section)

    def begin(self, redirect_uri: str, back: str) -> Leaving:
        """Return where to send a browser.

        Args:
            redirect_uri: where the provider sends it back to.
            back: the page that was wanted.

        Raises:
            Unavailable: the provider cannot be reached, or the extra `oidc` is not installed.
        """
        require_joserfc()
        description, now = self.provider.description(), self._clock.now()
        state, nonce, verifier, browser = (secrets.token_urlsafe(32) for _ in range(4))
        with self._lock:
            for key in [key for key, one in self._pending.items() if now - one.at > LASTS]:
                del self._pending[key]
            while len(self._pending) >= MOST:
                self._pending.popitem(last=False)
            self._pending[state] = _Pending(browser, nonce, verifier, redirect_uri, back, now)
        asked = {
            "response_type": "code",
            "client_id": self.section.client_id,
            "redirect_uri": redirect_uri,
            "scope": " ".join(dict.fromkeys(("openid", *self.section.scopes))),
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge_of(verifier),
            "code_challenge_method": "S256",
        }
        endpoint = str(description["authorization_endpoint"])
        return Leaving(f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(asked)}", browser)

    def finish(self, asked: Mapping[str, str], browser: str) -> Arrival:
        """Return who came back, proven by the provider.

        Args:
            asked: parameters of the address that the browser came back to.
            browser: what its cookie keeps.

        Raises:
            Refused: not a sign-in that this browser began here, refused by the provider, or a token that does not fit.
            Unavailable: the provider cannot be reached now.
        """
        pending = self._taken(asked.get("state", ""), browser)
        issuer = str(self.section.issuer)
        if "iss" in asked and asked["iss"] != issuer:
            raise Refused("an answer of another provider", got=asked["iss"][:200], expected=issuer)
        if "error" in asked or not asked.get("code"):
            raise Refused("the provider did not sign you in", got=asked.get("error", "no code")[:100])
        tokens = self.provider.tokens(asked["code"], pending.verifier, pending.redirect_uri)
        claims = self._claims(tokens.get("id_token"), pending.nonce)
        if any(at_path(claims, path) is None for path in (self.section.name_claim, self.section.roles_claim)):
            claims = {**self._more(tokens.get("access_token"), claims["sub"]), **claims}
        return Arrival(identity_of(claims, self.section), pending.back)

    def leave(self, after: str) -> str | None:
        """Return where somebody may end his session at the provider too, None where it has no such place.

        Args:
            after: address of ours to come back to.
        """
        try:
            endpoint = self.provider.description().get("end_session_endpoint")
        except Unavailable:
            return None
        if endpoint is None:
            return None
        asked = urlencode({"client_id": self.section.client_id, "post_logout_redirect_uri": after})
        return f"{endpoint}{'&' if '?' in str(endpoint) else '?'}{asked}"

    def _taken(self, state: str, browser: str) -> _Pending:
        """Take what was under way under a state: it counts once, for the browser that began it."""
        with self._lock:
            pending = self._pending.get(state)
            if pending is not None and hmac.compare_digest(pending.browser.encode(), browser.encode()):
                del self._pending[state]
                if self._clock.now() - pending.at <= LASTS:
                    return pending
        raise Refused(
            "not a sign-in that this browser has begun here, or one that took too long", next_step="Sign in again."
        )

    def _claims(self, token: object, nonce: str) -> dict[str, object]:
        if not isinstance(token, str):
            raise Refused("the provider gave no ID token", where="console.oidc")
        _, claims = self._signed(token)
        require_claims(claims, self._expected(nonce))
        return claims

    def departure(self, token: str) -> Departure:
        """Return who has left, by a logout token that the provider sent.

        Raises:
            Refused: it is none of this provider's for us, or not fresh.
            Unavailable: its keys cannot be had now, or the extra `oidc` is not installed.
        """
        require_joserfc()
        header, claims = self._signed(token)
        return departure_of(header, claims, self._expected(""))

    def _signed(self, token: str) -> tuple[Mapping[str, object], dict[str, object]]:
        """Return header and claims of a token whose signature holds by a key of the provider."""
        header = header_of(token)
        kid = header.get("kid")
        key = key_of(header, self.provider.keys(kid if isinstance(kid, str) else None))
        if key is None:
            raise Refused("a token signed by a key that the provider does not name", got=str(kid)[:100])
        told = self.provider.description().get("id_token_signing_alg_values_supported", ["RS256"])
        return header, verified(token, key, [name for name in SIGNED_BY if name in told])

    def _expected(self, nonce: str) -> Expected:
        skew = timedelta(seconds=self.section.clock_skew_seconds)
        return Expected(str(self.section.issuer), str(self.section.client_id), nonce, self._clock.now(), skew)

    def _more(self, access_token: object, subject: object) -> dict[str, object]:
        """Return claims of the provider's endpoint about the person, if it is about the same one."""
        if not isinstance(access_token, str):
            return {}
        found = self.provider.user(access_token)
        if found and found.get("sub") != subject:
            raise Refused("the provider speaks of two people", where="userinfo_endpoint")
        return found


def challenge_of(verifier: str) -> str:
    """Return the S256 challenge of a verifier (RFC 7636, 4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def stamp_of(section: OidcSection) -> str:
    """Return a digest of whom we ask and what the claims mean."""
    facts = section.model_dump(include={"issuer", "client_id", "name_claim", "roles_claim", "roles"}, mode="json")
    return digest_of(facts)[:16]
