"""STTP over real sockets with sttpapi: its publisher, killed and started again, and its subscriber at our publisher."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from recloser.app.clock import SystemClock
from recloser.connectors.live import Backoff, Endpoint, Link, LinkEvent, LinkState, SttpClient, SttpTiming
from recloser.connectors.points import Point, PointQuality, PointReading, PointRegistry
from recloser.connectors.spool import Batch, Gap, Spool, SpoolPolicy
from recloser.core import Clock
from recloser.simulation.devices import Moment, SttpPublisher

pytestmark = pytest.mark.slow
pytest.importorskip("sttp", reason="needs sttpapi as the peer")

PUBLISHER = Path(__file__).parents[3] / "servers" / "sttp_publisher.py"
RATE, STEP_NS = 20, 50_000_000
POINTS = (
    Point("SHELBY_FREQ", "frequency", "Hz"),
    Point("83673c68-d59d-4926-b7e9-e7678f9f66b5", "number", "V", scale=2.0),
    Point("SHELBY_MW", "power", "MW"),
    Point("ELSEWHERE_P", "absent", "MW"),
)


class Spooled:
    """A spool as the output of a link, and the events of the link."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.spool = Spool(folder, SpoolPolicy(), clock, lambda: 0.0)
        self.events: list[LinkEvent] = []

    def accept(self, readings: Sequence[PointReading]) -> int:
        return self.spool.accept(readings)

    def tell_gap(self, source: str, start_ns: int, end_ns: int, reason: str) -> int:
        return self.spool.tell_gap(source, start_ns, end_ns, reason)

    def tell_link(self, event: LinkEvent) -> None:
        self.events.append(event)

    def of(self, point: str) -> list[PointReading]:
        batches = [record for record in self.spool.pending() if isinstance(record, Batch)]
        found = [one for record in batches for one in record.readings if one.point == point]
        return [one for one in found if not one.quality & PointQuality.STALE]

    def gaps(self) -> list[Gap]:
        return [record for record in self.spool.pending() if isinstance(record, Gap)]


class Publisher:
    """The publisher of sttpapi in a process of its own."""

    def __init__(self, port: int, first: int) -> None:
        words = [sys.executable, "-W", "ignore", str(PUBLISHER), str(port), str(RATE), str(first)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True, env=dict(os.environ))

    def say(self, words: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(words + "\n")
        self.process.stdin.flush()

    def kill(self) -> list[int]:
        """Kill it, as kill -9, and return the numbers that it published."""
        if self.process.returncode is None:
            self.process.kill()
            self._told, _ = self.process.communicate()
        return [int(line) for line in self._told.splitlines() if line.isdigit()]  # the library says things too


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def publisher(port: int) -> Iterator[Callable[[int], Publisher]]:
    started: list[Publisher] = []

    def start(first: int) -> Publisher:
        started.append(Publisher(port, first))
        return started[-1]

    yield start
    for one in started:
        one.kill()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - the peer offers no event
            await asyncio.sleep(0.02)


def test_a_publisher_killed_and_back_loses_nothing_silently(
    tmp_path: Path, port: int, publisher: Callable[[int], Publisher]
) -> None:
    clock = SystemClock()
    output = Spooled(tmp_path / "s", clock)
    client = SttpClient("pdc", Endpoint("127.0.0.1", port), PointRegistry("sttp", POINTS), clock)
    link = Link("pdc", client, output, clock, Backoff(0.05, 0.1))
    told: list[int] = []

    async def story() -> None:
        task = asyncio.create_task(link.run())
        await until(lambda: link.status.failures >= 2)  # nobody is there yet
        first = publisher(0)
        await until(lambda: len(output.of("number")) > 15)
        first.say("leave 4")
        await until(lambda: bool(output.gaps()))
        first.say("change")  # to the same signals: the link goes on
        seen = len(output.of("number"))
        await until(lambda: len(output.of("number")) > seen + 10)
        told.extend(await asyncio.to_thread(first.kill))
        await until(lambda: link.status.state is not LinkState.UP)
        second = publisher(1000)
        await until(lambda: link.status.connects == 2 and len(output.of("number")) > seen + 25)
        told.extend(await asyncio.to_thread(second.kill))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(story())
    all_is_right(output, told)
    assert client.counts()["frames_missing"] == 4
    output.spool.close()


def all_is_right(output: Spooled, told: list[int]) -> None:
    readings = output.of("number")
    raw = [int(one.raw or 0) for one in readings]
    assert raw == sorted(set(raw)), "one is doubled or out of order"
    assert set(raw) <= set(told) | {told[-1] + 1}  # killed between publishing and saying so
    assert [one.number for one in readings] == [2.0 * number for number in raw]
    assert {(one.quality, one.raw_flags, one.origin) for one in readings} == {(PointQuality.UNCERTAIN, 2, "sttp:tssc")}
    assert all(one.source_ns is not None and one.source_ns % STEP_NS == 0 for one in readings)
    assert {(one.number, one.quality, one.raw_flags) for one in output.of("power")} == {
        (None, PointQuality.INVALID | PointQuality.TIME_INVALID, 0x1_0000)
    }
    assert {one.number for one in output.of("frequency")} == {50.0}
    assert [one.quality for one in output.of("absent")] == [PointQuality.OFFLINE] * 2
    by_stamp, by_link = output.gaps()
    assert (by_stamp.end_ns - by_stamp.start_ns, by_stamp.reason) == (4 * STEP_NS, "SHELBY: 4 frames are missing")
    assert "link down" in by_link.reason
    breaks = [place for place in range(1, len(raw)) if raw[place] != raw[place - 1] + 1]
    assert len(breaks) == 1
    before, after = readings[breaks[0] - 1].receive_ns, readings[breaks[0]].receive_ns
    assert by_link.start_ns <= before <= after
    assert by_link.end_ns <= after


class Feed:
    """Two feeders whose loads are the number of the look."""

    areas = ("F01", "F02")

    def __init__(self) -> None:
        self.looks = 0

    def now(self) -> Moment:
        self.looks += 1
        return Moment((float(self.looks), -1.0), 1_767_254_400_000_000_100 + self.looks * 1_000_000)


@pytest.mark.filterwarnings("ignore")
def test_the_reference_subscriber_reads_our_publisher() -> None:
    from sttp.subscriber import Subscriber
    from sttp.transport.measurement import Measurement

    heard: list[Measurement] = []
    complaints: list[str] = []

    async def story() -> None:
        async with await SttpPublisher(Feed(), 50.0).open("127.0.0.1", 0) as opened:
            subscriber: Any = Subscriber()
            subscriber.set_newmeasurements_receiver(heard.extend)
            subscriber.set_errormessage_logger(complaints.append)
            subscriber.set_statusmessage_logger(lambda _message: None)
            subscriber.subscribe("FILTER ActiveMeasurements WHERE True")
            await asyncio.to_thread(subscriber.connect, f"127.0.0.1:{opened.port}")
            try:
                await until(lambda: len(heard) >= 20)
                await until(lambda: len(subscriber.metadatacache.measurement_records) == 2)
                tags = {one.signalid: one.pointtag for one in subscriber.metadatacache.measurement_records}
            finally:
                await asyncio.to_thread(subscriber.dispose)
        assert set(tags.values()) == {"F01_P", "F02_P"}
        assert {tags[one.signalid] for one in heard} == {"F01_P", "F02_P"}

    asyncio.run(story())
    rising = [float(one.value) for one in heard if one.value > 0]
    assert rising == sorted(set(rising))
    first = next(one for one in heard if one.value > 0)
    assert int(first.timestamp) == 639_028_512_000_000_001 + int(first.value) * 10_000


def test_faults_of_our_publisher_are_seen(tmp_path: Path) -> None:
    clock = SystemClock()
    output = Spooled(tmp_path / "s", clock)

    class Wrong(Feed):
        def now(self) -> Moment:
            self.looks += 1
            return Moment((1.0, 2.0), 1_767_254_400_000_000_000 + self.looks, invalid=True, silent=self.looks > 60)

    async def story() -> None:
        device = SttpPublisher(Wrong(), 50.0)
        async with await device.open("127.0.0.1", 0) as opened:
            timing = SttpTiming(silence_s=0.5, compressed=False)
            client = SttpClient("sim", Endpoint("127.0.0.1", opened.port), device.registry, clock, timing)
            link = Link("sim", client, output, clock, Backoff(0.05, 0.1))
            task = asyncio.create_task(link.run())
            await until(lambda: any("silent" in event.reason for event in output.events))
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(story())
    assert {one.quality for one in output.of("F01_P")} == {PointQuality.INVALID}
    output.spool.close()
