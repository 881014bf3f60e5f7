"""Owns the TLS of a device of the project file, as IEC 62351-3 wants it. Connects to nothing."""

from __future__ import annotations

import ssl
from pathlib import Path

from recloser.app.project.tables.links import DeviceSection
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
