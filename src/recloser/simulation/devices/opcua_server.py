"""Owns a simulated OPC UA server with the grid's loads as variables (extra `opcua`: asyncua). Nothing is writable."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

from asyncua import Server, ua

from recloser.connectors.points import PointRegistry
from recloser.core import Unavailable
from recloser.simulation.devices.feed import DeviceFeed, Moment, load_points
from recloser.simulation.devices.serving import WATCH_S, Opened

NAMESPACE = 2


class OpcUaServer:
    """Each feeder's load in MW is the variable ns=2;s=AREA.P; a fault `drop` stops the server for its time.

    Args:
        feed: what is measured.
        period_s: between two values.
    """

    def __init__(self, feed: DeviceFeed, period_s: float = 1.0) -> None:
        self._feed, self._period_s = feed, period_s
        points = load_points(feed.areas, lambda _place, area: f"ns={NAMESPACE};s={area}.P")
        self.registry = PointRegistry("opcua", points)

    async def open(self, host: str, port: int) -> Opened:
        """Begin to listen; the port must be told.

        Raises:
            Unavailable: the address is taken.
        """
        url = f"opc.tcp://{host}:{port}/"
        server, variables = await self._start(url)
        return Opened(port, tasks={asyncio.ensure_future(self._measure(url, server, variables))})

    async def _start(self, url: str) -> tuple[Any, list[Any]]:
        server = Server()
        await server.init()
        server.set_endpoint(url)
        space = await server.register_namespace("urn:recloser:simulated")
        variables = []
        for area, number in zip(self._feed.areas, self._feed.now().numbers, strict=True):
            name = ua.NodeId(f"{area}.P", space)
            variables.append(await server.nodes.objects.add_variable(name, f"{area}.P", float(number)))
        try:
            await server.start()
        except OSError as error:
            raise Unavailable("cannot listen", got=str(error), where=url, next_step="Choose another port.") from error
        return server, variables

    async def _measure(self, url: str, server: Any, variables: list[Any]) -> None:
        try:
            while True:
                moment = self._feed.now()
                if moment.dropped:
                    await server.stop()
                    while self._feed.now().dropped:  # noqa: ASYNC110 - faults come by the clock
                        await asyncio.sleep(WATCH_S)
                    server, variables = await self._start(url)
                if not moment.silent:
                    await _write(variables, moment)
                await asyncio.sleep(self._period_s)
        finally:
            await server.stop()


async def _write(variables: list[Any], moment: Moment) -> None:
    code = ua.StatusCodes.BadSensorFailure if moment.invalid else ua.StatusCodes.Good
    stamp = datetime.fromtimestamp(moment.at_ns / 1e9, UTC).replace(tzinfo=None)
    for variable, number in zip(variables, moment.numbers, strict=True):
        value = ua.DataValue(ua.Variant(float(number)), ua.StatusCode(code), SourceTimestamp=stamp)
        await variable.write_value(value)
