"""Owns publishing messages to an MQTT broker, each with the broker's receipt (extra `mqtt`). Keeps and repeats none."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Literal

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from recloser.connectors.live.mqtt import QOS, Broker
from recloser.connectors.live.mqtt_message import Message
from recloser.core import RecloserError, Refused, Unavailable

Version = Literal["5", "3.1.1"]
NOBODY = 0x10
"""The broker took the message, and nobody is subscribed to its topic (MQTT 5, 3.4.2.1)."""
TOGETHER = 20
"""Messages under way at once: what brokers let a client have unless they say less."""
LOOK_S = 0.2


class MqttPublisher:
    """Publishes with QoS 1 over one connection a call: nothing is held between calls, so none of them loses anything.

    MQTT 5 brokers answer each message with a reason. One of 3.1.1 cannot say that it threw a message away.

    Args:
        name: of the channel, for errors.
        broker: where it is and who we are to it; its client id should be ours alone.
        version: of MQTT.
        timeout_s: of connecting, and of a silence while receipts are due.
    """

    def __init__(self, name: str, broker: Broker, *, version: Version = "5", timeout_s: float = 5.0) -> None:
        self._name, self._broker, self._version, self._timeout_s = name, broker, version, timeout_s

    def publish(self, messages: Sequence[Message]) -> list[str]:
        """Publish all, wait for a receipt of each, and return the topics that nobody is subscribed to.

        Raises:
            Unavailable: the broker cannot be reached or refused the connection; perhaps nothing was sent.
            Refused: the connection stood, and a message got no receipt; others of the call may have arrived.
        """
        call = _Call(self._name, self._client(), self._timeout_s)
        call.connect(self._broker)
        try:
            return call.publish(messages, self._properties if self._version == "5" else lambda _message: None)
        finally:
            call.end()

    def check(self) -> None:
        """Connect and part again; publishes nothing.

        Raises:
            Unavailable: the broker cannot be reached or refused the connection.
        """
        call = _Call(self._name, self._client(), self._timeout_s)
        call.connect(self._broker)
        call.end()

    def _client(self) -> paho.Client:
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._broker.client_id,
            clean_session=None if self._version == "5" else True,
            protocol=paho.MQTTv5 if self._version == "5" else paho.MQTTv311,
            reconnect_on_failure=False,
        )
        client.connect_timeout = self._timeout_s
        client.max_inflight_messages_set(TOGETHER)
        if self._broker.username is not None:
            client.username_pw_set(self._broker.username, self._broker.password)
        if self._broker.tls is not None:
            self._broker.tls.sslsocket_class = _Socket
            client.tls_set_context(self._broker.tls)
        return client

    @staticmethod
    def _properties(message: Message) -> Properties:
        properties = Properties(PacketTypes.PUBLISH)
        properties.ContentType = message.content_type
        properties.PayloadFormatIndicator = 1  # text
        if message.expires_s is not None:
            properties.MessageExpiryInterval = message.expires_s
        return properties


class _Socket(ssl.SSLSocket):
    """Closed when its handshake fails: paho would forget it open."""

    def do_handshake(self, *given: Any, **named: Any) -> None:
        try:
            super().do_handshake(*given, **named)
        except OSError:
            self.close()
            raise


class _Call:
    """One connection, driven on the caller's thread."""

    def __init__(self, name: str, client: paho.Client, timeout_s: float) -> None:
        self._name, self._client, self._timeout_s = name, client, timeout_s
        self._ended: RecloserError | None = None
        self._connected, self._room = False, TOGETHER
        self._receipts: dict[int, Any] = {}
        client.on_connect, client.on_disconnect, client.on_publish = self._on_connect, self._on_lost, self._on_receipt

    def connect(self, broker: Broker) -> None:
        try:
            self._client.connect(broker.host, broker.port, keepalive=broker.keep_alive_s)
        except (OSError, ValueError) as error:
            where = f"{self._name} ({broker.host}:{broker.port})"
            raise Unavailable("no connection to the broker", got=str(error), where=where) from error
        try:
            self._drive(lambda: self._connected, Unavailable("the broker does not answer", where=self._name))
        except RecloserError:
            self.end()
            raise

    def publish(self, messages: Sequence[Message], properties: Callable[[Message], Properties | None]) -> list[str]:
        sent: dict[int, str] = {}
        silent = Refused("the broker gave no receipt in time", where=self._name)
        for start in range(0, len(messages), self._room):
            for message in messages[start : start + self._room]:
                try:
                    info = self._client.publish(
                        message.topic, message.payload, QOS, message.retain, properties(message)
                    )
                except ValueError as error:
                    raise Refused("not to be published", got=str(error), where=self._name) from error
                sent[info.mid] = message.topic
            self._drive(lambda: len(self._receipts) == len(sent), silent)
        for mid, topic in sent.items():
            if self._receipts[mid].is_failure:
                raise Refused(f"the broker did not take {topic!r}", got=str(self._receipts[mid]), where=self._name)
        return [topic for mid, topic in sent.items() if self._receipts[mid].value == NOBODY]

    def end(self) -> None:
        with suppress(OSError, ValueError):
            self._client.disconnect()
            self._client.loop(LOOK_S)

    def _drive(self, done: Callable[[], bool], late: RecloserError) -> None:
        """Read and write until it is done; `late` is raised after so long without progress."""
        due, before = time.monotonic() + self._timeout_s, len(self._receipts)
        while not done():
            code = self._client.loop(LOOK_S)
            if self._ended is not None:
                raise self._ended
            if code != paho.MQTT_ERR_SUCCESS:
                raise self._lost(paho.error_string(code))
            if len(self._receipts) > before:
                due, before = time.monotonic() + self._timeout_s, len(self._receipts)
            if time.monotonic() > due and not done():
                raise late

    def _lost(self, why: str) -> RecloserError:
        kind = Refused if self._connected else Unavailable
        return kind("the connection to the broker broke", got=why, where=self._name)

    def _on_connect(self, _client: paho.Client, _data: Any, _flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._ended = Unavailable(
                "the broker refused the connection",
                got=str(reason),
                where=self._name,
                next_step="Check client_id, username, password_file and the broker's version of MQTT.",
            )
            return
        self._connected = True
        self._room = min(TOGETHER, getattr(properties, "ReceiveMaximum", TOGETHER))

    def _on_lost(self, _client: paho.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if self._ended is None:
            self._ended = self._lost(str(reason))

    def _on_receipt(self, _client: paho.Client, _data: Any, mid: int, reason: Any, _properties: Any) -> None:
        self._receipts[mid] = reason
