"""Owns the check-up of signing in by a provider: it answers, and tells keys that can be used. Lets nobody in."""

from __future__ import annotations

from recloser.app.platform import Platform
from recloser.app.security.oidc.joserfc_tokens import require_joserfc
from recloser.app.security.oidc.provider import Provider


def check_sign_in(platform: Platform) -> dict[str, str]:
    """Return doctor's finding.

    Raises:
        Unavailable: the provider cannot be reached, or the extra `oidc` is not installed.
    """
    section = platform.project.console.oidc
    if not section.wanted:
        return {"name": "sign-in", "state": "ok", "detail": "by local accounts, where there are any"}
    require_joserfc()
    keys = Provider(section, platform.layout.root).keys(None)
    return {"name": "sign-in", "state": "ok", "detail": f"{section.issuer} answers and tells {len(keys)} keys"}
