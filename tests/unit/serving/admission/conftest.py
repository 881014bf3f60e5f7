"""A real uvicorn on a real socket of this host."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from recloser.serving.http import Service, build_app
from recloser.serving.http.admission import protocol_with

PATIENCE_S = 20.0


@dataclass
class Reply:
    """One HTTP answer, or what there was before the connection ended."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> dict[str, object]:
        assert self.headers["content-type"] == "application/problem+json", self
        document = json.loads(self.body)
        assert document["status"] == self.status
        return document


class Wire:
    """Sends bytes and reads answers, nothing more."""

    def __init__(self, address: tuple[str, int], tls: ssl.SSLContext | None = None) -> None:
        self.socket = socket.create_connection(address, PATIENCE_S)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")

    def send(self, content: bytes) -> None:
        self.socket.sendall(content)

    def read(self) -> Reply | None:
        """Return the next answer, None if the connection ended before one."""
        content = b""
        while b"\r\n\r\n" not in content:
            part = self._more()
            if not part:
                assert content == b""
                return None
            content += part
        head, _, body = content.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): text for name, _, text in (line.partition(": ") for line in lines)}
        while len(body) < int(headers["content-length"]):
            body += self._more()
        return Reply(int(first.split()[1]), headers, body)

    def _more(self) -> bytes:
        try:
            return self.socket.recv(65536)
        except (ConnectionResetError, ssl.SSLEOFError):
            return b""

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Reply:
        """Send a whole request and return its answer; header names are written with underscores."""
        lines = [f"{method} {path} HTTP/1.1", "host: localhost", f"content-length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {text}" for name, text in headers.items()]
        self.send(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body)
        reply = self.read()
        assert reply is not None
        return reply

    def close(self) -> None:
        self.socket.close()


class Server:
    """A uvicorn that serves a service in a thread."""

    def __init__(self, service: Service, send_buffer: int = 0, **options: object) -> None:
        listening = socket.create_server(("127.0.0.1", 0))
        if send_buffer:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)  # what it accepts has the same
        self.address = listening.getsockname()
        config = uvicorn.Config(
            build_app(service),
            http=protocol_with(service.limits),
            ws="none",
            log_level="critical",
            timeout_graceful_shutdown=1,
            **options,
        )
        self._server = uvicorn.Server(config)
        self._wires: list[Wire] = []
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listening]})
        self._thread.start()

    def wire(self, tls: ssl.SSLContext | None = None) -> Wire:
        self._wires.append(Wire(self.address, tls))
        return self._wires[-1]

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Reply:
        """Send one request on a connection of its own."""
        wire = self.wire()
        try:
            return wire.ask(method, path, body, **headers)
        finally:
            wire.close()

    def stop(self) -> None:
        for wire in self._wires:
            with contextlib.suppress(OSError):
                wire.close()
        self._server.should_exit = True
        self._thread.join()


def infer_body(areas: list[str], n: int = 1) -> bytes:
    """Return an inference request with n rows an area."""
    rows = [area for area in areas for _ in range(n)]
    times = [f"2020-03-02T14:{k % 60:02d}:00Z" for _ in areas for k in range(n)]

    def tensor(name: str, kind: str, data: list[object]) -> dict[str, object]:
        return {"name": name, "shape": [len(rows)], "datatype": kind, "data": data}

    levels = {"scale_mw": 1000.0, "swing": 0.0, "lag": 1.0}
    numbers = [tensor(name, "FP64", [level] * len(rows)) for name, level in levels.items()]
    inputs = [tensor("area", "BYTES", list(rows)), tensor("at", "BYTES", list(times)), *numbers]
    return json.dumps({"inputs": inputs}).encode()


@pytest.fixture
def served() -> Iterator[Callable[..., Server]]:
    """Start servers that are stopped when the test ends."""
    servers: list[Server] = []

    def start(service: Service, **options: object) -> Server:
        servers.append(Server(service, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(scope="session")
def net() -> SimpleNamespace:
    return SimpleNamespace(infer_body=infer_body)


@pytest.fixture
def tls_files(tmp_path: Path) -> tuple[str, str, ssl.SSLContext]:
    """Return a certificate for localhost, its key, and a client that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(subject_name=name, issuer_name=name, public_key=key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    certificate, secret = tmp_path / "own.pem", tmp_path / "own.key"
    certificate.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    secret.write_bytes(key.private_bytes(*form))
    client = ssl.create_default_context(cafile=str(certificate))
    client.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return str(certificate), str(secret), client
