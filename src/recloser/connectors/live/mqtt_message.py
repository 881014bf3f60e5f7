"""Owns a message to be published to an MQTT broker. Publishes nothing, and needs no library."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Message:
    """What is published.

    Attributes:
        topic: without wildcards.
        payload: as it is sent.
        content_type: told to subscribers by MQTT 5.
        retain: the broker keeps it for who subscribes later, until the next one of its topic.
        expires_s: the broker may forget it after so long (MQTT 5); None: never.
    """

    topic: str
    payload: bytes
    content_type: str
    retain: bool = False
    expires_s: int | None = None
