"""Owns a conversation over an MQTT broker (extra `mqtt`: paho-mqtt). Acknowledges a message once it is durable.

paho and not aiomqtt: aiomqtt acknowledges a message when it arrives, before anyone could have kept it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from recloser.connectors.live.conversation import Conversation, Opening, Publication
from recloser.connectors.live.supervision import Deliver
from recloser.connectors.points import nanoseconds
from recloser.core import Clock, Unavailable

QOS, TOGETHER = 1, 500  # messages handed on in one go
REFUSED = 0x80


@dataclass(frozen=True, slots=True)
class Broker:
    """Where a broker is and who we are to it.

    Attributes:
        host, port: of the broker.
        client_id: the session's name; the broker keeps what comes while we are away under it.
        username, password: None where the broker asks for none.
        tls: context of an encrypted connection; None for none.
        keep_alive_s: after so long a silence the broker is asked whether it is there.
    """

    host: str
    port: int = 1883
    client_id: str = "recloser"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = None
    keep_alive_s: int = 30


class MqttClient:
    """Has one conversation over one broker.

    Args:
        source: the broker or device, as the project names it.
        broker: where it is.
        conversation: what is said and heard.
        clock: tells the time of arrival.
    """

    def __init__(self, source: str, broker: Broker, conversation: Conversation, clock: Clock) -> None:
        self._source, self._broker, self._talk, self._clock = source, broker, conversation, clock

    async def run(self, up: Callable[[], None], deliver: Deliver) -> None:
        """Read until the connection is lost.

        Raises:
            Unavailable: it cannot be made, is refused or lost.
        """
        queue: asyncio.Queue[Any] = asyncio.Queue()
        opening = self._talk.begin(self._now_ns())
        client = self._client(queue, asyncio.get_running_loop(), opening)
        try:
            await asyncio.to_thread(
                client.connect, self._broker.host, self._broker.port, keepalive=self._broker.keep_alive_s
            )
        except (OSError, ValueError) as error:
            raise Unavailable("no connection to the broker", got=str(error), where=self._source) from error
        client.loop_start()
        try:
            await self._read(client, queue, opening, up, deliver)
        finally:
            _say(client, opening.last)
            client.disconnect()
            client.loop_stop()

    def counts(self) -> dict[str, int]:
        """Return what the conversation counts."""
        return self._talk.counts()

    def _client(self, queue: asyncio.Queue[Any], loop: asyncio.AbstractEventLoop, opening: Opening) -> paho.Client:
        def tell(item: Any) -> None:
            loop.call_soon_threadsafe(queue.put_nowait, item)

        def connected(client: paho.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
            if reason.is_failure:
                tell(Unavailable("the broker refused", got=str(reason), where=self._source))
            else:
                client.subscribe([(topic, QOS) for topic in opening.topics])

        def subscribed(_client: Any, _data: Any, _mid: int, reasons: Any, _properties: Any) -> None:
            refused = [str(reason) for reason in reasons if reason.value >= REFUSED]
            tell(Unavailable("the broker refused a topic", got=refused, where=self._source) if refused else "up")

        def lost(_client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
            tell(Unavailable("the connection to the broker broke", got=str(reason), where=self._source))

        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._broker.client_id,
            clean_session=not opening.kept,
            manual_ack=True,
            reconnect_on_failure=False,
        )
        if opening.will is not None:
            client.will_set(opening.will.topic, opening.will.payload, opening.will.qos, opening.will.retain)
        if self._broker.username is not None:
            client.username_pw_set(self._broker.username, self._broker.password)
        if self._broker.tls is not None:
            client.tls_set_context(self._broker.tls)
        client.on_connect, client.on_subscribe, client.on_disconnect = connected, subscribed, lost
        client.on_message = lambda _client, _data, message: tell(message)
        return client

    async def _read(
        self,
        client: paho.Client,
        queue: asyncio.Queue[Any],
        opening: Opening,
        up: Callable[[], None],
        deliver: Deliver,
    ) -> None:
        while True:
            items = [await queue.get()]
            while not queue.empty() and len(items) < TOGETHER:
                items.append(queue.get_nowait())
            messages = [item for item in items if isinstance(item, paho.MQTTMessage)]
            if "up" in [item for item in items if isinstance(item, str)]:
                up()
                _say(client, opening.first)
            now_ns = self._now_ns()
            heard = [self._talk.heard(message.topic, bytes(message.payload), now_ns) for message in messages]
            deliver([found for one in heard for found in one.found])
            for message in messages:
                client.ack(message.mid, message.qos)
            _say(client, [message for one in heard for message in one.say])
            for item in items:
                if isinstance(item, Unavailable):
                    raise item

    def _now_ns(self) -> int:
        return nanoseconds(self._clock.now())


def _say(client: paho.Client, messages: Sequence[Publication]) -> None:
    for message in messages:
        client.publish(message.topic, message.payload, message.qos, message.retain)
