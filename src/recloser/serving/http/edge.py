"""Owns what every request meets: problem documents (RFC 9457), body limits, content types and tokens."""

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
from starlette.types import Receive, Scope

from recloser.core import InvalidInput, RecloserError, Refused, Unavailable, jsonable
from recloser.serving.http.wire import MalformedBody

TITLES: dict[type[RecloserError], tuple[int, str]] = {
    MalformedBody: (400, "Malformed body"),
    InvalidInput: (422, "Invalid input"),
    Refused: (409, "Refused"),
    Unavailable: (503, "Unavailable"),
}
DRAINED = 4
"""A body up to so many times the limit is read and dropped, so that its sender lives to read the refusal."""

LONGEST = 1_000
"""Characters of a text in a problem document; what the caller sent is not echoed without bound."""


def json_response(body: Any, status: int = 200) -> Response:
    """Return `body` as JSON; NaN becomes null."""
    return Response(msgspec.json.encode(jsonable(body)), status, media_type="application/json")


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


def problem_of(error: RecloserError) -> Response:
    """Return the problem document of one of our errors, with its facts."""
    status, title = next((TITLES[kind] for kind in type(error).__mro__ if kind in TITLES), (500, "Internal error"))
    response = problem(status, title, error.explain(), **error.facts())
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["retry-after"] = "1"
    return response


async def on_recloser_error(_: Request, error: Exception) -> Response:
    """Answer one of our errors."""
    assert isinstance(error, RecloserError)
    return problem_of(error)


async def on_http_error(_: Request, error: Exception) -> Response:
    """Answer an error of the protocol itself: 401, 403, 404, 405, 413, 415."""
    assert isinstance(error, HTTPException)
    title = HTTPStatus(error.status_code).phrase
    response = problem(error.status_code, title, error.detail)
    response.headers.update(error.headers or {})
    return response


async def on_crash(_: Request, __: Exception) -> Response:
    """Answer a defect of ours; its traceback goes to the server's log, never to the caller."""
    return problem(500, "Internal error", "The gateway met a defect of its own; its log knows more.")


async def read_json(scope: Scope, receive: Receive, limit: int, *, must_be_typed: bool) -> bytes:
    """Return the body of a JSON request, never holding more than `limit` bytes of it.

    Args:
        scope: of the request.
        receive: of the request.
        limit: bytes.
        must_be_typed: refuse a request without content type too; a browser then cannot send it across sites.

    Raises:
        HTTPException: 413 too large, 415 not JSON or compressed.
        InvalidInput: the caller went away.
    """
    headers: dict[bytes, bytes] = dict(scope["headers"])
    _require_json(headers, must_be_typed=must_be_typed)
    chunks, size, more = [], 0, True
    while more and size <= DRAINED * limit:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise InvalidInput("the caller went away before the body was complete")
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
        if size <= limit:
            chunks.append(message.get("body", b""))
    if size > limit:
        raise HTTPException(413, f"The body is larger than {limit} bytes.", {"connection": "close"})
    return b"".join(chunks)


def _require_json(headers: Mapping[bytes, bytes], *, must_be_typed: bool) -> None:
    given = headers.get(b"content-type", b"").decode("latin-1").lower()
    media, _, parameters = given.partition(";")
    charset = parameters.replace(" ", "").replace('"', "")
    typed = media.strip() == "application/json" and charset in ("", "charset=utf-8")
    if not typed and (given or must_be_typed):
        raise HTTPException(415, "Send application/json in UTF-8.", {"accept": "application/json"})
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise HTTPException(415, "Send the body uncompressed.", {"accept-encoding": "identity"})


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
        scheme, _, token = authorization.partition(b" ")
        found = self.tokens.get(hashlib.sha256(token.strip()).hexdigest())
        if scheme.lower() != b"bearer" or found is None:
            raise HTTPException(401, "Send a known bearer token.", {"www-authenticate": 'Bearer realm="recloser"'})
        owner, scopes = found
        if needed not in scopes and "admin" not in scopes:
            raise HTTPException(403, f"The token of {owner} lacks the scope {needed!r}.")
        return owner


def _host_named(headers: Mapping[bytes, bytes]) -> str:
    """Return the Host header without port and brackets."""
    host = headers.get(b"host", b"").decode("latin-1").lower()
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
