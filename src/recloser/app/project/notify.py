"""Owns the table of the project file about consumers of recalls: `[notify]`. Opens nothing it names."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from recloser.app.project.section import Section
from recloser.core import InvalidInput


class WebhookSection(Section):
    """One webhook: `[[notify.webhooks]]`; the secret's file is relative to the project."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,40}$")]
    url: Annotated[str, Field(pattern=r"^https?://[^/\s]+")]
    secret_file: str | None = None
    timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 5.0


class NotifySection(Section):
    """Who is told of recalls: `[notify]`."""

    webhooks: tuple[WebhookSection, ...] = ()

    @field_validator("webhooks")
    @classmethod
    def _names_differ(cls, webhooks: tuple[WebhookSection, ...]) -> tuple[WebhookSection, ...]:
        names = [hook.name for hook in webhooks]
        if len(set(names)) < len(names):
            raise InvalidInput("two webhooks of one name", got=names, where="notify.webhooks")
        return webhooks
