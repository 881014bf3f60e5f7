"""Simulated devices on real sockets, read by clients that are not ours where there are any; faults on demand."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from recloser.connectors.dnp3 import link_frame, read_fragment, read_link
from recloser.connectors.live import (
    Backoff,
    C37118Client,
    Dnp3Addresses,
    Dnp3Client,
    Dnp3Timing,
    Endpoint,
    Iec104Client,
    Iec104Timing,
    Link,
    LinkEvent,
    ModbusClient,
    Stream,
)
from recloser.connectors.live.supervision import LiveClient
from recloser.connectors.points import PointQuality, PointReading
from recloser.core import InvalidInput, VirtualClock
from recloser.simulation import GridPlan, SimulatedGrid
from recloser.simulation.devices import (
    FAULT_KINDS,
    DeviceFault,
    DeviceFeed,
    Dnp3Outstation,
    Iec104Station,
    ModbusServer,
    PmuServer,
    WaveFeed,
    parse_fault,
)
from recloser.simulation.devices.feed import Moment
from recloser.simulation.devices.modbus_server import answer

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
GRID = SimulatedGrid(GridPlan(seed=1, feeders=20, days=3, resolution=timedelta(minutes=30), substations=0))


class Ticking:
    """A clock and a timer that go together, a second a call of `go`."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.seconds)

    def timer(self) -> float:
        return self.seconds


class Heard:
    """A link's output that keeps everything in memory."""

    def __init__(self) -> None:
        self.readings: list[PointReading] = []
        self.gaps: list[tuple[str, int, int, str]] = []

    def accept(self, readings: Sequence[PointReading]) -> int:
        self.readings += readings
        return len(self.readings)

    def tell_gap(self, source: str, start_ns: int, end_ns: int, reason: str) -> int:
        self.gaps.append((source, start_ns, end_ns, reason))
        return len(self.gaps)

    def tell_link(self, event: LinkEvent) -> None:
        assert event.source == "device"

    def good(self) -> list[PointReading]:
        return [one for one in self.readings if not one.quality]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - a socket's other end offers no event
            await asyncio.sleep(0.01)


async def heard(client: LiveClient, story: Callable[[Heard, Link], Awaitable[None]]) -> Heard:
    output = Heard()
    link = Link("device", client, output, VirtualClock(NOW), Backoff(0.02, 0.05))
    task = asyncio.create_task(link.run())
    try:
        await story(output, link)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return output


async def dropped(time: Ticking, link: Link, step_s: float, told: Callable[[], bool]) -> None:
    """Let half a minute go by, wait until the device has told enough, drop the connection and wait for the next."""
    for second in range(30):
        time.seconds = float(second)
        await asyncio.sleep(step_s)
    await until(told)
    time.seconds = 100.5
    await until(lambda: link.status.failures >= 1)
    time.seconds = 102.0
    await until(lambda: link.status.connects == 2)


def feed(time: Ticking, *faults: DeviceFault, speed: float = 1.0) -> DeviceFeed:
    return DeviceFeed(GRID, time, time.timer, speed=speed, faults=faults)


def test_a_feed_is_the_grid_between_its_intervals() -> None:
    time = Ticking()
    found = feed(time, speed=60.0)
    frame = GRID.frame().filter(quantity="load_mw", area="F01").sort("at")["value"].to_list()
    assert found.now().numbers[0] == pytest.approx(frame[0], abs=1e-6)
    time.seconds = 15.0  # fifteen minutes of the grid
    assert found.now().numbers[0] == pytest.approx((frame[0] + frame[1]) / 2, abs=1e-6)
    assert found.simulated(15.0) == GRID.plan.start + timedelta(minutes=15)
    time.seconds = 30.0 * len(frame)
    assert found.now().numbers[0] == pytest.approx(frame[0], abs=1e-6), "it begins anew"


def test_each_fault_does_what_it_says_while_it_lasts() -> None:
    time = Ticking()
    for kind in FAULT_KINDS:
        time.seconds = 0.0
        found = feed(time, DeviceFault(kind, 10.0, 5.0), speed=600.0)
        time.seconds = 10.0
        during = found.now()
        time.seconds = 14.0
        later = found.now()
        time.seconds = 15.0
        after = found.now()
        honest = feed(Ticking(), speed=600.0)
        factor = {"thousand": 1000.0, "spike": 3.0}.get(kind, 1.0)
        assert during.numbers == tuple(number * factor for number in honest.numbers(10.0))
        assert (later.numbers == during.numbers) is (kind == "stuck")
        marks = {"drop": during.dropped, "silent": during.silent, "invalid": during.invalid, "damage": during.damaged}
        assert [name for name, on in marks.items() if on] == ([kind] if kind in marks else [])
        shift_s = (time.now() - timedelta(seconds=5)).timestamp() - during.at_ns / 1e9
        assert shift_s == pytest.approx(3600.0 if kind == "clock" else 0.0)
        assert (after.numbers, after.dropped, after.silent) == (honest.numbers(15.0), False, False)


def test_faults_are_written_as_kind_start_and_length() -> None:
    assert parse_fault("drop@30+10") == DeviceFault("drop", 30.0, 10.0)
    with pytest.raises(InvalidInput, match="not a fault"):
        parse_fault("drop@30")
    with pytest.raises(InvalidInput, match="drop"):
        parse_fault("dropp@30+10")


def test_the_station_tells_everything_once_over_two_connections() -> None:
    async def main() -> None:
        time = Ticking()
        station = Iec104Station(feed(time, DeviceFault("drop", 100.0, 1.0)), period_s=0.02)

        def connect(port: int) -> Iec104Client:
            timing = Iec104Timing(unacknowledged=3)
            return Iec104Client("rtu", Endpoint("127.0.0.1", port), station.registry, VirtualClock(NOW), timing)

        async def story(output: Heard, link: Link) -> None:
            await dropped(time, link, 0.02, lambda: station.acknowledged > 20)
            await until(lambda: len({r.source_ns for r in output.good() if r.point == "F20_P"}) > 20)

        async with await station.open("127.0.0.1", 0) as opened:
            output = await heard(connect(opened.port), story)
        assert {r.point for r in output.good()} == {f"F{n:02}_P" for n in range(1, 21)}
        honest = feed(Ticking())
        for one in output.good():
            if one.source_ns is not None:
                elapsed_s = one.source_ns / 1e9 - NOW.timestamp()
                place = int(one.point[1:3]) - 1
                assert one.number == pytest.approx(honest.numbers(elapsed_s)[place], rel=1e-6)
        causes = {r.origin for r in output.good()}
        assert causes == {"iec104:spont", "iec104:inrogen"}

    asyncio.run(main())


def test_the_station_answers_a_client_that_is_not_ours() -> None:
    iec104 = pytest.importorskip("hat.drivers.iec104", reason="needs hat-drivers as the peer")
    from hat.drivers import net

    async def main() -> None:
        time = Ticking()
        station = Iec104Station(feed(time), period_s=0.02)
        async with await station.open("127.0.0.1", 0) as opened:
            client = await iec104.connect(net.TcpAddress("127.0.0.1", opened.port))
            cause = iec104.CommandReqCause.ACTIVATION
            command = iec104.InterrogationMsg(
                is_test=False,
                originator_address=0,
                asdu_address=1,
                request=20,
                is_negative_confirm=False,
                cause=cause,
            )
            await client.send([command])
            numbers: dict[int, float] = {}
            async with asyncio.timeout(20):
                while len(numbers) < 20:
                    for message in await client.receive():
                        if isinstance(message, iec104.DataMsg):
                            numbers[message.io_address] = message.data.value.value
            assert numbers[1001] == pytest.approx(feed(Ticking()).numbers(0.0)[0], rel=1e-6)
            assert sorted(numbers) == list(range(1001, 1021))
            client.close()
            await client.wait_closed()

    asyncio.run(main())


def test_the_outstation_tells_every_event_once_and_takes_no_control() -> None:
    async def main() -> None:
        time = Ticking()
        device = Dnp3Outstation(feed(time, DeviceFault("drop", 100.0, 1.0)), period_s=0.05)
        async with await device.open("127.0.0.1", 0) as opened:
            addresses, timing = Dnp3Addresses(10), Dnp3Timing(poll_s=0.1)
            endpoint = Endpoint("127.0.0.1", opened.port)
            client = Dnp3Client("rtu", endpoint, addresses, device.registry, VirtualClock(NOW), timing)

            async def story(output: Heard, link: Link) -> None:
                await dropped(time, link, 0.05, lambda: device.confirmed > 400)
                heard_before = len(output.readings)
                await until(lambda: len(output.readings) > heard_before + 60)

            output = await heard(client, story)
            await _refuse(opened.port)
        honest = feed(Ticking())
        events = [r for r in output.good() if r.origin == "dnp3:event"]
        assert {r.point for r in events} == {f"F{n:02}_P" for n in range(1, 21)}
        assert len(events) >= device.confirmed
        for one in events:
            elapsed_s = (one.source_ns or 0) / 1e9 - NOW.timestamp()
            assert one.number == pytest.approx(honest.numbers(elapsed_s)[int(one.point[1:3]) - 1], rel=1e-6)
        assert {r.point for r in output.good() if r.origin == "dnp3:static"} == {r.point for r in events}

    async def _refuse(port: int) -> None:
        """A direct operate of a relay is answered with 'not supported'."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        block = bytes([12, 1, 0x17, 1, 0]) + bytes([3, 1]) + bytes(9)
        writer.write(link_frame(1, 10, bytes([0xC0, 0xC5, 5]) + block, 0xC4))
        async with asyncio.timeout(20):
            frame = read_link(await reader.readexactly(17))
        assert (read_fragment(frame.data[1:]).indications or 0) & 1
        writer.close()

    asyncio.run(main())


def test_modbus_is_read_by_our_client_and_by_one_that_is_not_ours() -> None:
    async def main() -> None:
        time = Ticking()
        device = ModbusServer(feed(time, DeviceFault("invalid", 10.0, 5.0)))
        async with await device.open("127.0.0.1", 0) as opened:
            endpoint = Endpoint("127.0.0.1", opened.port)
            client = ModbusClient("meter", endpoint, device.registry, VirtualClock(NOW), period_s=0.02)

            async def story(output: Heard, link: Link) -> None:
                await until(lambda: len(output.good()) >= 20)
                time.seconds = 11.0
                await until(lambda: output.readings[-1].quality == PointQuality.INVALID)
                assert link.status.failures == 0

            output = await heard(client, story)
            wanted = feed(Ticking()).numbers(0.0)
            assert [r.number for r in output.good()[:20]] == pytest.approx(list(wanted), rel=1e-6)
            await _foreign(opened.port, wanted)

    async def _foreign(port: int, _wanted: tuple[float, ...]) -> None:
        foreign = pytest.importorskip("pymodbus.client", reason="needs pymodbus as the peer")
        peer = foreign.AsyncModbusTcpClient("127.0.0.1", port=port)
        assert await peer.connect()
        answer = await peer.read_holding_registers(0, count=4)
        assert answer.isError()
        assert answer.exception_code == 4
        refused = await peer.write_register(0, 1)
        assert refused.exception_code == 1
        peer.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        ("0300000000", "8303"),
        ("030000007e", "8303"),
        ("0300010002", "8302"),
        ("0100000001", "8101"),
        ("0400000002", "04043fc00000"),
    ],
)
def test_modbus_refuses_as_the_standard_says(request_: str, told: str) -> None:
    assert answer(bytes.fromhex(request_), Moment((1.5,), 0)).hex() == told


@pytest.mark.parametrize("pmus", [1, 3])
def test_a_stream_of_pmus_with_damage_on_demand(pmus: int) -> None:
    from recloser.app.clock import SystemClock

    async def main() -> None:
        time = Ticking()
        waves = WaveFeed(pmus, SystemClock(), time.timer, faults=(DeviceFault("damage", 10.0, 5.0),))
        device = PmuServer(waves, rate=100)
        async with await device.open("127.0.0.1", 0) as opened:
            endpoint = Endpoint("127.0.0.1", opened.port)
            client = C37118Client("pmu", Stream(endpoint, 7), device.registry, SystemClock())

            async def story(output: Heard, link: Link) -> None:
                await until(lambda: len(output.good()) >= 10 * 3 * pmus)
                time.seconds = 11.0
                await until(lambda: link.status.failures >= 1)  # more damage than a link puts up with
                time.seconds = 16.0
                await until(lambda: link.status.connects >= 2)

            output = await heard(client, story)
        stamps = sorted({r.source_ns or 0 for r in output.good()})
        assert all(stamp % 10_000_000 == 0 for stamp in stamps), "on the grid of a hundred frames a second"
        frequency = [r.number for r in output.good() if r.point.endswith("_FREQ")]
        assert all(number == pytest.approx(50.0, abs=0.021) for number in frequency)
        assert len({r.point for r in output.good()}) == 3 * pmus

    asyncio.run(main())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_opcua_is_read_by_a_client_that_is_not_ours() -> None:
    asyncua = pytest.importorskip("asyncua", reason="needs the extra opcua")
    from recloser.simulation.devices.opcua_server import OpcUaServer

    async def main() -> None:
        time = Ticking()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        device = OpcUaServer(feed(time), period_s=0.05)
        opened, client = await device.open("127.0.0.1", port), asyncua.Client(f"opc.tcp://127.0.0.1:{port}/")
        async with opened, client:
            value = await client.get_node("ns=2;s=F01.P").read_value()
            assert value == pytest.approx(feed(Ticking()).numbers(0.0)[0])
            with pytest.raises(asyncua.ua.UaError):
                await client.get_node("ns=2;s=F01.P").write_value(1.0)

    asyncio.run(main())
