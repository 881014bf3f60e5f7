"""Owns the check-up of a project's inlets: whether each could prove a sender. Repairs and sends nothing."""

from __future__ import annotations

import os

from recloser.app.inlets.opening import secrets_of
from recloser.app.platform import Platform
from recloser.core import RecloserError

OTHERS = 0o077
WORST = ("ok", "note", "FAIL")


def check_inlets(platform: Platform) -> dict[str, str]:
    """Return {"name", "state", "detail"} about all inlets."""
    inlets = platform.project.triggers.inlets
    found: list[tuple[str, str]] = []
    for inlet in inlets:
        try:
            secrets = secrets_of(inlet, platform.layout.root, os.environ)
        except RecloserError as error:
            found.append(("FAIL", f"{inlet.name}: {error.explain()} It takes nothing in until that is mended"))
            continue
        if not secrets and not platform.layout.tokens.exists():
            found.append(("note", f"{inlet.name}: no secret and no tokens: whoever is on this host may ask"))
        if inlet.secret_file is not None and (platform.layout.root / inlet.secret_file).stat().st_mode & OTHERS:
            found.append(("note", f"{inlet.name}: others on this machine may read {inlet.secret_file}: chmod 600"))
    state = max((state for state, _ in found), key=WORST.index, default="ok")
    told = [why for level, why in found if level == state]
    return {"name": "inlets", "state": state, "detail": "; ".join(told) or f"{len(inlets)} can prove their senders"}
