"""Owns a simulated Sparkplug B edge node with a device that tells the grid's loads (extra `mqtt`: paho-mqtt)."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from recloser.connectors.points import PointRegistry
from recloser.connectors.sparkplug import (
    BD_SEQ,
    REBIRTH,
    DataType,
    Kind,
    Metric,
    Topic,
    payload_bytes,
    read_payload,
)
from recloser.core import InvalidInput, Unavailable
from recloser.simulation.devices.feed import DeviceFeed, Moment, load_points
from recloser.simulation.devices.serving import WATCH_S, Opened

GROUP, NODE, DEVICE = "Grid", "Gateway1", "Feeders"
NUMBERS, ALIASES = 256, 100  # sequence numbers; first alias
BAD, GOOD = 0, 192


class SparkplugNode:
    """An edge node of one device: births with names and aliases, data by alias on change of time, death by the broker.

    Answers a request to tell its birth again. Its metrics are doubles "AREA/P" in MW, with the property Quality.

    Args:
        feed: what is measured.
        period_s: between two messages of the device.
    """

    def __init__(self, feed: DeviceFeed, period_s: float = 1.0) -> None:
        self._feed, self._period_s = feed, period_s
        place = f"{GROUP}/{NODE}/{DEVICE}|"
        self.registry = PointRegistry("sparkplug", load_points(feed.areas, lambda _place, area: f"{place}{area}/P"))
        self._sessions, self._seq = itertools.count(), 0
        self._bd_seq = 0
        self._wanted = asyncio.Event()
        self._client: paho.Client | None = None
        self.births = 0

    async def open(self, host: str, port: int) -> Opened:
        """Connect to a broker and begin to publish.

        Raises:
            Unavailable: no broker is there.
        """
        loop = asyncio.get_running_loop()
        try:
            await asyncio.to_thread(self._connect, host, port, loop)
        except (OSError, ValueError) as error:
            raise Unavailable("no connection to the broker", got=str(error), where=f"{host}:{port}") from error
        return Opened(port, tasks={asyncio.ensure_future(self._publish(host, port))})

    def _connect(self, host: str, port: int, loop: asyncio.AbstractEventLoop) -> None:
        """Begin a session: the will has its number, by which a host knows whose death it is."""
        self._bd_seq = next(self._sessions) % NUMBERS
        client = paho.Client(CallbackAPIVersion.VERSION2, clean_session=True, reconnect_on_failure=False)
        death = payload_bytes(self._feed.now().at_ns // 1_000_000, None, [self._number()])
        client.will_set(str(Topic(GROUP, Kind.NDEATH, NODE)), death, qos=1, retain=False)

        def connected(client: paho.Client, *_: Any) -> None:
            client.subscribe(str(Topic(GROUP, Kind.NCMD, NODE)), qos=1)

        def subscribed(*_: Any) -> None:
            loop.call_soon_threadsafe(self._wanted.set)

        def heard(_client: Any, _data: Any, message: paho.MQTTMessage) -> None:
            if _asks_for_birth(bytes(message.payload)):
                loop.call_soon_threadsafe(self._wanted.set)

        client.on_connect, client.on_subscribe, client.on_message = connected, subscribed, heard
        client.connect(host, port)
        client.loop_start()
        self._client = client

    def _leave(self, *, orderly: bool) -> None:
        """End the session; without order the broker tells the death."""
        client, self._client = self._client, None
        if client is None:
            return
        if orderly:  # the protocol wants the death told before: the broker forgets the will
            death = payload_bytes(self._feed.now().at_ns // 1_000_000, None, [self._number()])
            client.publish(str(Topic(GROUP, Kind.NDEATH, NODE)), death, qos=1)
            client.disconnect()
        else:
            sock = client.socket()
            sock.close() if sock is not None else None
        client.loop_stop()

    async def _publish(self, host: str, port: int) -> None:
        loop = asyncio.get_running_loop()
        born = False
        try:
            while True:
                moment = self._feed.now()
                if moment.dropped:
                    born = False
                    await asyncio.to_thread(self._leave, orderly=False)
                elif self._client is None:
                    self._wanted.clear()
                    await asyncio.to_thread(self._connect, host, port, loop)
                if self._client is not None and self._wanted.is_set():
                    self._wanted.clear()
                    self._birth(moment)
                    born = True
                elif born and not (moment.silent or moment.dropped):
                    self._say(Kind.DDATA, self._metrics(moment, named=False), moment)
                await self._rest(WATCH_S if moment.dropped else self._period_s)
        finally:
            self._leave(orderly=True)

    async def _rest(self, seconds: float) -> None:
        """Wait, but not when a birth is wanted."""
        try:
            async with asyncio.timeout(seconds):
                await self._wanted.wait()
        except TimeoutError:
            return

    def _birth(self, moment: Moment) -> None:
        self._seq = 0
        control = Metric(REBIRTH, datatype=DataType.BOOLEAN, value=False)
        self._say(Kind.NBIRTH, [self._number(), control], moment)
        self._say(Kind.DBIRTH, self._metrics(moment, named=True), moment)
        self.births += 1

    def _number(self) -> Metric:
        return Metric(BD_SEQ, datatype=DataType.INT64, value=self._bd_seq)

    def _metrics(self, moment: Moment, *, named: bool) -> list[Metric]:
        at_ms, quality = moment.at_ns // 1_000_000, BAD if moment.invalid else GOOD
        return [
            Metric(
                f"{area}/P" if named else "",
                ALIASES + place,
                at_ms,
                DataType.DOUBLE if named else 0,
                number,
                quality,
            )
            for place, (area, number) in enumerate(zip(self._feed.areas, moment.numbers, strict=True))
        ]

    def _say(self, kind: Kind, metrics: list[Metric], moment: Moment) -> None:
        if self._client is None:
            return
        device = "" if kind is Kind.NBIRTH else DEVICE
        payload = payload_bytes(moment.at_ns // 1_000_000, self._seq, metrics)
        self._seq = (self._seq + 1) % NUMBERS
        damaged = moment.damaged and kind is Kind.DDATA
        self._client.publish(str(Topic(GROUP, kind, NODE, device)), payload[:-3] if damaged else payload, qos=0)


def _asks_for_birth(payload: bytes) -> bool:
    try:
        asked = read_payload(payload).metric(REBIRTH)
    except InvalidInput:
        return False
    return asked is not None and asked.value is True
