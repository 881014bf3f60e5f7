"""Owns what every request meets: problem documents (RFC 9457) and tokens."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Scope, Send

from recloser.core import InvalidInput, RecloserError, Refused, Unavailable, Unproven, jsonable
from recloser.serving.wire.identity import REQUEST_ID, named
from recloser.serving.wire.models import UnknownModel
from recloser.serving.wire.strict import MalformedBody

TITLES: dict[type[RecloserError], tuple[int, str]] = {
    MalformedBody: (400, "Malformed body"),
    UnknownModel: (404, "Not found"),
    InvalidInput: (422, "Invalid input"),
    Unproven: (401, "Unauthorized"),
    Refused: (409, "Refused"),
    Unavailable: (503, "Unavailable"),
}
CHALLENGE = 'Bearer realm="recloser"'
LONGEST = 1_000
"""Characters of a text in a problem document; what the caller sent is not echoed without bound."""


NAME, HEADER = "recloser.request", REQUEST_ID.encode()


def request_name(scope: Scope, own: str | None = None) -> str:
    """Return the name of a request, the same each time: its header, else `own`, else a new one."""
    found: str | None = scope.get(NAME)
    if found is None:
        given = None
        for name, text in scope["headers"]:
            if name == HEADER:
                given = text.decode("latin-1")
                break
        found = scope[NAME] = named(given, own)
    return found


def json_response(body: Any, status: int = 200) -> Response:
    """Return `body` as JSON; NaN becomes null."""
    return Response(msgspec.json.encode(jsonable(body)), status, media_type="application/json")


async def answer(send: Send, content: bytes, media_type: str, *more: tuple[bytes, bytes]) -> None:
    """Send a body with status 200; `more` are further headers, names in lower case."""
    length = (b"content-length", b"%d" % len(content))
    headers = [length, (b"content-type", media_type.encode()), *more]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def problem(status: int, title: str, detail: str, **members: Any) -> Response:
    """Return an RFC 9457 problem document; `members` are its extension members."""
    document = {
        "type": "urn:recloser:problem:" + title.lower().replace(" ", "-"),
        "title": title,
        "status": status,
        "detail": detail[:LONGEST],
        **{name: text[:LONGEST] if isinstance(text, str) else text for name, text in members.items()},
    }
    return Response(msgspec.json.encode(jsonable(document)), status, media_type="application/problem+json")


def dialect(path: str, status: int, sentence: str) -> dict[str, str]:
    """Return the members by which clients of the protocol of a path read an error."""
    if path.startswith("/v2"):
        return {"error": sentence}
    if path.startswith("/invocations"):
        code = "BAD_REQUEST" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "TEMPORARILY_UNAVAILABLE"
        return {"error_code": code, "message": sentence}
    return {}


def problem_of(error: RecloserError, path: str = "") -> Response:
    """Return the problem document of one of our errors, with its facts and in the words of the path's protocol."""
    status, title = next((TITLES[kind] for kind in type(error).__mro__ if kind in TITLES), (500, "Internal error"))
    sentence = error.explain()
    response = problem(status, title, sentence, **{**error.facts(), **dialect(path, status, sentence)})
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["retry-after"] = "1"
    if status == HTTPStatus.UNAUTHORIZED:
        response.headers["www-authenticate"] = CHALLENGE
    return response


async def on_recloser_error(request: Request, error: Exception) -> Response:
    """Answer one of our errors."""
    assert isinstance(error, RecloserError)
    return problem_of(error, request.url.path)


async def on_http_error(request: Request, error: Exception) -> Response:
    """Answer an error of the protocol itself: 401, 403, 404, 405, 413, 415."""
    assert isinstance(error, HTTPException)
    title = HTTPStatus(error.status_code).phrase
    members = dialect(request.url.path, error.status_code, error.detail)
    response = problem(error.status_code, title, error.detail, **members)
    response.headers.update(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        response.headers["allow"] = ", ".join(sorted(_methods(request)))
    return response


def _methods(request: Request) -> set[str]:
    """Return what the routes of a path take together; the router itself names those of the first alone."""
    fitting = [route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE]
    return {method for route in fitting for method in route.methods or ()}


async def on_crash(request: Request, _: Exception) -> Response:
    """Answer a defect of ours; its traceback goes to the server's log, never to the caller."""
    sentence = "The gateway met a defect of its own; its log knows more."
    response = problem(500, "Internal error", sentence, **dialect(request.url.path, 500, sentence))
    response.headers[REQUEST_ID] = request_name(request.scope)  # no middleware of ours sees this answer
    return response


@dataclass(frozen=True, slots=True)
class Access:
    """Who may operate the gateway.

    Attributes:
        tokens: SHA-256 (hex) of a bearer token -> (its owner's name, scopes); may change while it is used.
    """

    tokens: Mapping[str, tuple[str, frozenset[str]]] = field(default_factory=dict)

    @property
    def required(self) -> bool:
        """Tell whether every call needs a token; without, only operating is restricted, to callers on this host."""
        return bool(self.tokens)

    def actor(self, scope: Scope, needed: str) -> str:
        """Return who calls, if they may operate.

        Raises:
            HTTPException: 401 without a known token, 403 with one that lacks the scope or from another host.
        """
        if self.required:
            return self.holder(scope, needed)
        client = (scope.get("client") or ("",))[0]
        # The name the caller used must be local as well: a web page may rebind its own name to this host.
        if not (_is_loopback(client) and _is_loopback(_host_named(dict(scope["headers"])))):
            raise HTTPException(403, "Without tokens only callers on the same host, by a local name, may do this.")
        return f"loopback {client}"

    def holder(self, scope: Scope, needed: str) -> str:
        """Return the owner of the request's token; see `bearer`."""
        return self.bearer(dict(scope["headers"]).get(b"authorization", b""), needed)

    def bearer(self, authorization: bytes, needed: str) -> str:
        """Return the owner of the token in an Authorization header, of whatever transport.

        Raises:
            HTTPException: 401 without a known token, 403 with one that lacks the scope.
        """
        found = self._known(authorization)
        if found is None:
            raise HTTPException(401, "Send a known bearer token.", {"www-authenticate": CHALLENGE})
        owner, scopes = found
        if needed not in scopes and "admin" not in scopes:
            raise HTTPException(403, f"The token of {owner} lacks the scope {needed!r}.")
        return owner

    def owner(self, authorization: bytes) -> str | None:
        """Return whose token an Authorization header holds, whatever its scopes; None if it is not known."""
        found = self._known(authorization)
        return None if found is None else found[0]

    def _known(self, authorization: bytes) -> tuple[str, frozenset[str]] | None:
        scheme, _, token = authorization.partition(b" ")
        found = self.tokens.get(hashlib.sha256(token.strip()).hexdigest())
        return found if scheme.lower() == b"bearer" else None


def _host_named(headers: Mapping[bytes, bytes]) -> str:
    """Return the Host header without port and brackets."""
    host = headers.get(b"host", b"").decode("latin-1").lower()
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
