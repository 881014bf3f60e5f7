"""A Sparkplug B host: births, aliases, sequences, deaths; over a real broker with our node and with one that is not."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from recloser.connectors.live import Backoff, Link, LinkEvent, LinkState
from recloser.connectors.live.conversation import Heard
from recloser.connectors.live.sparkplug.host import ASK_AGAIN_NS, SparkplugHost
from recloser.connectors.points import Missed, Point, PointQuality, PointReading, PointRegistry
from recloser.connectors.sparkplug import (
    DataType,
    Kind,
    Metric,
    Topic,
    payload_bytes,
    read_payload,
    read_topic,
)
from recloser.core import VirtualClock

CLOCK = VirtualClock(datetime(2026, 1, 1, tzinfo=UTC))
REGISTRY = PointRegistry(
    "sparkplug",
    (Point("G/E|P", "p", "MW", scale=2.0), Point("G/E/D|Q", "q", "Mvar"), Point("G/E/D|ON", "on", "state")),
)
STALE, GOOD = PointQuality.STALE, PointQuality.GOOD
MS = 1_000_000


class Node:
    """Says what an edge node says, in sequence, to a host without a broker between them."""

    def __init__(self, host: SparkplugHost) -> None:
        self.host, self.seq, self.now, self.bd_seq = host, 0, 1_000, 0

    def say(self, kind: Kind, device: str = "", *metrics: Metric, seq: int | None = -1) -> Heard:
        self.now += 1
        number = self.seq if seq == -1 else seq
        if number is not None:
            self.seq = (number + 1) % 256
        return self.host.heard(
            str(Topic("G", kind, "E", device)), payload_bytes(self.now, number, metrics), self.now * MS
        )

    def birth(self) -> Heard:
        self.seq = 0
        bd_seq = Metric("bdSeq", datatype=DataType.INT64, value=self.bd_seq)
        return self.say(Kind.NBIRTH, "", bd_seq, Metric("P", 1, None, DataType.INT32, -3))

    def device(self) -> Heard:
        metrics = (Metric("Q", 2, 900, DataType.DOUBLE, 1.5, 192), Metric("ON", 3, None, DataType.BOOLEAN, value=True))
        return self.say(Kind.DBIRTH, "D", *metrics)

    def death(self, bd_seq: int) -> Heard:
        self.now += 1
        metric = Metric("bdSeq", datatype=DataType.INT64, value=bd_seq)
        return self.host.heard("spBv1.0/G/NDEATH/E", payload_bytes(self.now, None, [metric]), self.now * MS)


def started(*, ask: bool = False) -> tuple[SparkplugHost, Node]:
    host = SparkplugHost("plant", REGISTRY, request_rebirth=ask)
    host.begin(1_000 * MS)
    node = Node(host)
    node.birth()
    node.device()
    return host, node


def numbers(heard: Heard) -> dict[str, float | None]:
    return {r.point: r.number for r in heard.found if isinstance(r, PointReading) and not r.quality & STALE}


def stale(heard: Heard) -> set[str]:
    return {r.point for r in heard.found if isinstance(r, PointReading) and r.quality & STALE}


def missed(heard: Heard) -> list[tuple[int, int]]:
    return [(m.start_ns // MS, m.end_ns // MS) for m in heard.found if isinstance(m, Missed)]


def test_births_tell_names_and_types_and_data_come_by_alias() -> None:
    host = SparkplugHost("plant", REGISTRY)
    opening = host.begin(1_000 * MS)
    assert (opening.kept, opening.will, list(opening.first)) == (False, None, [])
    assert "spBv1.0/G/DDEATH/E/+" in opening.topics
    node = Node(host)
    born = node.birth()
    assert (numbers(born), missed(born)) == ({"p": -6.0}, [(1_000, 1_001)])
    device = node.device()
    assert numbers(device) == {"q": 1.5, "on": 1.0}
    (q, _) = device.found
    assert isinstance(q, PointReading)
    assert (q.source_ns, q.receive_ns, q.origin, q.raw_flags) == (900 * MS, 1_002 * MS, "sparkplug:DBIRTH", 192)
    assert numbers(node.say(Kind.NDATA, "", Metric(alias=1, value=0xFFFFFFFF))) == {"p": -2.0}
    found = node.say(Kind.DDATA, "D", Metric(alias=2, timestamp_ms=950, value=2.5), Metric(alias=3, value=False))
    assert numbers(found) == {"q": 2.5, "on": 0.0}
    assert numbers(node.say(Kind.DDATA, "D", Metric("Q", value=3.5))) == {"q": 3.5}
    assert host.tally.unborn == host.tally.sequence_gaps == 0


@pytest.mark.parametrize(
    ("metric", "quality"),
    [
        (Metric(alias=2, value=1.0, quality=192), GOOD),
        (Metric(alias=2, value=1.0, quality=0), PointQuality.INVALID),
        (Metric(alias=2, value=1.0, quality=64), PointQuality.UNCERTAIN),
        (Metric(alias=2, value=1.0, quality=500), PointQuality.OLD),
        (Metric(alias=2, null=True), PointQuality.INVALID),
        (Metric(alias=2, value=float("nan")), PointQuality.INVALID),
        (Metric(alias=2, value=1.0, timestamp_ms=2**62), PointQuality.TIME_INVALID),
    ],
)
def test_quality(metric: Metric, quality: PointQuality) -> None:
    _, node = started()
    (reading,) = node.say(Kind.DDATA, "D", metric).found
    assert isinstance(reading, PointReading)
    assert reading.quality == quality
    assert (reading.number is None) == (metric.null or metric.value != 1.0)


def test_what_was_kept_while_nobody_listened_is_told_apart() -> None:
    _, node = started()
    (old,) = node.say(Kind.DDATA, "D", Metric(alias=2, timestamp_ms=10, value=9.0, historical=True)).found
    assert isinstance(old, PointReading)
    assert (old.origin, old.source_ns) == ("sparkplug:DDATA:historical", 10 * MS)
    (last,) = [r for r in node.say(Kind.DDEATH, "D").found if isinstance(r, PointReading) and r.point == "q"]
    assert last.number == 1.5  # not the old one


def test_a_hole_in_the_sequence_makes_all_stale_until_the_next_birth_and_is_a_recorded_gap() -> None:
    host, node = started()
    node.say(Kind.NDATA, "", Metric(alias=1, value=1))
    heard_at = node.now
    node.seq += 1
    lost = node.say(Kind.DDATA, "D", Metric(alias=2, value=7.0))
    assert (stale(lost), numbers(lost), list(lost.say)) == ({"p", "q", "on"}, {}, [])
    assert numbers(node.say(Kind.DDATA, "D", Metric(alias=2, value=7.0))) == {}
    assert numbers(node.say(Kind.DDATA, "D", Metric("Q", value=8.0))) == {"q": 8.0}  # a name needs no birth
    assert numbers(node.say(Kind.NDATA, "", Metric("P", value=8))) == {"p": 16.0}  # its type is remembered
    again = node.birth()
    assert missed(again) == [(heard_at, node.now)]
    assert numbers(node.device()) == {"q": 1.5, "on": 1.0}
    assert host.tally.sequence_gaps == 1
    assert missed(node.birth()) == []


def test_the_sequence_runs_over_its_end_and_a_repetition_is_none() -> None:
    host, node = started()
    for turn in range(600):
        assert numbers(node.say(Kind.NDATA, "", Metric(alias=1, value=turn))) == {"p": 2.0 * turn}
    payload = payload_bytes(5, node.seq, [Metric(alias=1, value=1)])
    assert numbers(host.heard("spBv1.0/G/NDATA/E", payload, 9)) == {"p": 2.0}
    assert host.heard("spBv1.0/G/NDATA/E", payload, 10).found == ()
    assert (host.tally.sequence_gaps, host.tally.repeated) == (0, 1)


def test_a_death_is_its_own_sessions() -> None:
    host, node = started()
    node.bd_seq = 1
    node.birth()
    node.device()
    assert list(node.death(0).found) == []  # of the session before, told late
    assert host.tally.old_deaths == 1
    assert stale(node.death(1)) == {"p", "q", "on"}
    died = node.now
    assert numbers(node.say(Kind.DDATA, "D", Metric(alias=2, value=1.0))) == {}
    assert list(node.death(1).found) == []  # told once
    assert missed(node.birth()) == [(died, node.now)]
    assert stale(node.death(2)) == {"p"}  # of a session whose birth we have not heard: this one is over all the same


def test_the_death_of_a_device_leaves_the_others() -> None:
    _, node = started()
    assert stale(node.say(Kind.DDEATH, "D")) == {"q", "on"}
    assert numbers(node.say(Kind.NDATA, "", Metric(alias=1, value=1))) == {"p": 2.0}


def test_a_rebirth_is_asked_for_only_where_it_is_allowed_and_not_again_at_once() -> None:
    host = SparkplugHost("plant", REGISTRY, request_rebirth=True)
    (first,) = host.begin(0).first
    topic = read_topic(first.topic)
    assert topic == Topic("G", Kind.NCMD, "E")
    assert read_payload(first.payload).metrics[0].value is True
    node = Node(host)
    assert list(node.say(Kind.NDATA, "", Metric(alias=1, value=1)).say) == []
    node.now = ASK_AGAIN_NS // MS + 1
    assert len(node.say(Kind.NDATA, "", Metric(alias=1, value=1)).say) == 1
    node.birth()
    node.seq += 3
    assert len(node.say(Kind.NDATA, "", Metric(alias=1, value=1)).say) == 1
    assert host.tally.asked == 3


def test_damage_is_a_hole() -> None:
    host, node = started()
    assert stale(host.heard("spBv1.0/G/DDATA/E/D", b"\x0a\x05ab", node.now * MS)) == {"p", "q", "on"}
    assert host.tally.damaged == 1
    assert host.heard("spBv1.0/G/DDATA/OTHER/D", b"\x0a\x05ab", 0) == Heard()
    assert host.heard("else/where", b"", 0) == Heard()


def test_a_host_with_a_name_tells_that_it_is_there() -> None:
    host = SparkplugHost("plant", REGISTRY, host_id="control")
    opening = host.begin(5_000 * MS)
    assert opening.topics[0] == "spBv1.0/STATE/control"
    assert opening.will is not None
    assert json.loads(opening.will.payload) == {"online": False, "timestamp": 5_000}
    assert json.loads(opening.first[0].payload) == {"online": True, "timestamp": 5_000}
    assert all((message.qos, message.retain) == (1, True) for message in (*opening.first, opening.will))
    (again,) = host.heard("spBv1.0/STATE/control", opening.will.payload, 0).say  # of a session before
    assert json.loads(again.payload)["online"] is True
    assert host.heard("spBv1.0/STATE/control", again.payload, 0).say == []
    assert host.heard("spBv1.0/STATE/control", b"[" * 99_999, 0).say == []


class Kept:
    """Keeps what a link gives."""

    def __init__(self) -> None:
        self.readings: list[PointReading] = []
        self.gaps: list[str] = []

    def accept(self, readings: Sequence[PointReading]) -> int:
        self.readings += readings
        return 0

    def tell_gap(self, source: str, start_ns: int, end_ns: int, reason: str) -> int:
        assert source
        assert start_ns <= end_ns
        self.gaps.append(reason)
        return 0

    def tell_link(self, event: LinkEvent) -> None:
        pass


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(120):
        while not condition():  # noqa: ASYNC110 - the peer offers no event
            await asyncio.sleep(0.02)


async def over(
    host: SparkplugHost, port: int, output: Kept, story: Callable[[Link], Coroutine[Any, Any, None]]
) -> None:
    from recloser.connectors.live.mqtt import Broker, MqttClient

    client = MqttClient("plant", Broker("127.0.0.1", port, "recloser-host"), host, CLOCK)
    link = Link("plant", client, output, CLOCK, Backoff(0.05, 0.1))
    task = asyncio.create_task(link.run())
    try:
        await story(link)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.slow
def test_our_node_over_a_broker_with_rebirth_death_and_a_broker_that_is_killed(mosquitto: Any) -> None:
    pytest.importorskip("paho.mqtt", reason="needs the extra mqtt")
    from recloser.app.links.simulating import DeviceOptions, device_of

    device = device_of(DeviceOptions("sparkplug", feeders=2, rate=50.0))
    output = Kept()
    host = SparkplugHost("plant", device.registry, host_id="control", request_rebirth=True)
    names = {point.name for point in device.registry.points}

    def fresh() -> set[str]:
        return {r.point for r in output.readings if r.usable and not r.quality & STALE and "DDATA" in r.origin}

    async def story(link: Link) -> None:
        async with await device.open("127.0.0.1", mosquitto.port):
            await until(lambda: fresh() == names)
        await until(lambda: any(r.origin == "sparkplug:NDEATH" for r in output.readings))
        output.readings.clear()
        async with await device.open("127.0.0.1", mosquitto.port):
            await until(lambda: fresh() == names)
            mosquitto.kill()
            await until(lambda: link.status.state is not LinkState.UP)
        mosquitto.start()
        await until(lambda: link.status.connects == 2)

    asyncio.run(over(host, mosquitto.port, output, story))
    assert host.tally.damaged == host.tally.sequence_gaps == 0
    assert any("not understood" in gap for gap in output.gaps)
    assert any("link down" in gap for gap in output.gaps)


PEER = """
import sys, time
from pysparkplug import DataType, Device, EdgeNode, Metric, get_current_timestamp as now

def metrics(turn):
    on = Metric(now(), "ON", DataType.BOOLEAN, value=True, alias=3)
    return (Metric(now(), "Q", DataType.DOUBLE, value=turn + 0.5, alias=2), on)

node = EdgeNode("G", "E", (Metric(now(), "P", DataType.INT32, value=-3, alias=1),))
device = Device("D", metrics(0))
node.register(device)
node.connect("127.0.0.1", port=int(sys.argv[1]))
while not node._connected:
    time.sleep(0.05)
for turn in range(1, 301):
    node.update((Metric(now(), "P", DataType.INT32, value=-turn, alias=1),))
    node.update_device("D", metrics(turn))
    time.sleep(0.002)
node.disconnect()
"""


@pytest.mark.slow
def test_a_node_of_pysparkplug_is_read_whole(mosquitto: Any, tmp_path: Path) -> None:
    pytest.importorskip("paho.mqtt", reason="needs the extra mqtt")
    python = Path(os.environ.get("RECLOSER_PEERS", "/nowhere"), "sparkplug/bin/python")
    if not python.exists():
        pytest.skip("needs pysparkplug in $RECLOSER_PEERS/sparkplug, a venv: it asks for paho-mqtt below 2")
    output, host = Kept(), SparkplugHost("plant", REGISTRY)
    (tmp_path / "peer.py").write_text(PEER)

    async def story(link: Link) -> None:
        await until(lambda: link.status.state is LinkState.UP)
        await asyncio.to_thread(
            subprocess.run, [str(python), str(tmp_path / "peer.py"), str(mosquitto.port)], check=True, timeout=120
        )
        await until(lambda: any(r.origin == "sparkplug:NDEATH" for r in output.readings))

    asyncio.run(over(host, mosquitto.port, output, story))
    told = [(r.point, r.number) for r in output.readings if not r.quality & STALE]
    assert [number for point, number in told if point == "p"] == [-6.0, *(-2.0 * n for n in range(1, 301))]
    assert [number for point, number in told if point == "q"] == [n + 0.5 for n in range(301)]
    assert host.tally.sequence_gaps == 0
