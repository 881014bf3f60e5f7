"""Owns one topic of an MQTT broker: a notice as CloudEvents, one message an area where the topic names one.

Retries nothing, and knows the library of MQTT not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from urllib.parse import quote

from recloser.app.delivery.courier import WORTH
from recloser.app.delivery.events import CONTENT_TYPE, areas_of, event_body
from recloser.connectors.live.mqtt_message import Message
from recloser.core import InvalidInput, Refused, Unavailable
from recloser.ledger import NoticeRecord

PLAIN = " !\"&'()*,:;<=>?@[\\]^`{|}"
"""What stays as it is in a level of a topic, besides messages and digits: not / + # %, nor control characters."""

SPECIAL = "/+#%"
NO_AREA = "-"
"""The level of an area in the topic of what is about none."""


class Publisher(Protocol):
    """Publishes messages with a receipt for each; one connection a call. `MqttPublisher` is one."""

    def publish(self, messages: Sequence[Message]) -> list[str]:
        """Return the topics that nobody is subscribed to; raises Unavailable, or Refused where a receipt is missing."""
        ...

    def check(self) -> None:
        """Connect and part again; raises Unavailable."""
        ...


@dataclass(frozen=True, slots=True)
class MqttTopic:
    """Where notices go.

    Attributes:
        name: of the channel.
        topic: with {project}, {kind}, {release}, {area}.
        project: its name.
        source: `source` of the events.
        open: makes the publisher, at each attempt: secrets and certificates are read anew.
        open_check: makes one under another client id, so that a check ends no connection that delivers.
        retain: the broker keeps the last message of each topic for who subscribes later.
        unheard: 'retry': a notice whose topics nobody at all is subscribed to is not delivered yet; or 'accept'.
    """

    name: str
    topic: str
    project: str
    source: str
    open: Callable[[], Publisher]
    open_check: Callable[[], Publisher]
    retain: bool = False
    unheard: str = "retry"

    def send(self, notice: NoticeRecord, now: datetime) -> None:
        """Publish the notice once; the broker's receipts of all its messages are the receipt.

        The same notice always gives the same messages with the same ids.

        Raises:
            Unavailable: no connection to the broker.
            Refused: a message got no receipt, or nobody is subscribed.
        """
        messages = self.messages(notice, now)
        unheard = opened(self.open, self.name).publish(messages)
        if len(unheard) == len(messages) and self.unheard == "retry" and not self.retain:
            raise Refused(
                "nobody is subscribed",
                got=", ".join(unheard[:3]),
                where=self.name,
                next_step="Subscribe with a session that the broker keeps, or set unheard = 'accept'.",
            )

    def check(self) -> None:
        """Connect and part again; publishes nothing. Raises Unavailable."""
        opened(self.open_check, self.name).check()

    def messages(self, notice: NoticeRecord, now: datetime) -> list[Message]:
        """Return the messages of a notice, by area if the topic names one and the notice is about some."""
        left = max(1, int((notice.at + WORTH - now) / timedelta(seconds=1)))
        areas: Sequence[str | None] = (areas_of(notice) if "{area}" in self.topic else []) or [None]
        return [
            Message(self.named(notice, area), event_body(notice, self.source, area), CONTENT_TYPE, self.retain, left)
            for area in areas
        ]

    def named(self, notice: NoticeRecord, area: str | None) -> str:
        """Return the topic of a notice and area; / + # % and control characters of a name are percent-encoded."""
        values = {
            "project": self.project,
            "kind": notice.kind,
            "release": notice.subject,
            "area": NO_AREA if area is None else area,
        }
        return self.topic.format(**{name: level_of(text) for name, text in values.items()})


def opened(make: Callable[[], Publisher], name: str) -> Publisher:
    """Return a publisher; a file that is wrong now may be mended without a restart.

    Raises:
        Unavailable: it cannot be made now.
    """
    try:
        return make()
    except InvalidInput as error:
        raise Unavailable(error.what, got=error.got, where=name, next_step=error.next_step) from error


def level_of(text: str) -> str:
    """Return a name as one level of a topic."""
    kept = (letter if letter.isprintable() and letter not in SPECIAL else quote(letter, safe="") for letter in text)
    return "".join(kept)
