"""An S3-compatible service for tests: moto's server as a process, and a gate before it that fails as real ones do."""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PATIENCE_S = 120.0
KEY, SECRET = "tester", "secret-of-tester"
SLOW_DOWN = (
    b'<?xml version="1.0"?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>'
)
DENIED = b'<?xml version="1.0"?><Error><Code>InvalidAccessKeyId</Code><Message>No such key.</Message></Error>'

Rule = Callable[[str, str], str | None]
"""Method and path to what goes wrong: '500', '503', 'cut', 'lost' (done, but nobody is told), 'slow', or None."""


def available() -> bool:
    """Tell whether moto's server is installed."""
    return all(importlib.util.find_spec(name) for name in ("moto", "flask", "flask_cors"))


class S3Server:
    """moto's server behind a gate on a free port of 127.0.0.1, with one bucket 'grid'; it keeps objects in memory.

    moto looks whether an object exists and then writes it, which two requests may do at once; the gate lets conditional
    puts through one by one, as services that honour them do. It lets nobody in without the key.
    """

    def __init__(self, folder: Path) -> None:
        self._port = _free_port()
        self._log = (folder / "moto.log").open("ab")
        words = [sys.executable, "-c", "from moto.server import main; main()", "-H", "127.0.0.1", "-p", str(self._port)]
        self._process = subprocess.Popen(words, stdout=self._log, stderr=self._log)
        deadline = time.monotonic() + PATIENCE_S
        while not _listens(self._port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError((folder / "moto.log").read_text())
            time.sleep(0.02)
        self.rule: Rule = lambda _method, _path: None
        self.seen: list[tuple[str, str, int]] = []
        self.conditions = True
        self.gate = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.gate.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self.gate.server_address[1]}"
        threading.Thread(target=self.gate.serve_forever, daemon=True).start()
        assert self.forward("PUT", "/grid", {}, b"")[0] == 200

    @property
    def environ(self) -> dict[str, str]:
        """Return the environment of a process that may come in."""
        return {**os.environ, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}

    def forward(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        """Ask moto itself."""
        link = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE_S)
        try:
            link.request(method, path, body=body, headers={**headers, "Host": f"127.0.0.1:{self._port}"})
            answer = link.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            link.close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server, one_by_one = self, threading.Lock()

        class Gate(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _pass(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                trouble = server.rule(self.command, self.path)
                if trouble == "cut":
                    self.close_connection = True
                    return
                if trouble == "slow":
                    time.sleep(3)
                if trouble in {"500", "503"}:
                    self._answer(int(trouble), {}, SLOW_DOWN)
                    return
                if f"Credential={KEY}/" not in self.headers.get("Authorization", ""):
                    self._answer(403, {"Content-Type": "application/xml"}, DENIED)
                    return
                headers = {name: text for name, text in self.headers.items() if name.lower() not in {"host", "expect"}}
                conditional = "If-None-Match" in self.headers
                if not server.conditions:
                    headers.pop("If-None-Match", None)
                    headers.pop("if-none-match", None)
                try:
                    with one_by_one if conditional else contextlib.nullcontext():
                        answer = server.forward(self.command, self.path, headers, body)
                except OSError:  # moto was stopped meanwhile
                    self.close_connection = True
                    return
                server.seen.append((self.command, self.path, answer[0]))
                if trouble == "lost":
                    self.close_connection = True
                    return
                self._answer(*answer)

            def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
                kept = {
                    n: t
                    for n, t in headers.items()
                    if n.lower() not in {"connection", "transfer-encoding", "date", "server"}
                }
                if self.command != "HEAD":
                    kept = {n: t for n, t in kept.items() if n.lower() != "content-length"}
                    kept["Content-Length"] = str(len(body))
                with contextlib.suppress(OSError):  # a killed client
                    self.send_response(status)
                    for name, text in kept.items():
                        self.send_header(name, text)
                    self.end_headers()
                    if self.command != "HEAD":
                        self.wfile.write(body)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass  # noqa: N815 - names of the standard library

            def log_message(self, *_: object) -> None:
                pass

        return Gate

    def keys(self) -> list[str]:
        """Return the names of all objects."""
        import re

        text = self.forward("GET", "/grid?list-type=2&max-keys=1000", {}, b"")[2].decode()
        return re.findall(r"<Key>(.*?)</Key>", text)

    def close(self) -> None:
        """End both."""
        self.gate.shutdown()
        self.gate.server_close()
        self._process.kill()
        self._process.wait(PATIENCE_S)
        self._log.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
