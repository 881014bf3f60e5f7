"""Owns the channels of the project file as couriers use them. Sends nothing."""

from __future__ import annotations

from recloser.app.delivery.webhook import Webhook
from recloser.app.platform import Platform
from recloser.core import InvalidInput


def channels_of(platform: Platform) -> tuple[Webhook, ...]:
    """Return the webhooks of the project file with their secrets.

    Raises:
        InvalidInput: a secret's file cannot be read, or is empty: nothing is sent unsigned by mistake.
    """
    source = f"/recloser/{platform.project.project.name}".replace(" ", "-")
    return tuple(
        Webhook(hook.name, hook.url, _secret(platform, hook.secret_file), source, hook.timeout_seconds)
        for hook in platform.project.notify.webhooks
    )


def _secret(platform: Platform, name: str | None) -> bytes:
    if name is None:
        return b""
    path = platform.layout.root / name
    try:
        secret = path.read_bytes().strip()
    except OSError as error:
        raise InvalidInput("cannot read a webhook's secret", got=error.strerror, where=str(path)) from error
    if not secret:
        raise InvalidInput("an empty secret", where=str(path), next_step="Write a long random text into it.")
    return secret
