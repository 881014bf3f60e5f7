"""Owns talking to an OpenID Connect provider: its description, its keys, a code for tokens. Trusts no token."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from recloser.app.project.tables.console import OidcSection, require_secure
from recloser.app.security.reaching import client_context, secret_of
from recloser.core import InvalidInput, Refused, Unavailable

WELL_KNOWN = "/.well-known/openid-configuration"
KEPT_S, AGAIN_S = 3_600.0, 10.0
"""How long a description counts, and how long at least between two looks for a new key."""
NEEDED = ("authorization_endpoint", "token_endpoint", "jwks_uri")
MORE = ("userinfo_endpoint", "end_session_endpoint")
LARGEST = 1_000_000
WHERE = "console.oidc"
JSON = {"accept": "application/json"}


class Provider:
    """One provider; thread safe. Description and keys are kept for an hour; a key not seen yet is looked for at once.

    Args:
        section: where it is.
        root: folder that files are relative to.
        timer: monotonic seconds.
    """

    def __init__(self, section: OidcSection, root: Path, timer: Callable[[], float] = time.monotonic) -> None:
        self._section, self._root, self._timer = section, root, timer
        self._lock = threading.Lock()
        self._known: tuple[float, dict[str, Any]] | None = None
        self._keys: tuple[float, list[dict[str, Any]]] | None = None

    def description(self) -> dict[str, Any]:
        """Return what the provider says of itself (OpenID Connect Discovery 1.0).

        Raises:
            Unavailable: it cannot be reached, or says what cannot be used.
        """
        with self._lock:
            if self._known is None or self._timer() - self._known[0] > KEPT_S:
                self._known = (self._timer(), self._described())
            return self._known[1]

    def keys(self, kid: str | None) -> Sequence[Mapping[str, Any]]:
        """Return the provider's public keys; if `kid` is none of those known, they are asked for again.

        Raises:
            Unavailable: it cannot be reached, or says what cannot be used.
        """
        uri = str(self.description()["jwks_uri"])
        with self._lock:
            kept, now = self._keys, self._timer()
            known = kept is not None and (kid is None or any(key.get("kid") == kid for key in kept[1]))
            if kept is None or now - kept[0] > KEPT_S or (not known and now - kept[0] > AGAIN_S):
                found = self._asked(uri).get("keys")
                if not isinstance(found, list) or not all(isinstance(key, dict) for key in found):
                    raise Unavailable("the provider tells no keys", where=uri)
                kept = self._keys = (now, found)
            return kept[1]

    def tokens(self, code: str, verifier: str, redirect_uri: str) -> dict[str, Any]:
        """Exchange a code for tokens, with the proof that it was we who asked for it (RFC 7636).

        Raises:
            Refused: the provider does not take the code.
            Unavailable: it cannot be reached, or says what cannot be used; or our secret cannot be read.
        """
        client = str(self._section.client_id)
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
            "client_id": client,
        }
        headers = {**JSON, "content-type": "application/x-www-form-urlencoded"}
        if self._section.client_secret_file is not None:
            secret = secret_of(self._root / self._section.client_secret_file, WHERE).decode()
            methods = self.description().get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
            if "client_secret_basic" in methods or "client_secret_post" not in methods:
                pair = f"{quote(client, safe='')}:{quote(secret, safe='')}"
                headers["authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
            else:
                form["client_secret"] = secret
        return self._asked(str(self.description()["token_endpoint"]), urlencode(form).encode(), headers)

    def user(self, access_token: str) -> dict[str, Any]:
        """Return what the provider's endpoint about the person says, nothing where it has none.

        Raises:
            Refused: it does not take the token.
            Unavailable: it cannot be reached, or says what cannot be used.
        """
        uri = self.description().get("userinfo_endpoint")
        if uri is None:
            return {}
        return self._asked(str(uri), None, {**JSON, "authorization": f"Bearer {access_token}"})

    def _described(self) -> dict[str, Any]:
        issuer = str(self._section.issuer)
        found = self._asked(issuer.rstrip("/") + WELL_KNOWN)
        if found.get("issuer") != issuer:
            raise Unavailable(
                "the provider calls itself otherwise",
                got=str(found.get("issuer"))[:200],
                expected=issuer,
                where=WHERE,
                next_step="Write the issuer exactly as the provider does.",
            )
        for name in (*NEEDED, *MORE):
            told = found.get(name)
            if told is None and name in MORE:
                continue
            try:
                require_secure(str(told), name)
            except InvalidInput as error:
                raise Unavailable(f"the provider's {name} cannot be used", got=error.got, where=WHERE) from error
        return found

    def _asked(self, url: str, body: bytes | None = None, headers: Mapping[str, str] = JSON) -> dict[str, Any]:
        """Return the JSON object that an address answers with; no redirection is followed."""
        parts = urlsplit(url)
        link = self._link(parts.scheme, parts.hostname or "", parts.port)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            link.request("GET" if body is None else "POST", path, body, dict(headers))
            answer = link.getresponse()
            status, content = answer.status, answer.read(LARGEST + 1)
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable(
                "the identity provider cannot be reached",
                got=str(error)[:200],
                where=f"{parts.scheme}://{parts.netloc}",
                next_step="Local accounts can sign in all the same.",
            ) from error
        finally:
            link.close()
        found = _object(content, url)
        if status in {400, 401, 403} and body is not None:
            raise Refused("the provider does not take the code", got=str(found.get("error"))[:100], where=url)
        if status != 200:
            raise Unavailable("the identity provider has trouble", got=status, expected="200", where=url)
        return found

    def _link(self, scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
        timeout = self._section.timeout_seconds
        if scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=timeout)
        try:
            context: ssl.SSLContext = client_context(self._root, self._section.tls_ca, None, WHERE)
        except InvalidInput as error:
            raise Unavailable(error.what, got=error.got, where=WHERE, next_step=error.next_step) from error
        return http.client.HTTPSConnection(host, port, timeout=timeout, context=context)


def _object(content: bytes, url: str) -> dict[str, Any]:
    try:
        found = json.loads(content) if len(content) <= LARGEST else None
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Unavailable("the identity provider's answer is no JSON object", where=url)
    return found
