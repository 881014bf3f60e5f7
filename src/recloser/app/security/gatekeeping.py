"""Owns what the project file says about admission, as the gateway takes it. Judges no request."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from recloser.app.platform import Platform
from recloser.app.project.settings import load_project
from recloser.app.project.tables.gateway import TlsSection
from recloser.app.replay.policies.scratch import is_scratch
from recloser.app.security.certificates import tls_options
from recloser.app.security.tokens import LiveTokens
from recloser.core import RecloserError
from recloser.serving.http import Access
from recloser.serving.http.admission import PATIENT_LOOP, Audit, Call, TrafficLimits, protocol_with


def access_of(platform: Platform) -> Access:
    """Return who may call, by the project's token file; without one only operating is restricted, to this host.

    Raises:
        InvalidInput: the token file is damaged: a gateway must not start without it.
    """
    return Access(LiveTokens(platform.layout.tokens, time.monotonic))


def limits_of(platform: Platform) -> TrafficLimits:
    """Return the bounds of traffic of the project file."""
    limits = platform.project.gateway.limits
    return TrafficLimits(
        requests_per_second=limits.requests_per_second,
        burst=limits.burst,
        concurrent=limits.concurrent,
        overload_ms=limits.overload_ms,
        connections=limits.connections,
        header_seconds=limits.header_seconds,
        body_seconds=limits.body_seconds,
        write_seconds=limits.write_seconds,
    )


def audit_of(platform: Platform) -> Audit:
    """Return what writes each operation into the audit log; with the ledger gone it goes to the process's log."""

    def audit(call: Call) -> None:
        facts = {"scope": call.scope, "method": call.method, "status": call.status, "unnoted": call.unnoted}
        try:
            with platform.ledger.change(printable(call.actor), platform.clock.now()) as change:
                change.note("gateway.call", printable(call.path), facts)
        except RecloserError as error:
            sys.stderr.write(f"gateway: not in the audit log: {call!r}: {error.explain()}\n")

    return audit


def printable(text: str) -> str:
    """Return a caller's text without what could deceive a reader of the log."""
    return "".join(c if c.isprintable() else "?" for c in text) or "unknown"


def uvicorn_options(platform: Platform) -> dict[str, Any]:
    """Return uvicorn's options for patience, size and TLS.

    Raises:
        InvalidInput: unusable TLS files.
    """
    return {
        "http": protocol_with(limits_of(platform)),
        "loop": PATIENT_LOOP,
        "ws": "none",
        "server_header": False,
        **tls_options(platform.layout.root, platform.project.gateway.tls),
    }


def console_tls(folder: Path) -> dict[str, Any]:
    """Return uvicorn's options for the pages: the gateway's certificate, and none asked of people's browsers.

    Raises:
        InvalidInput: no project, or unusable TLS files.
        Unavailable: a file cannot be read.
    """
    if is_scratch(folder):  # a replay that is over: shown on this host, without the project's own files
        return {}
    tls = load_project(folder).gateway.tls
    return tls_options(folder, tls.model_copy(update={"client_ca": None}))


GrpcSecurity = tuple[bytes, bytes, bytes | None]
"""Key, certificate and the callers' authority, or None for callers without a certificate; all PEM."""


def grpc_security(platform: Platform) -> GrpcSecurity | None:
    """Return key, certificate and the callers' authority (PEM) for the gRPC port, None without TLS.

    Raises:
        InvalidInput: unusable TLS files.
    """
    root, tls = platform.layout.root, platform.project.gateway.tls
    if tls.certificate is None or tls.key is None:
        return None
    tls_options(root, tls)
    authority = None if tls.client_ca is None else (root / tls.client_ca).read_bytes()
    return (root / tls.key).read_bytes(), (root / tls.certificate).read_bytes(), authority


def scheme_of(tls: TlsSection) -> str:
    """Return the scheme of the gateway's address."""
    return "http" if tls.certificate is None else "https"
