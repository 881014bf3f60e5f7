"""Owns the gateway's certificate: whether it can be used and for how long, and uvicorn's options for it. Makes none."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509

from recloser.app.project.tables.gateway import TlsSection
from recloser.core import InvalidInput, Unavailable, format_utc

SOON = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a certificate file says: its subject and until when it is valid (aware UTC)."""

    subject: str
    until: datetime
    since: datetime


def read_certificate(path: Path) -> Certificate:
    """Return what the first certificate of a PEM file, or the one of a DER file, says.

    Raises:
        InvalidInput: no such file, or no certificate in it.
        Unavailable: it cannot be read.
    """
    content = _content(path)
    try:
        load = x509.load_pem_x509_certificate if b"-----BEGIN" in content else x509.load_der_x509_certificate
        found = load(content)
    except ValueError as error:
        raise InvalidInput("not a certificate in PEM or DER form", got=str(error)[:200], where=str(path)) from error
    return Certificate(found.subject.rfc4514_string(), found.not_valid_after_utc, found.not_valid_before_utc)


def state_of(certificate: Certificate, now: datetime) -> tuple[str, str]:
    """Return ('ok', 'note' or 'FAIL', why) for a certificate at `now` (aware UTC)."""
    told = f"{certificate.subject} is valid until {format_utc(certificate.until)}"
    if now >= certificate.until:
        return "FAIL", f"{told}: expired; install a new one and restart"
    if now < certificate.since:
        return "FAIL", f"{certificate.subject} is valid only from {format_utc(certificate.since)}"
    left = certificate.until - now
    return ("note", f"{told}: {left.days} days left; renew it") if left < SOON else ("ok", told)


def tls_options(root: Path, tls: TlsSection) -> dict[str, Any]:
    """Return uvicorn's options for the project's TLS, none without a certificate; TLS 1.2 at least.

    With `client_ca` only callers with a certificate signed by it get as far as HTTP.

    Raises:
        InvalidInput: a file is missing, or certificate and key do not belong together.
        Unavailable: a file cannot be read.
    """
    if tls.certificate is None or tls.key is None:
        return {}
    certificate, key = root / tls.certificate, root / tls.key
    authority = None if tls.client_ca is None else root / tls.client_ca
    for path in (certificate, key, *(() if authority is None else (authority,))):
        _content(path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    try:
        context.load_cert_chain(certificate, key)
        if authority is not None:
            context.load_verify_locations(authority)
            context.verify_mode = ssl.CERT_REQUIRED
    except (ssl.SSLError, OSError) as error:
        raise InvalidInput(
            "unusable TLS files",
            got=str(error)[:200],
            where="gateway.tls",
            next_step="Key and certificate must belong together and be in PEM form, the key without a passphrase.",
        ) from error
    return {"ssl_context_factory": lambda _config, _default: context}


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise InvalidInput("no such file", got=str(path), where="gateway.tls") from error
    except OSError as error:
        raise Unavailable("a TLS file cannot be read", got=error.strerror, where=str(path)) from error
