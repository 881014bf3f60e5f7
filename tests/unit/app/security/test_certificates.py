"""TLS and mutual TLS of the gateway, and what the doctor says about it."""

from __future__ import annotations

import shutil
import socket
import ssl
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from recloser.app.doctor import check_installation
from recloser.app.platform import Platform
from recloser.app.security.certificates import Certificate, read_certificate, state_of, tls_options
from recloser.app.security.gatekeeping import uvicorn_options
from recloser.core import InvalidInput

Grid = Callable[..., Path]
Authorities = Callable[[str], Any]
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def section(certificate: Path, key: Path, client_ca: Path | None = None) -> str:
    text = f'[gateway.tls]\ncertificate = "{certificate}"\nkey = "{key}"\n'
    return text if client_ca is None else text + f'client_ca = "{client_ca}"\n'


async def hello(_: Request) -> Response:
    return PlainTextResponse("hello")


def exchange(options: dict[str, Any], client: ssl.SSLContext | None) -> bytes:
    """Serve once with these options and return the answer, empty if the connection was refused."""
    listening = socket.create_server(("127.0.0.1", 0))
    app = Starlette(routes=[Route("/", hello)])
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", **options))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        raw = socket.create_connection(listening.getsockname(), 20)
        with raw if client is None else client.wrap_socket(raw, server_hostname="localhost") as wire:
            wire.sendall(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            content = b""
            while part := wire.recv(4096):
                content += part
            return content
    except (ssl.SSLError, ConnectionError):
        return b""
    finally:
        server.should_exit = True
        thread.join()


def test_tls_and_mutual_tls(tmp_path: Path, grid: Grid, authority: Authorities) -> None:
    own, callers, strangers = authority("own"), authority("callers"), authority("strangers")
    certificate, key = own.issue("gateway")
    with Platform.open(grid(section(certificate, key))) as platform:
        options = uvicorn_options(platform)
    client = ssl.create_default_context(cafile=own.path)
    assert exchange(options, client).endswith(b"hello")
    assert exchange(options, ssl.create_default_context(cafile=strangers.path)) == b""
    assert b"hello" not in exchange(options, None)
    old = ssl.create_default_context(cafile=own.path)
    old.minimum_version = ssl.TLSVersion.TLSv1_2
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    assert exchange(options, old).endswith(b"hello")
    shutil.rmtree(tmp_path / "grid")
    with Platform.open(grid(section(certificate, key, callers.path))) as platform:
        mutual = uvicorn_options(platform)
    assert exchange(mutual, client) == b""
    client.load_cert_chain(*strangers.issue("stranger"))
    assert exchange(mutual, client) == b""
    known = ssl.create_default_context(cafile=own.path)
    known.load_cert_chain(*callers.issue("caller"))
    assert exchange(mutual, known).endswith(b"hello")


def test_files_that_do_not_fit_are_refused_before_the_start(tmp_path: Path, grid: Grid, authority: Authorities) -> None:
    own = authority("own")
    certificate, key = own.issue("one")
    _, other = own.issue("two")
    with Platform.open(grid(section(certificate, other))) as platform, pytest.raises(InvalidInput, match="unusable"):
        tls_options(platform.layout.root, platform.project.gateway.tls)
    with pytest.raises(InvalidInput, match="no such file"):
        read_certificate(tmp_path / "absent.pem")
    with pytest.raises(InvalidInput, match="not a certificate"):
        read_certificate(key)


@pytest.mark.parametrize("text", ['certificate = "a.pem"', 'key = "a.key"', 'client_ca = "ca.pem"'])
def test_half_a_tls_section_is_refused(grid: Grid, text: str) -> None:
    folder = grid(f"[gateway.tls]\n{text}\n")
    with pytest.raises(InvalidInput, match="certificate"):
        Platform.open(folder)


@pytest.mark.parametrize(
    ("since", "until", "state"),
    [(-10, 100, "ok"), (-10, 10, "note"), (-10, 0, "FAIL"), (-10, -1, "FAIL"), (1, 100, "FAIL")],
)
def test_the_state_of_a_certificate(since: int, until: int, state: str) -> None:
    certificate = Certificate("CN=x", NOW + timedelta(days=until), NOW + timedelta(days=since))
    assert state_of(certificate, NOW)[0] == state


@pytest.mark.slow
def test_the_doctor_looks_at_certificate_and_tokens(grid: Grid, authority: Authorities) -> None:
    certificate, key = authority("own").issue("gateway", timedelta(days=-1))
    folder = grid(section(certificate, key) + '[gateway]\nhost = "0.0.0.0"\n')
    checks = {check["name"]: check for check in check_installation(folder)["checks"]}
    assert checks["tls"]["state"] == "FAIL"
    assert "expired" in checks["tls"]["detail"]
    assert checks["access"]["state"] == "note"
    assert "can be reached from elsewhere" in checks["access"]["detail"]
