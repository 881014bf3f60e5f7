"""Owns what we show and trust when we call others: contexts of TLS and secrets in files. Connects to nobody."""

from __future__ import annotations

import ssl
from pathlib import Path

from recloser.core import InvalidInput, Unavailable


def client_context(root: Path, authority: str | None, own: tuple[str, str] | None, where: str) -> ssl.SSLContext:
    """Return the context of an encrypted connection, TLS 1.2 at least; the other side must show a certificate.

    Args:
        root: folder that the files are relative to.
        authority: file of the authority that signs the other side's; None: those that the system trusts.
        own: our certificate and its key, where the other side asks for one.
        where: for errors.

    Raises:
        InvalidInput: a file is missing or unusable.
    """
    try:
        context = ssl.create_default_context(cafile=None if authority is None else str(root / authority))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if own is not None:
            context.load_cert_chain(root / own[0], root / own[1])
    except (ssl.SSLError, OSError) as error:
        raise InvalidInput(
            "unusable TLS files",
            got=str(error)[:200],
            where=where,
            next_step="They must be in PEM form, and certificate and key belong together.",
        ) from error
    return context


def secret_of(path: Path, where: str) -> bytes:
    """Return a secret from its file, without the line end; never an empty one.

    Raises:
        Unavailable: there is none.
    """
    try:
        secret = path.read_bytes().strip()
    except OSError as error:
        raise Unavailable("a secret cannot be read", got=f"{path}: {error.strerror}", where=where) from error
    if not secret:
        raise Unavailable("an empty secret", got=str(path), where=where)
    return secret
