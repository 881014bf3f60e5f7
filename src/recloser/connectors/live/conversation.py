"""Owns what is said and heard over an MQTT broker, apart from the broker: topics, messages, readings. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from recloser.connectors.points import Missed, PointReading


@dataclass(frozen=True, slots=True)
class Publication:
    """What is published: `qos` 0 or 1, `retain` for the broker to keep the latest."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False


@dataclass(frozen=True, slots=True)
class Opening:
    """How a connection begins.

    Attributes:
        topics: filters to subscribe to, QoS 1.
        will: what the broker says for us when we are lost; None for nothing.
        first: what we say once the broker has taken the subscription.
        last: what we say before we leave in order.
        kept: the broker keeps what comes while we are away.
    """

    topics: Sequence[str]
    will: Publication | None = None
    first: Sequence[Publication] = ()
    last: Sequence[Publication] = ()
    kept: bool = True


@dataclass(frozen=True, slots=True)
class Heard:
    """What a message gives: readings and losses in their order, and what is to be said to it."""

    found: Sequence[PointReading | Missed] = ()
    say: Sequence[Publication] = ()


class Conversation(Protocol):
    """One device's way to use a broker. Called from the link's event loop, one call at a time; raises nothing."""

    def begin(self, now_ns: int) -> Opening:
        """Return how a new connection begins."""
        ...

    def heard(self, topic: str, payload: bytes, now_ns: int) -> Heard:
        """Return what a message gives."""
        ...

    def counts(self) -> dict[str, int]:
        """Return counters by name."""
        ...
