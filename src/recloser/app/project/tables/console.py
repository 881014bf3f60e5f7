"""Owns the tables `[console]` and `[console.oidc]` of the project file: the provider that people sign in by."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from recloser.app.project.tables.section import Section
from recloser.core import InvalidInput, unknown_name

ROLES = ("viewer", "operator", "engineer", "approver", "auditor")
"""What people may be to the pages."""
WHERE = "console.oidc"


class OidcSection(Section):
    """The OpenID Connect provider that people sign in by, and what its claims mean here: `[console.oidc]`."""

    issuer: str | None = None
    client_id: Annotated[str, Field(min_length=1)] | None = None
    client_secret_file: str | None = None
    label: Annotated[str, Field(min_length=1, max_length=60)] = "single sign-on"
    scopes: tuple[str, ...] = ("profile",)
    name_claim: str = "preferred_username"
    roles_claim: str = "groups"
    roles: dict[str, tuple[str, ...]] = {}  # noqa: RUF012 - pydantic copies defaults
    public_url: str | None = None
    tls_ca: str | None = None
    clock_skew_seconds: Annotated[int, Field(ge=0, le=600)] = 60
    timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 5.0

    @property
    def wanted(self) -> bool:
        """Return whether people sign in by a provider."""
        return self.issuer is not None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.issuer is None) != (self.client_id is None):
            raise InvalidInput("an issuer and a client_id go together", where=WHERE, next_step="Set both, or neither.")
        for name, url in (("issuer", self.issuer), ("public_url", self.public_url)):
            if url is not None:
                require_secure(url, f"{WHERE}.{name}")
        for role in self.roles:
            if role not in ROLES:
                raise unknown_name("role", role, ROLES, where=f"{WHERE}.roles")
        if self.wanted and not any(self.roles.values()):
            raise InvalidInput(
                "nobody would have a role",
                where=f"{WHERE}.roles",
                next_step=f'Say which values of {self.roles_claim} mean what: roles = {{ operator = ["shift"] }}.',
            )
        return self


class ConsoleSection(Section):
    """The pages: `[console]`."""

    oidc: OidcSection = OidcSection()


def require_secure(url: str, where: str) -> None:
    """See that an address is of https; of http only on this host.

    Raises:
        InvalidInput: it is not.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidInput("not an address", got=url[:200], where=where) from error
    fine = parts.scheme == "https" or (parts.scheme == "http" and _is_here(host))
    if not host or not fine or parts.username is not None or parts.fragment:
        raise InvalidInput("not an address that is safe", got=url[:200], expected="https://...", where=where)


def _is_here(host: str | None) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False
