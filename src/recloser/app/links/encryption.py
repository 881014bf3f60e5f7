"""Owns the TLS of a device of the project file, as IEC 62351-3 wants it. Connects to nothing."""

from __future__ import annotations

import ssl
from pathlib import Path

from recloser.app.project.links import DeviceSection
from recloser.core import InvalidInput


def tls_of(root: Path, device: DeviceSection) -> ssl.SSLContext | None:
    """Return the context of an encrypted connection as IEC 62351-3 wants it, None without `tls_ca`.

    Raises:
        InvalidInput: a file is missing or unusable.
    """
    if device.tls_ca is None:
        return None
    try:
        context = ssl.create_default_context(cafile=str(root / device.tls_ca))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if device.tls_certificate is not None and device.tls_key is not None:
            context.load_cert_chain(root / device.tls_certificate, root / device.tls_key)
    except (ssl.SSLError, OSError) as error:
        raise InvalidInput(
            "unusable TLS files",
            got=str(error)[:200],
            where=f"links.devices {device.name}",
            next_step="They must be in PEM form, and certificate and key belong together.",
        ) from error
    return context
