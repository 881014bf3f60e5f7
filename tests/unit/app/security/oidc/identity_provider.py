"""An identity provider as a real HTTP server that tells the truth or lies as a test wants; it checks PKCE itself."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

CLIENT, SECRET = "recloser", "s3cret:with/colon"


def key(kid: str, kind: str = "RSA") -> Any:
    """Make a signing key with an id."""
    made = RSAKey.generate_key(2048) if kind == "RSA" else ECKey.generate_key("P-256")
    return type(made).import_key({**made.as_dict(private=True), "kid": kid, "use": "sig"})


@dataclass(frozen=True)
class FromNow:
    """A claim of so many seconds after the token is made: a test named by an instant has another name each time."""

    seconds: int


def told_at(now: int, claims: dict[str, Any]) -> dict[str, Any]:
    """Return the claims of a token of an instant (Unix seconds); None takes a claim away."""
    own = {name: now + value.seconds if isinstance(value, FromNow) else value for name, value in claims.items()}
    return {name: value for name, value in own.items() if value is not None}


@dataclass
class FakeProvider:
    """The provider's state; `lies` replaces claims, `extra` is told by its endpoint about the person."""

    url: str = ""
    keys: list[Any] = field(default_factory=lambda: [key("k1")])
    signs: int = 0
    algorithm: str = "RS256"
    algorithms: tuple[str, ...] = ("RS256",)
    lies: dict[str, Any] = field(default_factory=dict)
    claims: dict[str, Any] = field(default_factory=lambda: {"preferred_username": "ann", "groups": ["shift"]})
    userinfo: dict[str, Any] = field(default_factory=dict)
    description: dict[str, Any] = field(default_factory=dict)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    secret: str | None = None
    down: bool = False
    token: str | None = None

    def authorize(self, address: str) -> dict[str, str]:
        """Do what a browser and a person would: look at the address, agree, and return what it is sent back with."""
        given = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        code = f"code-{len(self.codes)}"
        self.codes[code] = given
        return {"code": code, "state": given["state"]}

    def id_token(self, nonce: str) -> str:
        """Sign an ID token."""
        if self.token is not None:
            return self.token
        now = int(time.time())
        told = {
            "iss": self.url,
            "aud": CLIENT,
            "sub": "u-1",
            "iat": now,
            "exp": now + 300,
            "nonce": nonce,
            **self.claims,
        }
        told = told_at(now, {**told, **self.lies})
        signer = self.keys[self.signs]
        return jwt.encode({"alg": self.algorithm, "kid": signer.kid}, told, signer, algorithms=[self.algorithm])

    def logout_token(self, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """Sign a logout token (OpenID Connect Back-Channel Logout 1.0, 2.4); None takes a claim away."""
        now = int(time.time())
        event = {"http://schemas.openid.net/event/backchannel-logout": {}}
        told = {"iss": self.url, "aud": CLIENT, "sub": "u-1", "iat": now, "exp": now + 120, "events": event}
        told = told_at(now, {**told, "jti": secrets.token_hex(8), **claims})
        signer = self.keys[self.signs]
        top = {"typ": "logout+jwt", "alg": self.algorithm, "kid": signer.kid, **(header or {})}
        return jwt.encode({k: v for k, v in top.items() if v is not None}, told, signer, algorithms=[self.algorithm])

    def answer(self, path: str, form: dict[str, str], headers: Any) -> tuple[int, Any]:
        """Return status and document of a request."""
        self.asked.append(path)
        if self.down:
            return 503, {"error": "down"}
        if path == "/.well-known/openid-configuration":
            return 200, {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/keys",
                "userinfo_endpoint": f"{self.url}/user",
                "end_session_endpoint": f"{self.url}/end",
                "id_token_signing_alg_values_supported": list(self.algorithms),
                **self.description,
            }
        if path == "/keys":
            return 200, {"keys": [one.as_dict(private=False) for one in self.keys if not isinstance(one, OctKey)]}
        if path == "/user":
            return 200, {"sub": "u-1", **self.userinfo}
        if path == "/token":
            return self._tokens(form, headers)
        return 404, {"error": "no such place"}

    def _tokens(self, form: dict[str, str], headers: Any) -> tuple[int, Any]:
        given = self.codes.pop(form.get("code", ""), None)
        if given is None or form.get("grant_type") != "authorization_code":
            return 400, {"error": "invalid_grant"}
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        proven = base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == given["code_challenge"]
        same = form.get("redirect_uri") == given["redirect_uri"] and given["code_challenge_method"] == "S256"
        if not proven or not same:
            return 400, {"error": "invalid_grant"}
        if self.secret is not None:
            pair = base64.b64decode(headers.get("authorization", "").removeprefix("Basic ")).decode()
            if pair != f"{CLIENT}:{self.secret}":
                return 401, {"error": "invalid_client"}
        return 200, {"access_token": "at", "token_type": "Bearer", "id_token": self.id_token(given["nonce"])}


def handler_of(provider: FakeProvider) -> type[BaseHTTPRequestHandler]:
    """Return the handler of a provider's requests."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer({})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            self._answer({name: values[0] for name, values in parse_qs(body).items()})

        def _answer(self, form: dict[str, str]) -> None:
            status, document = provider.answer(urlsplit(self.path).path, form, self.headers)
            content = document if isinstance(document, bytes) else json.dumps(document).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@contextmanager
def running_provider() -> Iterator[FakeProvider]:
    """Run a provider that tells the truth."""
    made = FakeProvider()
    with ThreadingHTTPServer(("127.0.0.1", 0), handler_of(made)) as server:
        made.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield made
        server.shutdown()


__all__ = ["CLIENT", "SECRET", "FakeProvider", "FromNow", "key", "running_provider"]
