"""A live C37.118 link: handshake, batches, a changed configuration, damage within and beyond the budget."""

from __future__ import annotations

import asyncio
import math
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from random import Random

import pytest

from recloser.connectors.c37118 import (
    AnalogChannel,
    Configuration,
    PhasorChannel,
    PmuConfiguration,
    command_frame,
    configuration_frames,
    data_frame,
    layout_of,
    read_batch,
)
from recloser.connectors.c37118.batches.points import block_of, choose, selection_of
from recloser.connectors.live import (
    Backoff,
    C37118Client,
    C37118Session,
    Endpoint,
    Link,
    LinkEvent,
    SessionRules,
    Stream,
)
from recloser.connectors.points import Point, PointQuality, PointReading, PointRegistry
from recloser.core import Unavailable, VirtualClock

CLOCK = VirtualClock(datetime(2026, 1, 1, tzinfo=UTC))


def known(form: int = 15, name: str = "VA", idcode: int = 7) -> Configuration:
    pmu = PmuConfiguration("S", 21, form, (PhasorChannel(name, "V", 0.01),), (AnalogChannel("TAP", 2.0),), (), 50, 1)
    return Configuration(idcode, 1_000_000, (pmu,), 50)


def frame(config: Configuration, first: float, second: float, stat: int = 0, soc: int = 100) -> bytes:
    whole = layout_of(config).fields[1].code != "f"
    frequency = [10, 20] if whole else [50.01, 0.2]
    return data_frame(config, [stat, first, second, *frequency, 3], (soc, 500_000))


def stamped(config: Configuration, place: int) -> bytes:
    """The frame of this number, the next one a fiftieth of a second later."""
    return data_frame(config, [0, float(place), 0.0, 50.0, 0.0, 3], (100 + place // 50, place % 50 * 20_000))


def started() -> C37118Session:
    session = C37118Session(7, SessionRules(), 0.0)
    assert session.outgoing(0.0) == [command_frame(7, 5)]
    assert session.feed(configuration_frames(known())[0], 1.0) == []
    assert session.outgoing(1.0) == [command_frame(7, 2)]
    return session


def test_neighbouring_frames_come_as_one_batch_split_anywhere() -> None:
    session = started()
    stream = b"".join(frame(known(), float(n), 0.0, soc=n) for n in range(20))
    batches = session.feed(stream[:333], 2.0) + session.feed(stream[333:], 2.0)
    assert [t_ns for batch in batches for t_ns in batch.t_ns.tolist()] == [n * 10**9 + 500_000_000 for n in range(20)]
    assert len(batches) == 2
    assert session.outgoing(2.0) == []


def test_a_changed_configuration_is_asked_for_once_and_then_rules() -> None:
    session = started()
    session.feed(frame(known(), 1.0, 0.0, stat=0x0400) * 3, 2.0)
    assert session.outgoing(2.0) == [command_frame(7, 5)]
    assert session.feed(frame(known(0), 1, 0), 2.1) == []  # of another size, not to be read
    assert session.outgoing(2.1) == []
    (batch,) = session.feed(configuration_frames(known(0))[0] + frame(known(0), 300, 400), 2.2)
    assert batch.layout.configuration.pmus[0].format == 0
    assert session.outgoing(2.2) == [command_frame(7, 2)]


def test_frames_of_other_streams_are_passed_over() -> None:
    other = replace(known(), idcode=8)
    assert started().feed(configuration_frames(other)[0] + frame(other, 1.0, 0.0), 2.0) == []


def test_silence_and_too_much_damage_end_the_connection() -> None:
    with pytest.raises(Unavailable, match="a configuration within"):
        C37118Session(7, SessionRules(), 0.0).outgoing(10.1)
    session = started()
    with pytest.raises(Unavailable, match="data within"):
        session.outgoing(11.1)
    bad = frame(known(), 1.0, 0.0)[:-1] + b"\0"
    for second in range(20):
        session.feed(bad, float(second))  # one a second is within the budget
    assert session.damaged == 20
    with pytest.raises(Unavailable, match="too many damaged frames"):
        session.feed(bad * 11, 20.0)


@pytest.mark.parametrize(("form", "first", "second"), [(15, 5.0, math.atan2(4, 3)), (14, 3.0, 4.0), (0, 300, 400)])
def test_every_notation_gives_the_same_readings(form: int, first: float, second: float) -> None:
    layout = layout_of(known(form))
    channels = ("VA", "VA/angle_deg", "VA/re", "VA/im", "frequency", "rocof", "TAP", "NONE")
    chosen, missing = choose(layout, [Point(f"21:{name}", name) for name in channels])
    assert [point.name for point in missing] == ["NONE"]
    batch = read_batch([frame(known(form), first, second, stat=0x2000)], layout)
    readings = list(block_of(batch, selection_of(chosen, "pmu"), 9))
    tap = 6.0 if form == 0 else 3.0
    expected = [5.0, math.degrees(math.atan2(4, 3)), 3.0, 4.0, 50.01, 0.2, tap]
    assert [r.number for r in readings] == pytest.approx(expected, rel=1e-6)
    assert {(r.quality, r.raw_flags, r.source_ns) for r in readings} == {
        (PointQuality.UNSYNCHRONISED, 0x2000, 100_500_000_000)
    }


def test_absent_numbers_are_invalid() -> None:
    layout = layout_of(known(1))
    chosen, _ = choose(layout, [Point("21:VA", "VA", scale=2.0)])
    batch = read_batch([frame(known(1), 500, -32768)], layout)
    readings = list(block_of(batch, selection_of(chosen, "pmu"), 9))
    assert [(r.number, r.quality) for r in readings] == [(None, PointQuality.INVALID)]


class Kept:
    def __init__(self) -> None:
        self.readings: list[PointReading] = []
        self.gaps = 0
        self.events: list[LinkEvent] = []

    def accept(self, readings: Sequence[PointReading]) -> int:
        self.readings += readings
        return 0

    def tell_gap(self, source: str, start_ns: int, end_ns: int, reason: str) -> int:
        del source, start_ns, end_ns, reason
        self.gaps += 1
        return 0

    def tell_link(self, event: LinkEvent) -> None:
        self.events.append(event)


def test_a_device_is_read_over_a_real_socket_and_again_after_it_hung_up() -> None:
    config, output = known(), Kept()
    commands: list[bytes] = []

    async def device(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        commands.append(await reader.readexactly(18))
        writer.write(configuration_frames(config)[0])
        commands.append(await reader.readexactly(18))
        writer.write(b"".join(stamped(config, n) for n in range(50)))
        await writer.drain()
        writer.close()

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
            server = await asyncio.start_server(device, sock=listening)
            points = (Point("21:VA", "VA", "V"), Point("21:NONE", "none"))
            client = C37118Client("pmu", Stream(Endpoint("127.0.0.1", port), 7), PointRegistry("c37118", points), CLOCK)
            link = Link("pmu", client, output, CLOCK, Backoff(0.01, 0.02))
            task = asyncio.create_task(link.run())
            async with asyncio.timeout(30):
                while link.status.connects < 3:  # noqa: ASYNC110 - the device offers no event
                    await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            server.close()

    asyncio.run(main())
    assert commands[0] == command_frame(7, 5)
    assert commands[1] == command_frame(7, 2)
    fresh = [r.number for r in output.readings if r.point == "VA" and not r.quality & PointQuality.STALE]
    assert fresh[:100] == [float(n) for n in range(50)] * 2
    assert next(r.quality for r in output.readings if r.point == "none") == PointQuality.OFFLINE
    assert output.gaps == 2


def test_a_link_ends_when_it_is_told_to_however_busy_the_device_is() -> None:
    config, moments = known(), Random(7)
    payload = b"".join(stamped(config, n) for n in range(20))

    async def device(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(18)
        writer.write(configuration_frames(config)[0])
        with suppress(ConnectionError):
            while not reader.at_eof():
                writer.write(payload)
                await writer.drain()
                await asyncio.sleep(0)
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(device, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        for _ in range(60):
            registry = PointRegistry("c37118", (Point("21:VA", "VA", "V"),))
            link = Link(
                "pmu", C37118Client("pmu", Stream(Endpoint("127.0.0.1", port), 7), registry, CLOCK), Kept(), CLOCK
            )
            task = asyncio.create_task(link.run())
            while link.status.readings < 20:  # noqa: ASYNC110 - the link offers no event
                await asyncio.sleep(0)
            for _ in range(moments.randrange(40)):
                await asyncio.sleep(0)
            task.cancel()
            _, left = await asyncio.wait({task}, timeout=20)
            assert not left, "it went on"
        server.close()

    asyncio.run(main())
