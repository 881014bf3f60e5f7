"""Owns the port where the figures of the control plane are told: `GET /metrics`, `GET /health`. Knows no figure."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from recloser.core import Unavailable
from recloser.serving.http.exposition import CONTENT_TYPE


class Board:
    """What was found last; thread safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._text, self._trouble = "", "nothing was found out yet"

    def write(self, text: str, trouble: str = "") -> None:
        """Show figures in Prometheus' text format, and what went wrong; trouble takes the former figures away."""
        with self._lock:
            self._text, self._trouble = "" if trouble else text, trouble

    def read(self) -> tuple[str, str]:
        """Return figures and trouble."""
        with self._lock:
            return self._text, self._trouble


class _Handler(BaseHTTPRequestHandler):
    board: Board
    timeout = 10

    def do_GET(self) -> None:
        text, trouble = self.board.read()
        if self.path.partition("?")[0] not in {"/metrics", "/health"}:
            self._answer(HTTPStatus.NOT_FOUND, "There are /metrics and /health.\n")
        elif trouble:
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE, trouble + "\n")
        else:
            self._answer(HTTPStatus.OK, "ok\n" if self.path.startswith("/health") else text)

    def _answer(self, status: HTTPStatus, text: str) -> None:
        content = text.encode()
        self.send_response(status)
        self.send_header("content-type", CONTENT_TYPE)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *_: object) -> None:  # noqa: A002 - the name of the library's parameter
        """Log no request."""


@contextmanager
def told(board: Board, host: str, port: int) -> Iterator[int]:
    """Tell the board's text on a port in the block; yields the port.

    Args:
        board: what to tell.
        host: address to listen on.
        port: 0 for any free one.

    Raises:
        Unavailable: the port is taken.
    """
    handler = type("Handler", (_Handler,), {"board": board})
    try:
        server = ThreadingHTTPServer((host, port), handler)
    except OSError as error:
        raise Unavailable(
            "the port for figures cannot be listened on",
            got=error.strerror,
            where=f"[observability] {host}:{port}",
            next_step="Choose another port.",
        ) from error
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.2,), name="exporter", daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
