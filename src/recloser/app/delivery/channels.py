"""Owns the channels of the project file as couriers use them. Sends nothing."""

from __future__ import annotations

from recloser.app.delivery.webhook import Webhook
from recloser.app.platform import Platform


def channels_of(platform: Platform) -> tuple[Webhook, ...]:
    """Return the webhooks of the project file; a secret that is missing fails the notice, not the controller."""
    source = f"/recloser/{platform.project.project.name}".replace(" ", "-")
    root = platform.layout.root
    hooks = platform.project.notify.webhooks
    secrets = [None if hook.secret_file is None else root / hook.secret_file for hook in hooks]
    return tuple(
        Webhook(hook.name, hook.url, secret, source, hook.timeout_seconds)
        for hook, secret in zip(hooks, secrets, strict=True)
    )
