"""Owns the TLS of a device of the project file, as IEC 62351-3 wants it, and how long it holds. Connects to nothing."""

from __future__ import annotations

import ssl
from pathlib import Path

from recloser.app.project.tables.links import DeviceSection
from recloser.app.security.certificates import Certificate, read_certificate
from recloser.app.security.reaching import client_context


def tls_of(root: Path, device: DeviceSection) -> ssl.SSLContext | None:
    """Return the context of an encrypted connection, None without `tls_ca`.

    Raises:
        InvalidInput: a file is missing or unusable.
    """
    if device.tls_ca is None:
        return None
    both = device.tls_certificate is not None and device.tls_key is not None
    own = (device.tls_certificate or "", device.tls_key or "") if both else None
    return client_context(root, device.tls_ca, own, f"links.devices {device.name}")


def certificates_of(root: Path, device: DeviceSection) -> list[Certificate]:
    """Return the certificates that a device's connection rests on: the authority's, ours, and the server's.

    Raises:
        InvalidInput: a file is missing or holds none.
        Unavailable: it cannot be read.
    """
    files = (device.tls_ca, device.tls_certificate, device.server_certificate)
    return [read_certificate(root / file) for file in files if file is not None]


def first_to_end(root: Path, device: DeviceSection) -> Certificate | None:
    """Return the one that ends first, None without any; raises as `certificates_of`."""
    return min(certificates_of(root, device), key=lambda one: one.until, default=None)
