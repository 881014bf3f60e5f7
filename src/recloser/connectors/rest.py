"""Owns one HTTP API that speaks JSON: requests with a token, time limits, tries, and answers as our errors.

Knows no API's paths.
"""

from __future__ import annotations

import http.client
import json
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from recloser.core import InvalidInput, RecloserError, Refused, Unavailable, canonical_json

LONGEST_ANSWER = 64 * 1024 * 1024
LONGEST_WAIT_S = 30.0
LONGEST_ASKED_S = 300.0
"""What a server may ask us to wait, at most."""
PATIENCE = (408, 425, 429, 500, 502, 503, 504)
SAFE = ("GET",)


@dataclass(frozen=True, slots=True)
class RestTarget:
    """Where an API is and who asks.

    Attributes:
        url: http or https, with the path that all its paths begin with.
        token_file: holds the bearer token, read at each request, because a cluster renews it; None: no token.
        ca_file: certificates of the authorities that the server's is checked against; None: the system's.
        timeout_s: of connecting, and of each read.
        tries: of a request that changes nothing.
        headers: sent with every request.

    Raises:
        InvalidInput: the URL is none.
    """

    url: str
    token_file: Path | None = None
    ca_file: Path | None = None
    timeout_s: float = 30.0
    tries: int = 5
    headers: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.username:
            raise InvalidInput("not the URL of an API", got=self.url, expected="http(s)://HOST[:PORT][/PATH]")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said.

    Attributes:
        status: of HTTP.
        document: the JSON of the body, {} without one; {"text": ...} if it is not a JSON object.
        retry_after_s: seconds the server asks to wait, None if it does not say.
    """

    status: int
    document: dict[str, Any]
    retry_after_s: float | None = None

    @property
    def good(self) -> bool:
        """Return whether the request was done."""
        return 200 <= self.status < 300

    @property
    def sentence(self) -> str:
        """Return what the server says about an error."""
        said = next((self.document[name] for name in ("message", "error", "text") if self.document.get(name)), "")
        return str(said)[:500]


class Rest:
    """Sends requests, each on a connection of its own; thread safe.

    Args:
        target: where to.
        sleep: waits so many seconds; injected.
    """

    def __init__(self, target: RestTarget, sleep: Callable[[float], None] = time.sleep) -> None:
        self.target = target
        self._sleep = sleep

    def call(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        *,
        expect: tuple[int, ...] = (),
        content_type: str = "application/json",
    ) -> Answer:
        """Return the answer of a request that was done, or one with a status in `expect`.

        A GET is tried again, with growing waits or as the server asks; other methods are not, since nobody knows
        whether they were done.

        Raises:
            InvalidInput: the server finds fault with the request (4xx).
            Refused: who asks may not (401, 403, a log-in page), or it clashes with what is there (409).
            Unavailable: no connection, no answer in time, overload or a fault of the server, not JSON.
        """
        tries = self.target.tries if method in SAFE else 1
        for number in range(1, tries + 1):
            wait_s = min(0.2 * 2 ** (number - 1), LONGEST_WAIT_S)
            try:
                answer = self._send(method, path, query, body, content_type)
            except Unavailable:
                if number == tries:
                    raise
            else:
                if answer.good or answer.status in expect:
                    return answer
                if answer.status not in PATIENCE or number == tries:
                    raise error_of(answer, f"{method} {path}")
                wait_s = min(max(wait_s, answer.retry_after_s or 0.0), LONGEST_WAIT_S)
            self._sleep(wait_s)
        raise AssertionError("the last try returns or raises")

    def pages(self, path: str, query: Mapping[str, Any], items: str) -> Iterator[dict[str, Any]]:
        """Yield the items of all pages of a list, as the API of Kubeflow Pipelines pages them.

        Raises:
            Unavailable: a page points to itself, or is no list of objects; otherwise as `call`.
        """
        token, seen = "", set[str]()
        while True:
            given = {**query, **({"page_token": token} if token else {})}
            page = self.call("GET", path, given).document
            listed = page.get(items) or []
            if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
                raise Unavailable("the API answered something that is no list", got=str(listed)[:200], where=path)
            yield from listed
            token = str(page.get("next_page_token") or "")
            if not token:
                return
            if token in seen:
                raise Unavailable("the pages of a list go in a circle", got=token[:60], where=path)
            seen.add(token)

    def lines(self, path: str, query: Mapping[str, Any], *, silence_s: float) -> Iterator[dict[str, Any]]:
        """Yield the JSON documents of a stream of lines until the server ends it, as a watch of Kubernetes is.

        Raises:
            InvalidInput, Refused: as `call`.
            Unavailable: the stream broke, or nothing came for `silence_s`.
        """
        link = self._link(silence_s)
        where = f"GET {path}"
        try:
            link.request("GET", self._path(path, query), headers=self._headers(None))
            response = link.getresponse()
            if not 200 <= response.status < 300:
                raise error_of(_answer(response, where), where)
            while line := response.readline(LONGEST_ANSWER):
                if not line.endswith(b"\n"):
                    raise Unavailable("the stream broke off within a line", where=where)
                if line.strip():
                    yield _object(line)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Unavailable("the stream broke", got=_said(error), where=where) from error
        finally:
            link.close()

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None,
        body: Mapping[str, Any] | None,
        content_type: str,
    ) -> Answer:
        link = self._link(self.target.timeout_s)
        payload = None if body is None else canonical_json(dict(body))
        try:
            headers = self._headers(None if body is None else content_type)
            link.request(method, self._path(path, query), payload, headers)
            return _answer(link.getresponse(), f"{method} {self.target.url}{path}")
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable(
                "the API does not answer", got=_said(error), where=f"{method} {self.target.url}{path}"
            ) from error
        finally:
            link.close()

    def _link(self, timeout_s: float) -> http.client.HTTPConnection:
        parts = urlsplit(self.target.url)
        host = parts.hostname or ""
        if parts.scheme == "http":
            return http.client.HTTPConnection(host, parts.port, timeout=timeout_s)
        try:
            context = ssl.create_default_context(cafile=None if self.target.ca_file is None else self.target.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise InvalidInput(
                "not a file of certificates", got=_said(error), where=str(self.target.ca_file)
            ) from error
        return http.client.HTTPSConnection(host, parts.port, timeout=timeout_s, context=context)

    def _path(self, path: str, query: Mapping[str, Any] | None) -> str:
        before = urlsplit(self.target.url).path.rstrip("/")
        asked = {name: item for name, item in (query or {}).items() if item is not None}
        return before + path + (f"?{urlencode(asked)}" if asked else "")

    def _headers(self, content_type: str | None) -> dict[str, str]:
        headers = {"accept": "application/json", **(self.target.headers or {})}
        if content_type is not None:
            headers["content-type"] = content_type
        if self.target.token_file is not None:
            try:
                token = self.target.token_file.read_text(encoding="ascii").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise Unavailable(
                    "cannot read the token", got=_said(error), where=str(self.target.token_file)
                ) from error
            if not token or not token.isprintable():
                raise InvalidInput("a file without a token", where=str(self.target.token_file))
            headers["authorization"] = f"Bearer {token}"
        return headers


def error_of(answer: Answer, where: str) -> RecloserError:
    """Return the error of an answer, in the branch that tells what to do next."""
    got = f"{answer.status} {answer.sentence}".strip()
    if answer.status in {401, 403} or 300 <= answer.status < 400:
        return Refused(
            "the API does not let this caller", got=got, where=where, next_step="Check the token and its rights."
        )
    if answer.status == 409:
        return Refused("it clashes with what is there", got=got, where=where, next_step="Look again, then decide.")
    if answer.status in PATIENCE or answer.status >= 500:
        return Unavailable("the API cannot now", got=got, where=where, next_step="Try again.")
    return InvalidInput("the API does not take the request", got=got, where=where)


def _answer(response: http.client.HTTPResponse, where: str) -> Answer:
    body = response.read(LONGEST_ANSWER + 1)
    if len(body) > LONGEST_ANSWER:
        raise Unavailable("an answer without end", got=len(body), expected=f"<= {LONGEST_ANSWER} bytes")
    asked = response.getheader("retry-after", "")
    wait_s = min(float(asked), LONGEST_ASKED_S) if asked.isascii() and asked.isdigit() else None
    good = 200 <= response.status < 300
    try:
        return Answer(response.status, _object(body) if body.strip() else {}, wait_s)
    except (ValueError, RecursionError) as error:
        got = body[:100].decode(errors="replace")
        if good and response.getheader("content-type", "").lower().startswith("text/html"):
            raise Refused(
                "a page instead of an answer, as a log-in before the API gives",
                got=got,
                where=where,
                next_step="Check the URL of the API and its token.",
            ) from error
        if good:
            raise Unavailable(
                "the answer is not JSON", got=got, where=where, next_step="Check the URL of the API, then try again."
            ) from error
        return Answer(response.status, {"text": body[:500].decode(errors="replace")}, wait_s)


def _object(text: bytes) -> dict[str, Any]:
    document = json.loads(text)
    return document if isinstance(document, dict) else {"text": str(document)}


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__
