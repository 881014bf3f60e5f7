"""A DNP3 master: its rules by hand-made bytes, and over real sockets against outstations that are not ours."""

from __future__ import annotations

import asyncio
import socket
import struct
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from importlib.util import find_spec

import pytest

from recloser.connectors.capture import Cutter
from recloser.connectors.dnp3 import Fragment, crc, link_frame, measure, read_fragment, read_link
from recloser.connectors.live import (
    Backoff,
    Dnp3Addresses,
    Dnp3Client,
    Dnp3Session,
    Dnp3Timing,
    Endpoint,
    Link,
    LinkEvent,
    LinkState,
)
from recloser.connectors.live.dnp3.client import readings_of
from recloser.connectors.points import Point, PointQuality, PointReading, PointRegistry
from recloser.core import Unavailable, VirtualClock

CLOCK = VirtualClock(datetime(2026, 1, 1, tzinfo=UTC))
TIMING = Dnp3Timing(answer_s=3.0, poll_s=5.0, integrity_s=100.0)
MASTER, OUTSTATION = 1, 10
T_MS = 1_700_000_000_500
POINTS = (
    Point("analog:0", "power", "MW", scale=0.5),
    Point("binary:1", "breaker", "state"),
    Point("counter:0", "energy", "MWh"),
)
REGISTRY = PointRegistry("dnp3", POINTS)


def sent(data: bytes) -> list[Fragment]:
    """Return the application fragments in what a session sends; all of them short."""
    frames = [read_link(cut.data) for cut in Cutter(measure).feed(data, 0)]
    assert all(frame.target == OUTSTATION and frame.source == MASTER and frame.error is None for frame in frames)
    return [read_fragment(frame.data[1:]) for frame in frames if frame.carries]


def told(fragment: bytes, segment: int = 0, source: int = OUTSTATION) -> bytes:
    """Return the frames by which an outstation tells a fragment, in segments of 249 bytes."""
    parts = [fragment[start : start + 249] for start in range(0, len(fragment), 249)]
    whole = b""
    for place, part in enumerate(parts):
        first, last = 0x40 if place == 0 else 0, 0x80 if place == len(parts) - 1 else 0
        head = first | last | (segment + place) % 64
        whole += link_frame(source, MASTER, bytes([head]) + part, 0x44)
    return whole


def response(control: int, objects: bytes = b"", indications: int = 0, function: int = 129) -> bytes:
    return bytes([control, function]) + indications.to_bytes(2) + objects


def analog_event(number: float, index: int = 0) -> bytes:
    return bytes([32, 7, 0x17, 1, index]) + struct.pack("<Bf", 1, number) + T_MS.to_bytes(6, "little")


def started(timing: Dnp3Timing = TIMING) -> Dnp3Session:
    session = Dnp3Session(MASTER, OUTSTATION, timing, 0.0)
    (first,) = sent(session.outgoing(0.0))
    assert session.feed(told(response(0xC0 | first.control & 15)), 0.1)
    assert session.started
    return session


def classes(fragment: Fragment) -> list[tuple[int, int]]:
    return [(point.group, point.variation) for point in fragment.points]


def test_everything_is_asked_for_first_then_reports_then_events() -> None:
    session = Dnp3Session(MASTER, OUTSTATION, TIMING, 0.0)
    (first,) = sent(session.outgoing(0.0))
    assert (first.function, classes(first)) == (1, [(60, 2), (60, 3), (60, 4), (60, 1)])
    assert session.outgoing(1.0) == b"", "one request at a time"
    session.feed(told(response(0xC0 | first.control & 15)), 1.1)
    (second,) = sent(session.outgoing(1.2))
    assert (second.function, classes(second)) == (20, [(60, 2), (60, 3), (60, 4)])
    session.feed(told(response(0xC0 | second.control & 15)), 1.3)
    assert session.outgoing(4.0) == b""
    (third,) = sent(session.outgoing(5.5))
    assert (third.function, classes(third)) == (1, [(60, 2), (60, 3), (60, 4)])
    session.feed(told(response(0xC0 | third.control & 15)), 5.6)
    (fourth,) = sent(session.outgoing(100.5))
    assert classes(fourth)[-1] == (60, 1), "everything again, after its time"


def test_only_what_is_safe_is_confirmed() -> None:
    session = started(Dnp3Timing(unsolicited=False, poll_s=1.0))
    (ask,) = sent(session.outgoing(2.0))
    sequence = ask.control & 15
    assert len(session.feed(told(response(0xE0 | sequence, analog_event(1.0))), 2.1)) == 1
    assert session.outgoing(2.2) == b""
    session.taken()
    (confirm,) = sent(session.outgoing(2.3))
    assert (confirm.function, confirm.control) == (0, 0xC0 | sequence)


def test_unsolicited_responses_are_confirmed_with_their_own_numbers() -> None:
    session = started(Dnp3Timing(unsolicited=False, poll_s=99.0))
    fragments = session.feed(told(response(0xF7, analog_event(2.0), function=130), 9), 1.0)
    assert [point.index for point in fragments[0].points] == [0]
    session.taken()
    (confirm,) = sent(session.outgoing(1.1))
    assert (confirm.function, confirm.control) == (0, 0xD7)


def test_a_response_of_several_fragments_and_segments_is_one() -> None:
    session = Dnp3Session(MASTER, OUTSTATION, TIMING, 0.0)
    (ask,) = sent(session.outgoing(0.0))
    sequence = ask.control & 15
    many = b"".join(analog_event(float(n), n) for n in range(40))
    (first,) = session.feed(told(response(0xA0 | sequence, many)), 1.0)
    assert len(first.points) == 40
    assert not session.started
    session.taken()
    assert [fragment.function for fragment in sent(session.outgoing(1.1))] == [0]
    (last,) = session.feed(told(response(0x60 | (sequence + 1) % 16, analog_event(99.0)), 3), 3.5)
    assert last.points[0].parts["reading"] == 99.0
    assert session.started


@pytest.mark.parametrize("twice", [0, 1, 2])
def test_a_link_layer_that_sends_a_segment_again_costs_neither_connection_nor_response(twice: int) -> None:
    session = Dnp3Session(MASTER, OUTSTATION, TIMING, 0.0)
    (ask,) = sent(session.outgoing(0.0))
    many = b"".join(analog_event(float(n), n) for n in range(40))
    parts = [cut.data for cut in Cutter(measure).feed(told(response(0xC0 | ask.control & 15, many)), 0)]
    assert len(parts) == 3
    parts.insert(twice, parts[twice])
    found = [fragment for part in parts for fragment in session.feed(part, 1.0)]
    assert [len(fragment.points) for fragment in found] == [40]
    assert session.started


def test_a_restart_or_lost_events_ask_for_everything_once() -> None:
    session = started(Dnp3Timing(unsolicited=False, poll_s=1.0))
    for at, indications, everything in ((2.0, 0, False), (4.0, 0x8000, True), (6.0, 0x8000, False), (8.0, 8, True)):
        if indications and everything:
            session.feed(told(response(0xF1, b"", indications, 130), int(at)), at - 0.5)
        (ask,) = sent(session.outgoing(at))
        assert (classes(ask)[-1] == (60, 1)) is everything, at
        session.feed(told(response(0xC0 | ask.control & 15, b"", indications)), at + 0.1)


def test_a_device_that_does_not_answer_or_spoils_a_frame_loses_the_connection() -> None:
    session = Dnp3Session(MASTER, OUTSTATION, TIMING, 0.0)
    session.outgoing(0.0)
    with pytest.raises(Unavailable, match="does not answer"):
        session.outgoing(3.5)
    frame = bytearray(told(response(0xC1, analog_event(1.0))))
    frame[15] ^= 1
    with pytest.raises(Unavailable, match="damaged"):
        Dnp3Session(MASTER, OUTSTATION, TIMING, 0.0).feed(bytes(frame), 0.0)
    with pytest.raises(Unavailable, match="no frame"):
        Dnp3Session(MASTER, OUTSTATION, TIMING, 0.0).feed(b"GET / HTTP/1.1\r\n\r\n", 0.0)


def test_others_and_answers_to_nothing_are_passed_over() -> None:
    session = started()
    assert session.feed(told(response(0xC9, analog_event(1.0))), 1.0) == []
    assert session.feed(told(response(0xF1, analog_event(1.0), function=130), source=11), 1.0) == []


@pytest.mark.parametrize(("asked", "answer"), [(0xC9, 0x8B), (0xC0, 0x80), (0xC2, 0x80)])
def test_the_link_layer_is_answered(asked: int, answer: int) -> None:
    session = started(Dnp3Timing(unsolicited=False, poll_s=99.0))
    session.feed(link_frame(OUTSTATION, MASTER, b"", asked & 0x7F), 1.0)
    out = session.outgoing(1.0)
    assert (len(out), out[3]) == (10, answer)
    assert crc(out[:8]).to_bytes(2, "little") == out[8:]


def test_what_readings_say() -> None:
    points = REGISTRY.by_address()
    objects = analog_event(7.0) + bytes([1, 2, 0, 1, 1, 0x81]) + bytes([20, 1, 0, 0, 0, 0x01]) + struct.pack("<I", 5)
    found = list(readings_of(read_fragment(response(0xC1, objects)), points, "rtu", 9))
    assert [(r.point, r.number, r.raw, r.source_ns, r.origin) for r in found] == [
        ("power", 3.5, 7.0, T_MS * 1_000_000, "dnp3:event"),
        ("breaker", 1.0, None, None, "dnp3:static"),
        ("energy", 5.0, None, None, "dnp3:static"),
    ]
    assert [r.quality for r in found] == [PointQuality.GOOD] * 3
    (unsure,) = readings_of(read_fragment(response(0xC1, analog_event(7.0), 0x1000)), points, "rtu", 9)
    assert unsure.quality == PointQuality.UNSYNCHRONISED
    (nothing,) = readings_of(read_fragment(response(0xC1, analog_event(float("nan")))), points, "rtu", 9)
    assert (nothing.number, nothing.quality) == (None, PointQuality.INVALID)


class Heard:
    """A link's output that keeps everything in memory."""

    def __init__(self) -> None:
        self.readings: list[PointReading] = []
        self.gaps: list[str] = []
        self.events: list[LinkEvent] = []

    def accept(self, readings: Sequence[PointReading]) -> int:
        self.readings += readings
        return len(self.readings)

    def tell_gap(self, source: str, start_ns: int, end_ns: int, reason: str) -> int:
        assert source == "rtu"
        assert start_ns <= end_ns
        self.gaps.append(reason)
        return len(self.gaps)

    def tell_link(self, event: LinkEvent) -> None:
        self.events.append(event)

    def numbers(self, origin: str) -> list[float | None]:
        fresh = [r for r in self.readings if not r.quality & PointQuality.STALE]
        return [r.number for r in fresh if r.point == "power" and r.origin == origin]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - the peer offers no event
            await asyncio.sleep(0.02)


def heard(port: int, story: Callable[[Heard, Link], Awaitable[None]]) -> Heard:
    output = Heard()
    timing = Dnp3Timing(answer_s=3.0, poll_s=0.2)
    client = Dnp3Client("rtu", Endpoint("127.0.0.1", port), Dnp3Addresses(OUTSTATION, MASTER), REGISTRY, CLOCK, timing)
    link = Link("rtu", client, output, CLOCK, Backoff(0.05, 0.1))

    async def main() -> None:
        task = asyncio.create_task(link.run())
        try:
            await story(output, link)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())
    return output


OPENDNP3 = """
import sys, time
import opendnp3 as o

class Application(o.IOutstationApplication):
    pass

class Commands(o.ICommandHandler):
    pass

port = int(sys.argv[1])
manager = o.DNP3Manager(1)
channel = manager.AddTCPServer("s", o.LogLevels(0), o.ServerAcceptMode.CloseExisting,
                               o.IPEndpoint("127.0.0.1", port), None)
config = o.OutstationStackConfig(o.DatabaseConfig(2))
config.outstation.eventBufferConfig = o.EventBufferConfig.AllTypes(100)
config.outstation.params.allowUnsolicited = True
config.link.LocalAddr, config.link.RemoteAddr = 10, 1
application, commands = Application(), Commands()
station = channel.AddOutstation("o", commands, application, config)
station.Enable()
print("ready", flush=True)
for line in sys.stdin:
    builder = o.UpdateBuilder()
    builder.Update(o.Analog(float(line), o.Flags(1), o.DNPTime(int(time.time() * 1000))), 0)
    station.Apply(builder.Build())
    print("said", flush=True)
"""


DNP3PY = """
import asyncio, sys, time
from dnp3.core.timestamp import DNP3Timestamp
from dnp3.database import Database
from dnp3.database.point import AnalogInputConfig
from dnp3.outstation.config import OutstationConfig
from dnp3.outstation.outstation import Outstation
from dnp3.outstation.tcp_runner import OutstationTcpRunner

async def main():
    station = Outstation(config=OutstationConfig(address=10, time_sync_required=False))
    station.database.add_analog_input(0, AnalogInputConfig())
    station.database.add_analog_input(1, AnalogInputConfig())
    runner = OutstationTcpRunner(station, "127.0.0.1", int(sys.argv[1]))
    task = asyncio.ensure_future(runner.run())
    while runner.local_address is None:
        await asyncio.sleep(0.01)
    print("ready", flush=True)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        station.database.update_analog_input(0, float(line))
        print("said", flush=True)

asyncio.run(main())
"""


class Peer:
    """An outstation in a process of its own; what is written to it, it says."""

    def __init__(self, script: str, port: int) -> None:
        pipe = subprocess.PIPE
        command = [sys.executable, "-c", script, str(port)]
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._in, self._out = self.process.stdin, self.process.stdout
        assert self._out.readline() == "ready\n"

    def say(self, number: float) -> None:
        self._in.write(f"{number}\n")
        self._in.flush()
        assert self._out.readline() == "said\n"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self._in.close()
        self._out.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


PEERS = {"opendnp3": OPENDNP3, "dnp3": DNP3PY}


@pytest.mark.slow
@pytest.mark.parametrize("library", PEERS)
def test_an_outstation_that_is_not_ours(library: str) -> None:
    if find_spec(library) is None:
        pytest.skip(f"needs {library} as the peer (PyPI: yadnp3, dnp3py)")
    port = free_port()
    peers = [Peer(PEERS[library], port)]

    async def story(output: Heard, link: Link) -> None:
        await until(lambda: link.status.state is LinkState.UP and bool(output.numbers("dnp3:static")))
        for number in range(1, 21):
            peers[-1].say(float(number))
        await until(lambda: len(output.numbers("dnp3:event")) == 20)
        peers[-1].kill()
        await until(lambda: link.status.state is not LinkState.UP)
        peers.append(Peer(PEERS[library], port))
        peers[-1].say(50.0)
        await until(lambda: output.numbers("dnp3:event")[-1] == 25.0)

    try:
        output = heard(port, story)
    finally:
        peers[-1].kill()
    assert output.numbers("dnp3:event") == [number / 2 for number in range(1, 21)] + [25.0]
    assert len(output.gaps) == 1
    assert any(r.quality & PointQuality.STALE for r in output.readings)
