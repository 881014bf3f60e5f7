"""TLS and mutual TLS of the gRPC port, by real handshakes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from recloser.app.loop.control_loop import ControlLoop, LoopOptions
from recloser.app.platform import Platform
from recloser.app.processes.server import gateway_service
from recloser.app.security.gatekeeping import grpc_security
from recloser.serving.grpc import grpc_lifespan
from recloser.serving.http import EventBuffer

grpc = pytest.importorskip("grpc", reason="the extra grpc is not installed")

Grid = Callable[..., Path]
Authorities = Callable[[str], Any]
LIVE, IS_LIVE = "/inference.GRPCInferenceService/ServerLive", b"\x08\x01"


@contextmanager
def port_of(platform: Platform) -> Iterator[int]:
    """Serve a project over gRPC, with the TLS that it asks for."""
    service = gateway_service(platform, ControlLoop(platform, LoopOptions()), EventBuffer())
    ports: list[int] = []
    opened, over = threading.Event(), threading.Event()

    def told(port: int) -> None:
        ports.append(port)
        opened.set()

    async def serve() -> None:
        async with grpc_lifespan(service, "127.0.0.1", 0, told, tls=grpc_security(platform))(None):
            await asyncio.to_thread(over.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert opened.wait(20)
        yield ports[0]
    finally:
        over.set()
        thread.join()


def answer(port: int, trusted: Path | None, own: tuple[Path, Path] | None = None) -> bytes | str:
    """Return the answer to one call, or the status it failed with."""
    certificate, key = (None, None) if own is None else (path.read_bytes() for path in own)
    if trusted is None:
        channel = grpc.insecure_channel(f"127.0.0.1:{port}")
    else:
        secured = grpc.ssl_channel_credentials(trusted.read_bytes(), key, certificate)
        channel = grpc.secure_channel(f"localhost:{port}", secured)
    with channel:
        try:
            return bytes(channel.unary_unary(LIVE)(b"", timeout=20))
        except grpc.RpcError as error:
            return str(error.code().name)


def test_only_who_trusts_the_right_authority_gets_an_answer(grid: Grid, authority: Authorities) -> None:
    own, strangers = authority("own"), authority("strangers")
    certificate, key = own.issue("gateway")
    settings = f'[gateway.tls]\ncertificate = "{certificate}"\nkey = "{key}"\n'
    with Platform.open(grid(settings)) as platform, port_of(platform) as port:
        assert answer(port, own.path) == IS_LIVE
        assert answer(port, strangers.path) == "UNAVAILABLE"
        assert answer(port, None) == "UNAVAILABLE"


def test_mutual_tls_lets_in_who_has_a_certificate_of_the_right_authority(grid: Grid, authority: Authorities) -> None:
    own, callers, strangers = authority("own"), authority("callers"), authority("strangers")
    certificate, key = own.issue("gateway")
    settings = f'[gateway.tls]\ncertificate = "{certificate}"\nkey = "{key}"\nclient_ca = "{callers.path}"\n'
    with Platform.open(grid(settings)) as platform, port_of(platform) as port:
        assert answer(port, own.path, callers.issue("caller")) == IS_LIVE
        assert answer(port, own.path, strangers.issue("stranger")) == "UNAVAILABLE"
        assert answer(port, own.path) == "UNAVAILABLE"
        assert answer(port, None) == "UNAVAILABLE"
