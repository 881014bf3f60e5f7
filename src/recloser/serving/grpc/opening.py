"""Owns opening and closing the gRPC port beside the HTTP one, in the same event loop. Guards the optional extra."""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from recloser.core import Unavailable
from recloser.serving.http import Service

GRACE_S = 3.0
"""Requests under way have so many seconds to end when the server stops."""

Lifespan = Callable[[Any], AbstractAsyncContextManager[None]]


def require_grpc() -> None:
    """Check that the optional extra is installed.

    Raises:
        Unavailable: it is not.
    """
    for name in ("grpc", "google.protobuf"):
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise Unavailable(
                "gRPC is not installed",
                got=name,
                where="gateway.grpc_port",
                next_step="Install recloser[grpc], or set grpc_port = 0.",
            ) from error


def grpc_lifespan(
    service: Service,
    host: str,
    port: int,
    told: Callable[[int], None] | None = None,
    tls: tuple[bytes, bytes, bytes | None] | None = None,
) -> Lifespan:
    """Return a lifespan for `build_app` during which the gRPC port is open too.

    Args:
        service: the same that HTTP serves.
        host: address to listen on.
        port: port; 0 lets the system choose.
        told: called with the port once it is open.
        tls: key, certificate and, if callers need a certificate, the authority that signs theirs; all PEM.

    Raises:
        Unavailable: gRPC is not installed; or, when the lifespan begins, the port is taken.
    """
    require_grpc()
    from recloser.serving.grpc.server import start  # noqa: PLC0415  # only with the optional extra

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        server, bound = await start(service, host, port, tls)
        if told is not None:
            told(bound)
        try:
            yield
        finally:
            await server.stop(GRACE_S)

    return lifespan
