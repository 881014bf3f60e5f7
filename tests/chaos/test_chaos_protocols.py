"""Links of every protocol killed at any time: numbered readings are stored once, and a hole is a recorded gap.

Where the protocol keeps what nobody has confirmed (DNP3, MQTT) nothing may be missing. Where it does not (Modbus,
OPC UA, C37.118, STTP) what is missing must lie where a gap is recorded. IEC 104: `test_chaos_links.py`.
"""

from __future__ import annotations

import asyncio
import random
import struct
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import polars as pl
import pytest

from recloser.app.project.layout import Layout
from recloser.connectors.c37118 import (
    Configuration,
    FrameType,
    PhasorChannel,
    PmuConfiguration,
    StreamFramer,
    configuration_frames,
    data_frame,
    read_envelope,
)
from recloser.simulation.devices import Dnp3Outstation, Moment
from recloser.simulation.devices.sttp_publisher import Subscriber, metadata
from recloser.store import ReadingTable

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

KILLS = 4
STTP_PUBLISHER = Path(__file__).parents[1] / "servers" / "sttp_publisher.py"
STEP_S = 0.02


class Counter:
    """A device that numbers what it says, in a loop and thread of its own; `told` is the latest number."""

    def __init__(self, port: int) -> None:
        self.port, self.told, self.stopped = port, 0, False

    async def run(self) -> None:
        raise NotImplementedError

    async def pause(self) -> None:
        await asyncio.sleep(STEP_S)

    async def serve(self, answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> None:
        """Answer each connection on this device's port until the device is stopped; none is left open then."""
        talks: set[asyncio.Task[None]] = set()
        open_ones: list[asyncio.StreamWriter] = []

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(OSError, asyncio.IncompleteReadError):
                await answer(reader, writer)
            writer.close()

        def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            talks.add(asyncio.create_task(talk(reader, writer)))
            open_ones.append(writer)

        server = await asyncio.start_server(begin, "127.0.0.1", self.port)
        while not self.stopped:
            await self.pause()
        server.close()
        for writer in open_ones:
            writer.close()  # whoever reads there reads the end
        await asyncio.gather(*talks)


class Modbus(Counter):
    """Answers each request for a register pair with the next number: a reading is an answer."""

    async def run(self) -> None:
        await self.serve(self._answer)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not self.stopped:
            head = await reader.readexactly(12)
            self.told += 1
            answer = struct.pack(">BBB", head[6], 3, 4) + struct.pack(">f", float(self.told))
            writer.write(head[:4] + struct.pack(">H", len(answer)) + answer)
            await writer.drain()


class Pmu(Counter):
    """Sends a frame each fiftieth of a second, its magnitude the number of the frame."""

    async def run(self) -> None:
        pmu = PmuConfiguration("S", 7, 15, (PhasorChannel("VA", "V", 1.0),), (), (), 50, 1)
        self.configuration = Configuration(7, 1_000_000, (pmu,), 50)
        self.writers: set[asyncio.StreamWriter] = set()
        serving = asyncio.create_task(self.serve(self._answer))
        begun = int(time.time())
        while not self.stopped:
            self.told += 1
            stamp = (begun + self.told // 50, self.told % 50 * 20_000)
            frame = data_frame(self.configuration, [0, float(self.told), 0.0, 50.0, 0.0], stamp)
            for writer in list(self.writers):
                writer.write(frame)
            await self.pause()
        await serving

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        framer = StreamFramer()
        try:
            while data := await reader.read(999):
                for found in framer.feed(data, 0):
                    if found.error is None and read_envelope(found.data).type is FrameType.CMD:
                        if found.data[15] == 5:
                            writer.write(configuration_frames(self.configuration)[0])
                        elif found.data[15] == 2:
                            self.writers.add(writer)
        finally:
            self.writers.discard(writer)


class Sttp(Counter):
    """Our publisher's side of each connection; each packet has the next number."""

    async def run(self) -> None:
        signal = UUID(int=1)
        document = metadata((("P", signal),), 50)
        connections: dict[asyncio.StreamWriter, Subscriber] = {}

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connections[writer] = Subscriber((signal,), document)
            try:
                while head := await reader.readexactly(4):
                    for frame in connections[writer].take(await reader.readexactly(int.from_bytes(head, "big"))):
                        writer.write(frame)
            finally:
                del connections[writer]

        serving = asyncio.create_task(self.serve(answer))
        while not self.stopped:
            self.told += 1
            moment = Moment((float(self.told),), int(time.time() * 1e9))
            for writer, subscriber in connections.items():
                writer.write(b"".join(subscriber.values(moment)))
            await self.pause()
        await serving


class SttpApi(Counter):
    """The publisher of sttpapi in a process of its own, with its compression."""

    async def run(self) -> None:
        words = [sys.executable, "-W", "ignore", str(STTP_PUBLISHER), str(self.port), "50"]
        process = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
        assert process.stdout is not None
        while not self.stopped:
            line = (await process.stdout.readline()).decode().strip()
            self.told = int(line) if line.isdigit() else self.told
        process.kill()
        rest, _ = await process.communicate()
        self.told = max([self.told, *(int(line) for line in rest.decode().split("\n") if line.isdigit())])


class OpcUa(Counter):
    """A server of asyncua; each written value is one of the subscription."""

    async def run(self) -> None:
        from asyncua import Server, ua

        server = Server()
        await server.init()
        server.set_endpoint(f"opc.tcp://127.0.0.1:{self.port}/")
        space = await server.register_namespace("urn:test")
        node = await server.nodes.objects.add_variable(ua.NodeId("P", space), "P", 0.0)
        async with server:
            while not self.stopped:
                self.told += 1
                await node.write_value(float(self.told))
                await self.pause()


class Mqtt(Counter):
    """Publishes with QoS 1 to a broker; told is what the broker has acknowledged."""

    async def run(self) -> None:
        from paho.mqtt import client as paho
        from paho.mqtt.enums import CallbackAPIVersion

        client = paho.Client(CallbackAPIVersion.VERSION2)
        client.connect("127.0.0.1", self.port)
        client.loop_start()
        while not self.stopped:
            number = self.told + 1
            document = f'{{"value": {number}, "t": {int(time.time() * 1000)}}}'
            await asyncio.to_thread(client.publish("site/p", document, qos=1).wait_for_publish)
            self.told = number
            await self.pause()
        client.disconnect()
        client.loop_stop()


class Dnp3(Counter):
    """Our outstation, which keeps events until they are confirmed; each event has the next number."""

    areas = ("P",)

    def now(self) -> Moment:
        return Moment((0.0,), int(time.time() * 1e9))

    async def run(self) -> None:
        station = Dnp3Outstation(self, 3600.0)
        async with await station.open("127.0.0.1", self.port):
            while not self.stopped:
                self.told += 1
                station._events.append((0, float(self.told), 1, int(time.time() * 1000)))
                await self.pause()
            while station._events:  # noqa: ASYNC110 - the rest is confirmed, or the test waits in vain
                await asyncio.sleep(STEP_S)


@dataclass(frozen=True, slots=True)
class Case:
    """A protocol: its device, address and keys, the origin of its counted readings, and whether all must arrive."""

    device: type[Counter]
    address: str
    keys: str
    origin: str
    whole: bool
    needs: str = ""


CASES = {
    "sttp": Case(Sttp, "P_P", "", "sttp:compact", whole=False),
    "sttpapi": Case(SttpApi, "SHELBY_VPHM", "", "sttp:tssc", whole=False, needs="sttp"),
    "modbus": Case(Modbus, "1:holding:10:f32", "period_seconds = 0.02", "modbus:poll", whole=False),
    "c37118": Case(Pmu, "7:VA", "idcode = 7", "c37118:data", whole=False),
    "opcua": Case(OpcUa, "ns=2;s=P", "period_seconds = 0.02", "", whole=False, needs="asyncua"),
    "mqtt": Case(Mqtt, "site/p", 'payload_time = "t"\npayload_time_unit = "ms"', "mqtt", whole=True, needs="paho.mqtt"),
    "dnp3": Case(Dnp3, "analog:0", "outstation = 10\nperiod_seconds = 0.1", "dnp3:event", whole=True),
}


@pytest.fixture
def counter(request: pytest.FixtureRequest, free_port: int) -> Iterator[Counter]:
    case = CASES[request.param]
    if case.needs:
        pytest.importorskip(case.needs, reason=f"needs {case.needs}")
    port = request.getfixturevalue("mosquitto").port if request.param == "mqtt" else free_port
    found = case.device(port)
    failed: list[BaseException] = []

    def work() -> None:
        try:
            asyncio.run(found.run())
        except BaseException as error:  # noqa: BLE001 - shown by the test
            failed.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    yield found
    found.stopped = True
    thread.join(60)
    assert not failed, failed


def rows_of(folder: Path, kind: str) -> pl.DataFrame:
    return ReadingTable(Layout(folder).links).read("dev", kind=kind)


def counted(folder: Path, origin: str) -> pl.DataFrame:
    rows = rows_of(folder, "reading").filter(pl.col("number").is_not_null() & (pl.col("quality") & 65_536 == 0))
    rows = rows.filter(pl.col("origin") == origin) if origin else rows
    return rows.filter(pl.col("number") > 0).sort("number")


@pytest.mark.parametrize(("name", "counter"), [(name, name) for name in CASES], indirect=["counter"], ids=list(CASES))
def test_numbered_readings_are_stored_once_and_holes_are_gaps(
    name: str, counter: Counter, link_processes: Callable[[str, str, str, str], Any]
) -> None:
    case, rng = CASES[name], random.Random(5)
    where = f'host = "127.0.0.1"\nport = {counter.port}'
    where = f'url = "opc.tcp://127.0.0.1:{counter.port}/"' if name == "opcua" else where
    protocol = "sttp" if name == "sttpapi" else name
    with link_processes("dev", protocol, f"{where}\n{case.keys}", f"address,name\n{case.address},P\n") as processes:
        folder = processes.folder
        processes.wait(lambda: counted(folder, case.origin).height > 20, "the first readings")
        for turn in range(KILLS):
            processes.kill(processes.children[turn % 2])
            before = counted(folder, case.origin).height
            processes.wait(lambda seen=before: counted(folder, case.origin).height > seen + 20, "readings after a kill")
            processes.run(rng.uniform(0.1, 1.0))
        counter.stopped = True
        last = counter.told - (0 if case.whole else 1)
        if case.whole:
            processes.wait(lambda: counted(folder, case.origin)["number"].max() >= last, "all that was told")
        processes.run(2.0)
    rows = counted(folder, case.origin)
    numbers = rows["number"].cast(pl.Int64).to_list()
    assert len(numbers) == len(set(numbers)), "one is doubled"
    assert max(numbers) <= counter.told
    if case.whole:
        assert numbers == list(range(numbers[0], numbers[-1] + 1)), "one is lost"
    gaps = rows_of(folder, "gap").select("at_ns", "end_ns").rows()
    assert gaps, "an interrupted wire is a recorded gap"
    arrived = rows["receive_ns"].to_list()
    for place in range(1, len(numbers)):
        if numbers[place] != numbers[place - 1] + 1:
            start, end = sorted(arrived[place - 1 : place + 1])
            assert any(begin <= end and until >= start for begin, until in gaps), f"no gap before {numbers[place]}"
