"""Owns an HTTP server in a thread that answers JSON and fails as told: statuses, hangs, lost answers, garbage."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: a status with a document, or a stream of documents, a line each, until it ends.

    A stream that raises ConnectionError breaks off within a line.
    """

    status: int
    document: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    stream: Iterator[Mapping[str, Any]] | None = None


@dataclass(slots=True)
class Fault:
    """What goes wrong with the next requests that match.

    Attributes:
        match: how the line 'METHOD /path' begins.
        kind: 'status'; 'hang' (no answer for `seconds`); 'slow' (the answer comes after `seconds`); 'drop' (the
            connection ends, nothing was done); 'lose' (it was done, the answer is lost); 'garbage' (not JSON).
        status: of kind 'status'.
        times: so many requests; fewer remain after each.
        seconds: of the kinds 'hang' and 'slow'.
        retry_after: the header, None without.
    """

    match: str
    kind: str = "status"
    status: int = 503
    times: int = 1
    seconds: float = 5.0
    retry_after: str | None = None


Answering = Callable[[str, str, dict[str, str], dict[str, Any] | None, Mapping[str, str]], Reply]
"""Called with method, path, query, body and headers (names in lower case)."""


class HttpApi:
    """A server on a free port of 127.0.0.1, as a context.

    Args:
        answer: answers a request; called from many threads.
        token: what callers must send as bearer token, None for none.

    Attributes:
        requests: 'METHOD /path' of all that came, in order.
        faults: what is to go wrong; the first that matches is used up first.
    """

    def __init__(self, answer: Answering, token: str | None = None) -> None:
        self._answer = answer
        self.token = token
        self.requests: list[str] = []
        self.faults: list[Fault] = []
        self.ended = threading.Event()
        self._lock = threading.Lock()
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the base class
                del format, args

            def handle_one_request(self) -> None:
                with suppress(ConnectionError):
                    super().handle_one_request()

            def do_GET(self) -> None:
                api._serve(self)

            do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 - the names of the base class

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        """Return where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ended.set()
        self._server.shutdown()
        self._server.server_close()

    def count(self, line: str) -> int:
        """Return how many requests began with this line."""
        return sum(request.startswith(line) for request in list(self.requests))

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        line = f"{handler.command} {parts.path}"
        raw = handler.rfile.read(int(handler.headers.get("content-length") or 0))
        with self._lock:
            self.requests.append(line)
            fault = next((fault for fault in self.faults if line.startswith(fault.match)), None)
            if fault is not None:
                fault.times -= 1
                if fault.times <= 0:
                    self.faults.remove(fault)
        if fault is not None and fault.kind == "slow":
            self.ended.wait(fault.seconds)
            fault = None
        if fault is not None and fault.kind != "lose":
            self._fail(handler, fault)
            return
        reply = self._reply(handler, parts.path, dict(parse_qsl(parts.query, keep_blank_values=True)), raw)
        if fault is not None:
            handler.close_connection = True
            return
        _send(handler, reply, self.ended)

    def _reply(self, handler: BaseHTTPRequestHandler, path: str, query: dict[str, str], raw: bytes) -> Reply:
        headers = {name.lower(): text for name, text in handler.headers.items()}
        if self.token is not None and headers.get("authorization") != f"Bearer {self.token}":
            return Reply(401, {"message": "Request header error: there is no user identity header.", "code": 401})
        try:
            body = json.loads(raw) if raw else None
        except ValueError:
            return Reply(400, {"message": "the body is not JSON"})
        return self._answer(handler.command, path, query, body, headers)

    def _fail(self, handler: BaseHTTPRequestHandler, fault: Fault) -> None:
        handler.close_connection = True
        if fault.kind == "hang":
            self.ended.wait(fault.seconds)
        elif fault.kind == "garbage":
            _write(handler, 200, b"not what was asked for", {"content-type": "text/plain"})
        elif fault.kind == "status":
            extra = {} if fault.retry_after is None else {"retry-after": fault.retry_after}
            document = {"message": f"told to answer {fault.status}", "code": fault.status}
            _write(handler, fault.status, json.dumps(document).encode(), {"content-type": "application/json", **extra})


def _send(handler: BaseHTTPRequestHandler, reply: Reply, ended: threading.Event) -> None:
    if reply.stream is None:
        body = json.dumps(reply.document, default=str).encode()
        _write(handler, reply.status, body, {"content-type": "application/json", **reply.headers})
        return
    handler.send_response(reply.status)
    handler.send_header("content-type", "application/json")
    handler.send_header("transfer-encoding", "chunked")
    handler.end_headers()
    try:
        for document in reply.stream:
            if ended.is_set():
                break
            line = json.dumps(document, default=str).encode() + b"\n"
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
            handler.wfile.flush()
        handler.wfile.write(b"0\r\n\r\n")
    except ConnectionError:
        handler.wfile.write(b'80\r\n{"type": "MOD')
        handler.close_connection = True


def _write(handler: BaseHTTPRequestHandler, status: int, body: bytes, headers: Mapping[str, str]) -> None:
    handler.send_response(status)
    for name, text in headers.items():
        handler.send_header(name, text)
    handler.send_header("content-length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def wait_until(true: Callable[[], bool], most_s: float = 120.0) -> bool:
    """Wait until something is true; return whether it became so within the time."""
    end = time.monotonic() + most_s
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True
