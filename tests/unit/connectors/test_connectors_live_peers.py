"""Live links over real sockets to peers that are not ours: a station of hat-drivers, a device of pymodbus."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from recloser.connectors.live import (
    Backoff,
    Endpoint,
    Iec104Client,
    Iec104Timing,
    Link,
    LinkEvent,
    LinkState,
    ModbusClient,
)
from recloser.connectors.live.mqtt_payload import JsonMessages, MqttFormat
from recloser.connectors.points import Point, PointQuality, PointReading, PointRegistry, nanoseconds
from recloser.connectors.spool import Batch, Gap, Spool, SpoolPolicy
from recloser.core import VirtualClock

pytestmark = pytest.mark.slow

CLOCK = VirtualClock(datetime(2026, 1, 1, tzinfo=UTC))
QUICK = Backoff(0.05, 0.1)


class Spooled:
    """A spool as the output of a link, and the events of the link."""

    def __init__(self, folder: Path) -> None:
        self.spool = Spool(folder, SpoolPolicy(), CLOCK, lambda: 0.0)
        self.events: list[LinkEvent] = []

    def accept(self, readings: Sequence[PointReading]) -> int:
        return self.spool.accept(readings)

    def tell_gap(self, source: str, start_ns: int, end_ns: int, reason: str) -> int:
        return self.spool.tell_gap(source, start_ns, end_ns, reason)

    def tell_link(self, event: LinkEvent) -> None:
        self.events.append(event)

    def readings(self) -> list[PointReading]:
        return [r for record in self.spool.pending() if isinstance(record, Batch) for r in record.readings]

    def numbers(self) -> list[float | None]:
        return [r.number for r in self.readings() if not r.quality & PointQuality.STALE]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - the peer offers no event
            await asyncio.sleep(0.02)


def live(link: Link, story: Coroutine[Any, Any, None]) -> None:
    async def main() -> None:
        task = asyncio.create_task(link.run())
        try:
            await story
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())


class Station:
    """An IEC 104 station of hat-drivers: answers interrogations and counts what is acknowledged."""

    def __init__(self, port: int) -> None:
        self.port, self.connections, self.interrogations = port, [], 0
        self.number = 0.0

    async def start(self) -> None:
        from hat.drivers import iec104, net

        self.server = await iec104.listen(self._connected, net.TcpAddress("127.0.0.1", self.port))

    async def _connected(self, connection: Any) -> None:
        from hat.drivers import iec104

        self.connections.append(connection)
        connection.async_group.spawn(self._serve, connection, iec104)

    async def _serve(self, connection: Any, iec104: Any) -> None:
        while True:
            for message in await connection.receive():
                assert isinstance(message, iec104.InterrogationMsg)
                self.interrogations += 1
                cause = iec104.CommandResCause.ACTIVATION_CONFIRMATION
                await connection.send([message._replace(cause=cause)])
                await self.say(connection, iec104.DataResCause.INTERROGATED_STATION)
                cause = iec104.CommandResCause.ACTIVATION_TERMINATION
                await connection.send([message._replace(cause=cause)])

    async def say(self, connection: Any, cause: Any, *, sure: bool = False) -> None:
        from hat.drivers import iec104

        self.number += 1
        quality = iec104.MeasurementQuality(False, True, False, False, True)
        data = iec104.FloatingData(iec104.FloatingValue(self.number), quality)
        message = iec104.DataMsg(False, 0, 10, 1300, data, None, cause)
        await connection.send([message], wait_ack=sure)

    async def stop(self) -> None:
        for connection in self.connections:
            connection.close()
        await self.server.async_close()


def test_iec104_interrogation_spontaneous_data_and_reconnect(tmp_path: Path) -> None:
    iec104 = pytest.importorskip("hat.drivers.iec104", reason="needs hat-drivers as the peer")
    output, port = Spooled(tmp_path / "s"), free_port()
    registry = PointRegistry("iec104", (Point("10:1300", "feeder", "MW"),))
    client = Iec104Client("rtu", Endpoint("127.0.0.1", port), registry, CLOCK, Iec104Timing(unacknowledged=1))
    link = Link("rtu", client, output, CLOCK, QUICK)
    spontaneous = iec104.DataResCause.SPONTANEOUS

    async def story() -> None:
        await until(lambda: link.status.failures >= 2)  # nobody is there yet
        station = Station(port)
        await station.start()
        await until(lambda: len(output.numbers()) == 1)
        for _ in range(20):
            # Returns once our acknowledgement came: what is acknowledged must be in the spool at that moment.
            await station.say(station.connections[-1], spontaneous, sure=True)
            assert output.numbers()[-1] == station.number
        await station.stop()
        await until(lambda: link.status.state is not LinkState.UP)
        again = Station(port)
        again.number = 100.0
        await again.start()
        await until(lambda: link.status.connects == 2 and len(output.numbers()) == 22)
        assert again.interrogations == 1
        await again.stop()

    live(link, story())
    assert output.numbers() == [float(n) for n in range(1, 22)] + [101.0]
    first, second = output.readings()[:2]
    assert first.quality == PointQuality.OLD | PointQuality.OVERFLOW
    assert (first.origin, second.origin, first.raw_flags) == ("iec104:inrogen", "iec104:spont", 0x41)
    assert any(r.quality & PointQuality.STALE for r in output.readings())
    assert len([record for record in output.spool.pending() if isinstance(record, Gap)]) == 1
    output.spool.close()


def test_modbus_polling_exceptions_and_reconnect(tmp_path: Path) -> None:
    pytest.importorskip("pymodbus", reason="needs pymodbus as the peer")
    from pymodbus.server import ModbusTcpServer
    from pymodbus.simulator import DataType, SimData, SimDevice

    output, port = Spooled(tmp_path / "s"), free_port()
    registry = PointRegistry(
        "modbus",
        (
            Point("1:holding:100:f32", "power", "MW", scale=0.5),
            Point("1:holding:102:i16", "level", ""),
            Point("1:holding:900", "nowhere", ""),
        ),
    )
    client = ModbusClient("meter", Endpoint("127.0.0.1", port), registry, CLOCK, period_s=0.05, answer_s=2.0)
    link = Link("meter", client, output, CLOCK, QUICK)

    async def serve() -> ModbusTcpServer:
        data = [
            SimData(100, values=[12.5], datatype=DataType.FLOAT32),
            SimData(102, values=[-7], datatype=DataType.INT16),
        ]
        server = ModbusTcpServer(SimDevice(1, simdata=data), address=("127.0.0.1", port))
        await server.serve_forever(background=True)
        return server

    async def story() -> None:
        server = await serve()
        await until(lambda: link.status.readings >= 12)
        await server.shutdown()
        await until(lambda: link.status.state is not LinkState.UP)
        server = await serve()
        await until(lambda: link.status.connects == 2 and link.status.readings >= 30)
        await server.shutdown()

    live(link, story())
    fresh = [r for r in output.readings() if not r.quality & PointQuality.STALE]
    told = {(r.point, r.number, r.raw, r.quality, r.origin) for r in fresh}
    assert told == {
        ("power", 6.25, 12.5, PointQuality.GOOD, "modbus:poll"),
        ("level", -7.0, None, PointQuality.GOOD, "modbus:poll"),
        ("nowhere", None, None, PointQuality.INVALID, "modbus:exception 2"),
    }
    output.spool.close()


def test_mqtt_messages_become_readings_over_several_sessions(tmp_path: Path, mosquitto: Any) -> None:
    pytest.importorskip("paho.mqtt", reason="needs the extra mqtt")
    from paho.mqtt import publish

    from recloser.connectors.live.mqtt import Broker, MqttClient

    output = Spooled(tmp_path / "s")
    registry = PointRegistry(
        "mqtt", (Point("site/p", "power", "kW"), Point("site/j|m.q", "reactive", "kvar", scale=2.0))
    )
    form = MqttFormat(time="t", time_unit="ms")
    broker = Broker("127.0.0.1", mosquitto.port, "recloser-test")

    async def say(*messages: tuple[str, bytes]) -> None:
        told = [(topic, payload, 1, False) for topic, payload in messages]
        await asyncio.to_thread(publish.multiple, told, "127.0.0.1", mosquitto.port)

    async def main() -> None:
        for round_ in range(2):
            link = Link(
                "site", MqttClient("site", broker, JsonMessages("site", registry, form), CLOCK), output, CLOCK, QUICK
            )
            task = asyncio.create_task(link.run())
            await until(lambda link=link: link.status.state is LinkState.UP)
            await say(("site/p", b"%d" % round_), ("site/j", b'{"m": {"q": 4}, "t": 1700000000000}'))
            await say(("site/p", b"nonsense"))
            await until(lambda r=round_: len(output.readings()) == 4 * r + 3)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await say(("site/p", b"%d" % (round_ + 100)))  # nobody listens: the broker keeps it

    asyncio.run(main())
    told = [(r.point, r.number, r.raw, r.source_ns) for r in output.readings()]
    t_ns = 1_700_000_000_000_000_000
    reactive, nonsense, kept = ("reactive", 8.0, 4.0, t_ns), ("power", None, None, None), ("power", 100.0, None, None)
    first, second = ("power", 0.0, None, None), ("power", 1.0, None, None)
    assert told == [first, reactive, nonsense, kept, second, reactive, nonsense]
    assert all(r.quality == PointQuality.INVALID for r in output.readings() if r.number is None)
    output.spool.close()


def test_mqtt_without_a_broker_is_unavailable(tmp_path: Path) -> None:
    pytest.importorskip("paho.mqtt", reason="needs the extra mqtt")
    from recloser.connectors.live.mqtt import Broker, MqttClient

    output = Spooled(tmp_path / "s")
    registry = PointRegistry("mqtt", (Point("site/p", "power", "kW"),))
    link = Link(
        "site",
        MqttClient("site", Broker("127.0.0.1", free_port()), JsonMessages("site", registry), CLOCK),
        output,
        CLOCK,
        QUICK,
    )

    async def story() -> None:
        await until(lambda: link.status.failures >= 3)

    live(link, story())
    assert {event.state for event in output.events} == {LinkState.CONNECTING, LinkState.DOWN, LinkState.STOPPED}
    output.spool.close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_opcua_present_values_changes_qualities_and_reconnect(tmp_path: Path) -> None:
    asyncua = pytest.importorskip("asyncua", reason="needs the extra opcua")
    from asyncua import ua

    from recloser.connectors.live.opcua import OpcUaClient, OpcUaTiming

    output, port = Spooled(tmp_path / "s"), free_port()
    points = (
        Point("ns=2;s=F.P", "power", "MW", scale=0.5),
        Point("ns=2;s=F.ON", "breaker", "state"),
        Point("ns=2;s=F.NONE", "nowhere", ""),
    )
    url = f"opc.tcp://127.0.0.1:{port}/"
    client = OpcUaClient("plant", url, PointRegistry("opcua", points), CLOCK, OpcUaTiming(period_ms=50))
    link = Link("plant", client, output, CLOCK, QUICK)

    async def serve(value: float) -> tuple[Any, Any]:
        server = asyncua.Server()
        await server.init()
        server.set_endpoint(url)
        space = await server.register_namespace("urn:test")
        power = await server.nodes.objects.add_variable(ua.NodeId("F.P", space), "P", value)
        await server.nodes.objects.add_variable(ua.NodeId("F.ON", space), "ON", val=True)
        await server.start()
        return server, power

    async def story() -> None:
        server, power = await serve(10.0)
        await until(lambda: len(output.readings()) == 3)
        bad = ua.DataValue(ua.Variant(11.0), ua.StatusCode(ua.StatusCodes.BadSensorFailure))
        await power.write_value(bad)
        await until(lambda: len(output.readings()) == 4)
        await server.stop()
        await until(lambda: link.status.state is not LinkState.UP)
        server, power = await serve(30.0)
        await until(lambda: link.status.connects == 2 and 15.0 in output.numbers())
        await server.stop()

    live(link, story())
    first = {r.point: (r.number, r.raw, r.quality) for r in output.readings()[:3]}
    assert first == {
        "power": (5.0, 10.0, PointQuality.GOOD),
        "breaker": (1.0, None, PointQuality.GOOD),
        "nowhere": (None, None, PointQuality.OFFLINE),
    }
    spoilt = output.readings()[3]
    assert (spoilt.number, spoilt.quality, spoilt.raw_flags) == (None, PointQuality.INVALID, 0x808C0000)
    output.spool.close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_opcua_values_that_the_server_s_queue_lost_are_a_gap(tmp_path: Path) -> None:
    asyncua = pytest.importorskip("asyncua", reason="needs the extra opcua")
    from asyncua import ua

    from recloser.connectors.live.opcua import OpcUaClient, OpcUaTiming

    output, port = Spooled(tmp_path / "s"), free_port()
    url = f"opc.tcp://127.0.0.1:{port}/"
    points = PointRegistry("opcua", (Point("ns=2;s=F.P", "power", "MW"),))
    client = OpcUaClient("plant", url, points, CLOCK, OpcUaTiming(period_ms=50))
    link = Link("plant", client, output, CLOCK, QUICK)
    at = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def value(number: float, second: int, status: int = 0) -> Any:
        stamp = (at + timedelta(seconds=second)).replace(tzinfo=None)
        return ua.DataValue(ua.Variant(number), ua.StatusCode(status), SourceTimestamp=stamp)

    async def story() -> None:
        server = asyncua.Server()
        await server.init()
        server.set_endpoint(url)
        space = await server.register_namespace("urn:test")
        power = await server.nodes.objects.add_variable(ua.NodeId("F.P", space), "P", 1.0)
        await power.write_value(value(2.0, 0))
        await server.start()
        await until(lambda: 2.0 in output.numbers())
        await power.write_value(value(9.0, 7, 0x0000_0480))  # DataValue, Overflow: what came between is lost
        await until(lambda: 9.0 in output.numbers())
        await server.stop()

    live(link, story())
    gaps = [record for record in output.spool.pending() if isinstance(record, Gap) and "overflowed" in record.reason]
    assert [(gap.start_ns, gap.end_ns) for gap in gaps] == [(nanoseconds(at), nanoseconds(at + timedelta(seconds=7)))]
    (jumped,) = [r for r in output.readings() if r.number == 9.0 and r.origin == "opcua:change"]
    assert (jumped.quality, jumped.raw_flags) == (PointQuality.GOOD, 0x0480)
    output.spool.close()
