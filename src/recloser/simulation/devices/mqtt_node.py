"""Owns a simulated edge node that publishes the grid's loads to an MQTT broker (extra `mqtt`: paho-mqtt)."""

from __future__ import annotations

import asyncio
import json

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from recloser.connectors.points import PointRegistry
from recloser.core import Unavailable
from recloser.simulation.devices.feed import DeviceFeed, Moment, load_points
from recloser.simulation.devices.serving import WATCH_S, Opened

QOS, TOPIC = 1, "grid/{area}/P"


class MqttNode:
    """Publishes each feeder's load as JSON {"value", "t" (ms since 1970 UTC), "q"} under grid/AREA/P, QoS 1.

    Args:
        feed: what is measured.
        period_s: between two messages of a feeder.
        client_id: of its session.
    """

    def __init__(self, feed: DeviceFeed, period_s: float = 1.0, client_id: str = "recloser-simulated") -> None:
        self._feed, self._period_s = feed, period_s
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id)
        self.registry = PointRegistry("mqtt", load_points(feed.areas, lambda _place, area: TOPIC.format(area=area)))

    async def open(self, host: str, port: int) -> Opened:
        """Connect to a broker and begin to publish.

        Raises:
            Unavailable: no broker is there.
        """
        try:
            await asyncio.to_thread(self._client.connect, host, port)
        except (OSError, ValueError) as error:
            raise Unavailable("no connection to the broker", got=str(error), where=f"{host}:{port}") from error
        self._client.loop_start()
        return Opened(port, tasks={asyncio.ensure_future(self._publish())})

    async def _publish(self) -> None:
        away = False
        try:
            while True:
                moment = self._feed.now()
                if moment.dropped != away:
                    away = moment.dropped
                    await asyncio.to_thread(self._client.disconnect if away else self._client.reconnect)
                if not (moment.silent or moment.dropped):
                    self._say(moment)
                await asyncio.sleep(WATCH_S if away else self._period_s)
        finally:
            self._client.disconnect()
            self._client.loop_stop()

    def _say(self, moment: Moment) -> None:
        for area, number in zip(self._feed.areas, moment.numbers, strict=True):
            document = {"value": number, "t": moment.at_ns // 1_000_000, "q": not moment.invalid}
            text = json.dumps(document)
            self._client.publish(TOPIC.format(area=area), text[:-5] if moment.damaged else text, qos=QOS)
