"""Owns the check-up of a project's devices: registries, series, extras, certificates. Connects to none."""

from __future__ import annotations

from recloser.app.links.encryption import certificates_of
from recloser.app.links.opening import client_of, registry_of
from recloser.app.links.series import series_of
from recloser.app.links.state import LinkFolders
from recloser.app.links.telling import link_sentences, links_document
from recloser.app.platform import Platform
from recloser.app.security.certificates import state_of

WORST = ("ok", "note", "FAIL")


def check_links(platform: Platform) -> dict[str, str]:
    """Return {"name", "state", "detail"} about all devices of a project.

    Raises:
        RecloserError: a device cannot be used as it is written; the message says which and why.
    """
    devices, root, now = platform.project.links.devices, platform.layout.root, platform.clock.now()
    if not devices:
        return {"name": "links", "state": "ok", "detail": "no devices"}
    series = series_of(
        {device.name: registry_of(root, device) for device in devices}, platform.project.links, platform.watched
    )
    found: list[tuple[str, str]] = []
    for device in devices:
        client_of(root, device, platform.clock)
        for certificate in certificates_of(root, device):
            state, why = state_of(certificate, now)
            found.append((state, f"{device.name}: {why}"))
    rows = links_document(devices, LinkFolders(platform.layout.links), now)
    if any(row["state"] in {"down", "silent"} for row in rows):
        found.append(("note", " ".join(link_sentences(rows))))
    state = max((state for state, _ in found), key=WORST.index, default="ok")
    told = [why for level, why in found if level == state and state != "ok"]
    return {
        "name": "links",
        "state": state,
        "detail": "; ".join(told) or f"{len(devices)} devices, {len(series)} series",
    }
