"""Live links: the rules of an IEC 104 connection, the plan of Modbus reads, what a link tells when it is lost."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recloser.connectors.iec104 import read_asdu
from recloser.connectors.live import (
    Backoff,
    Iec104Session,
    Iec104Timing,
    Link,
    LinkEvent,
    LinkState,
    ModbusRead,
    plan_reads,
)
from recloser.connectors.live.iec104.client import readings_of
from recloser.connectors.live.modbus.plan import value_of
from recloser.connectors.live.supervision import Deliver
from recloser.connectors.points import Point, PointQuality, PointReading, PointRegistry, nanoseconds
from recloser.core import InvalidInput, Unavailable, VirtualClock

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STARTED = bytes.fromhex("68040b000000")
TEST_CON = bytes.fromhex("680483000000")


def unit(sequence: int, number: float, acknowledged: int = 0, address: int = 7) -> bytes:
    body = struct.pack("<BBBBH", 13, 1, 3, 0, 10) + address.to_bytes(3, "little") + struct.pack("<fB", number, 0)
    return bytes([0x68, len(body) + 4]) + struct.pack("<HH", sequence << 1, acknowledged << 1) + body


def started(timing: Iec104Timing | None = None) -> Iec104Session:
    session = Iec104Session([10], timing or Iec104Timing(), 0.0)
    assert session.outgoing(0.0) == bytes.fromhex("680407000000")
    assert session.feed(STARTED, 0.1) == []
    assert session.outgoing(0.1).hex() == "680e" + "0000" + "0000" + "640106000a0000000014"
    return session


def test_a_session_starts_asks_for_everything_and_acknowledges_only_what_is_safe() -> None:
    session = started(Iec104Timing(unacknowledged=3))
    units = session.feed(b"".join(unit(n, n, acknowledged=1) for n in range(3)), 1.0)
    assert [u.objects[0].parts["element"] for u in units] == [0.0, 1.0, 2.0]
    assert session.outgoing(1.0) == b""  # nothing is safe yet
    session.taken()
    assert session.outgoing(1.0) == bytes.fromhex("680401000600")
    assert session.outgoing(1.0) == b""
    session.feed(unit(3, 3.0, acknowledged=1), 2.0)
    session.taken()
    assert session.outgoing(11.9) == b""
    assert session.outgoing(12.1) == bytes.fromhex("680401000800")


def test_an_idle_line_is_tested_and_a_dead_one_given_up() -> None:
    session = started()
    assert session.outgoing(20.2) == bytes.fromhex("680443000000")
    session.feed(TEST_CON, 20.3)
    assert session.outgoing(20.4) == b""
    assert session.outgoing(41.0) == bytes.fromhex("680443000000")
    with pytest.raises(Unavailable, match="does not answer"):
        session.outgoing(57.0)
    mute = Iec104Session([10], Iec104Timing(), 0.0)
    with pytest.raises(Unavailable, match="does not answer"):
        mute.outgoing(15.1)


def test_the_peer_is_answered_and_interrogated_again_in_time() -> None:
    session = started(Iec104Timing(interrogate_s=60.0))
    session.feed(bytes.fromhex("680443000000"), 1.0)
    assert session.outgoing(1.0) == TEST_CON
    session.feed(TEST_CON, 59.0)
    assert session.outgoing(60.0) == b""
    assert session.outgoing(60.2)[6:8] == b"\x64\x01"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (unit(1, 1.0), "a unit is missing"),
        (unit(0, 1.0, acknowledged=2), "acknowledgement of what was not sent"),
        (b"noise" + unit(0, 1.0), "no unit"),
        (bytes.fromhex("6809" + "00000000" + "0d01030000"), "too short for its head"),
        (bytes.fromhex("680413000000"), "stopped the transfer"),
    ],
)
def test_a_peer_that_breaks_the_rules_is_dropped(data: bytes, words: str) -> None:
    with pytest.raises(Unavailable, match=words):
        started().feed(data, 1.0)


def test_the_numbers_run_over_their_end() -> None:
    session, told = started(), []
    for n in range(40_000):
        (received,) = session.feed(unit(n % 32_768, float(n), acknowledged=1), 1.0)
        assert received.objects[0].parts["element"] == float(n)
        session.taken()
        told += [struct.unpack_from("<H", answer, 4)[0] >> 1] if (answer := session.outgoing(1.0)) else []
    expected = [(n + 1) % 32_768 for n in range(40_000) if (n + 1) % 8 == 0]  # the number that comes next, over the end
    assert told == expected


def test_units_become_readings_of_known_points() -> None:
    points = {"10:7": Point("10:7", "load", "MW", scale=2.0, offset=1.0)}
    asdu = read_asdu(unit(0, 3.0)[6:])
    assert asdu is not None
    assert list(readings_of(asdu, points, "rtu", 5)) == [
        PointReading("rtu", "load", None, 5, 7.0, "MW", PointQuality.GOOD, 0, "iec104:spont", 3.0)
    ]
    other = read_asdu(unit(0, 3.0, address=8)[6:])
    assert other is not None
    assert list(readings_of(other, points, "rtu", 5)) == []


def registry(*addresses: str) -> PointRegistry:
    return PointRegistry("modbus", tuple(Point(address, address) for address in addresses))


def test_neighbours_share_a_request_within_the_limits() -> None:
    found = plan_reads(
        registry("1:holding:0:f32", "1:holding:6", "1:holding:200", "1:coil:3", "2:holding:1", "1:input:5")
    )
    assert [(r.unit, r.function, r.start, r.count, len(r.places)) for r in found] == [
        (1, 1, 3, 1, 1),
        (1, 3, 0, 7, 2),
        (1, 3, 200, 1, 1),
        (1, 4, 5, 1, 1),
        (2, 3, 1, 1, 1),
    ]
    assert found[1].request(9) == bytes.fromhex("000900000006010300000007")


@given(starts=st.sets(st.integers(0, 600), min_size=1, max_size=60))
def test_every_point_is_read_once_and_no_request_is_too_long(starts: set[int]) -> None:
    reads = plan_reads(registry(*(f"1:holding:{start * 4}:f64" for start in starts)))
    places = [place for read in reads for place in read.places]
    assert sorted(place.start for place in places) == sorted(start * 4 for start in starts)
    assert all(read.count <= 125 for read in reads)
    assert all(
        read.start <= p.start and p.start + p.length <= read.start + read.count for read in reads for p in read.places
    )
    assert {read.function for read in reads} == {3}


@pytest.mark.parametrize(
    ("form", "words", "number"),
    [
        ("i16", [0xFFFE], -2.0),
        ("u16", [0xFFFE], 65_534.0),
        ("u32", [1, 2], 65_538.0),
        ("i32:swap", [0xFFFE, 0xFFFF], -2.0),
        ("f32", [0x3FC0, 0], 1.5),
        ("f64:swap", [0, 0, 0, 0x3FF8], 1.5),
    ],
)
def test_words_become_numbers(form: str, words: list[int], number: float) -> None:
    (read,) = plan_reads(registry(f"1:holding:10:{form}"))
    assert isinstance(read, ModbusRead)
    assert value_of(read.places[0], 10, words) == number


class Output:
    """Keeps what a link tells, and may be away."""

    def __init__(self) -> None:
        self.readings: list[PointReading] = []
        self.gaps: list[tuple[str, str]] = []
        self.events: list[LinkEvent] = []
        self.away = False

    def accept(self, readings: Sequence[PointReading]) -> int:
        if self.away:
            raise Unavailable("the spool is full")
        self.readings += readings
        return len(self.readings)

    def tell_gap(self, source: str, start_ns: int, end_ns: int, reason: str) -> int:
        assert start_ns <= end_ns
        self.gaps.append((source, reason))
        return 0

    def tell_link(self, event: LinkEvent) -> None:
        self.events.append(event)


class Script:
    """A client that lives through given connections: each a list of numbers to deliver, then a loss."""

    def __init__(self, *connections: list[float] | None) -> None:
        self.connections = list(connections)
        self.source_ns: int | None = None

    async def run(self, up: Callable[[], None], deliver: Deliver) -> None:
        if not self.connections:
            await asyncio.Event().wait()
        numbers = self.connections.pop(0)
        if numbers is None:
            raise Unavailable("no connection")
        up()
        deliver([PointReading("rtu", "P", self.source_ns, 1, number, "MW") for number in numbers])
        raise Unavailable("the connection broke")


def lived(script: Script, output: Output) -> tuple[Link, list[float]]:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        await asyncio.sleep(0)

    link = Link("rtu", script, output, VirtualClock(NOW), Backoff(1.0, 5.0), sleep)

    async def main() -> None:
        task = asyncio.create_task(link.run())
        while script.connections:  # noqa: ASYNC110 - the loop turns until the script is played
            await asyncio.sleep(0)
        for _ in range(5):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())
    return link, waits


def test_a_lost_link_marks_what_it_knew_as_stale_and_tells_the_gap() -> None:
    output = Output()
    link, waits = lived(Script(None, None, None, None, [1.0, 2.0], None, [3.0]), output)
    assert waits == [1.0, 2.0, 4.0, 5.0, 1.0, 2.0, 1.0]
    assert [(r.number, r.quality) for r in output.readings] == [
        (1.0, PointQuality.GOOD),
        (2.0, PointQuality.GOOD),
        (2.0, PointQuality.STALE),
        (3.0, PointQuality.GOOD),
        (3.0, PointQuality.STALE),
    ]
    assert len(output.gaps) == 1
    assert output.gaps[0][1].startswith("link down")
    states = [event.state for event in output.events]
    assert states[-1] is LinkState.STOPPED
    assert states.count(LinkState.UP) == 2
    assert (link.status.connects, link.status.failures, link.status.readings) == (2, 7, 3)


def test_what_was_said_long_ago_holds_until_the_link_is_lost() -> None:
    output, script = Output(), Script([1.0])
    script.source_ns = 5
    lived(script, output)
    said, stale = output.readings
    assert (said.at_ns, stale.at_ns) == (5, nanoseconds(NOW))


def test_an_output_that_is_away_takes_the_link_down_and_loses_no_word_of_it() -> None:
    output = Output()
    output.away = True
    link, _ = lived(Script([1.0]), output)
    assert output.readings == []
    assert link.status.readings == 0
    assert any("spool is full" in event.reason for event in output.events if event.state is LinkState.DOWN)


def test_an_unusable_backoff_is_refused() -> None:
    with pytest.raises(InvalidInput):
        Backoff(0.0, 1.0)
    assert Backoff(1.0, 60.0).delay_s(10_000) == 60.0
