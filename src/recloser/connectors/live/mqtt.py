"""Owns reading points from an MQTT broker (extra `mqtt`: paho-mqtt). Acknowledges a message once it is durable.

paho and not aiomqtt: aiomqtt acknowledges a message when it arrives, before anyone could have kept it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from recloser.connectors.live.mqtt_payload import MqttFormat, reading_of, split_address
from recloser.connectors.live.supervision import Deliver
from recloser.connectors.points import Point, PointReading, PointRegistry, nanoseconds
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
    """Reads the points of a registry from one broker; publishes nothing.

    Args:
        source: the broker or device, as the project names it.
        broker: where it is.
        registry: its points; their addresses are topics, or TOPIC|path in JSON.
        clock: tells the time of arrival.
        form: how messages are written.
    """

    def __init__(
        self, source: str, broker: Broker, registry: PointRegistry, clock: Clock, form: MqttFormat | None = None
    ) -> None:
        self._source, self._broker, self._clock, self._form = source, broker, clock, form or MqttFormat()
        self._topics: dict[str, list[Point]] = {}
        for point in registry.points:
            self._topics.setdefault(split_address(point.address)[0], []).append(point)

    async def run(self, up: Callable[[], None], deliver: Deliver) -> None:
        """Read until the connection is lost.

        Raises:
            Unavailable: it cannot be made, is refused or lost.
        """
        queue: asyncio.Queue[Any] = asyncio.Queue()
        client = self._client(queue, asyncio.get_running_loop())
        try:
            await asyncio.to_thread(
                client.connect, self._broker.host, self._broker.port, keepalive=self._broker.keep_alive_s
            )
        except (OSError, ValueError) as error:
            raise Unavailable("no connection to the broker", got=str(error), where=self._source) from error
        client.loop_start()
        try:
            await self._read(client, queue, up, deliver)
        finally:
            client.disconnect()
            client.loop_stop()

    def _client(self, queue: asyncio.Queue[Any], loop: asyncio.AbstractEventLoop) -> paho.Client:
        def tell(item: Any) -> None:
            loop.call_soon_threadsafe(queue.put_nowait, item)

        def connected(client: paho.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
            if reason.is_failure:
                tell(Unavailable("the broker refused", got=str(reason), where=self._source))
            else:
                client.subscribe([(topic, QOS) for topic in self._topics])

        def subscribed(_client: Any, _data: Any, _mid: int, reasons: Any, _properties: Any) -> None:
            refused = [str(reason) for reason in reasons if reason.value >= REFUSED]
            tell(Unavailable("the broker refused a topic", got=refused, where=self._source) if refused else "up")

        def lost(_client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
            tell(Unavailable("the connection to the broker broke", got=str(reason), where=self._source))

        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._broker.client_id,
            clean_session=False,
            manual_ack=True,
            reconnect_on_failure=False,
        )
        if self._broker.username is not None:
            client.username_pw_set(self._broker.username, self._broker.password)
        if self._broker.tls is not None:
            client.tls_set_context(self._broker.tls)
        client.on_connect, client.on_subscribe, client.on_disconnect = connected, subscribed, lost
        client.on_message = lambda _client, _data, message: tell(message)
        return client

    async def _read(
        self, client: paho.Client, queue: asyncio.Queue[Any], up: Callable[[], None], deliver: Deliver
    ) -> None:
        while True:
            items = [await queue.get()]
            while not queue.empty() and len(items) < TOGETHER:
                items.append(queue.get_nowait())
            messages = [item for item in items if isinstance(item, paho.MQTTMessage)]
            if "up" in [item for item in items if isinstance(item, str)]:
                up()
            deliver([reading for message in messages for reading in self._readings(message)])
            for message in messages:
                client.ack(message.mid, message.qos)
            for item in items:
                if isinstance(item, Unavailable):
                    raise item

    def _readings(self, message: paho.MQTTMessage) -> list[PointReading]:
        now_ns = nanoseconds(self._clock.now())
        points = self._topics.get(message.topic, [])
        return [reading_of(bytes(message.payload), point, self._form, self._source, now_ns) for point in points]
