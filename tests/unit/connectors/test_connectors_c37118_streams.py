"""Streams of phasor data: missing stamps, alignment of many, and the ways they travel over real sockets."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recloser.app.clock import SystemClock
from recloser.app.links.opening import client_of
from recloser.app.project.tables.links import DeviceSection
from recloser.connectors.c37118 import (
    Concentrator,
    Configuration,
    FrameType,
    PhasorChannel,
    PmuConfiguration,
    StampWatch,
    StreamFramer,
    Waits,
    command_frame,
    configuration_frames,
    data_frame,
    read_envelope,
)
from recloser.connectors.live import Backoff, C37118Session, Link, LinkEvent, LinkState, LiveClient, SessionRules
from recloser.connectors.points import Missed, PointQuality, PointReading, registry_text
from recloser.core import InvalidInput
from recloser.simulation.devices import PmuServer, WaveFeed
from recloser.testing.certificates import Authority

SECOND = 1_000_000_000
STEP = SECOND // 50
STALE = PointQuality.STALE


def stamps(*places: int) -> np.ndarray:
    return np.array([place * STEP for place in places], np.int64)


def test_missing_and_late_frames_are_known_by_their_stamps() -> None:
    watch = StampWatch()
    assert watch.look(stamps(0, 1, 2), 50) == []
    (lost,) = watch.look(stamps(5, 6), 50)
    assert lost == Missed(3 * STEP, 5 * STEP, "2 frames are missing")
    assert watch.look(stamps(4, 7), 50) == []  # one of them comes after all
    assert (watch.missing, watch.late) == (2, 1)
    assert watch.look(stamps(7 + 50 * 7_200), 50) == []  # a clock that was set
    assert watch.look(stamps(9 + 50 * 7_200), 0) == []
    slow = StampWatch()
    assert len(slow.look(np.array([0, 2, 6], np.int64) * SECOND, -2)) == 1


def test_a_device_that_stamps_as_it_sends_has_jitter_and_no_gaps() -> None:
    watch, rng = StampWatch(), np.random.default_rng(2)
    jitter = stamps(*range(200)) + 1_700_000_000 * SECOND + rng.integers(0, STEP, 200)
    assert watch.look(np.sort(jitter), 50) == []
    assert len(watch.look(jitter[-1:] + 10 * STEP, 50)) == 1


def test_one_stamp_far_ahead_does_not_end_the_watch() -> None:
    watch = StampWatch()
    assert watch.look(np.append(stamps(0, 1), 10**18), 50) == []
    assert watch.look(stamps(2, 3), 50) == []
    assert watch.look(stamps(6), 50) == [Missed(4 * STEP, 6 * STEP, "2 frames are missing")]
    assert (watch.missing, watch.late) == (2, 0)


def test_instants_leave_in_order_when_they_are_complete_or_have_waited_long_enough() -> None:
    joint = Concentrator[str](3, 50, Waits(lag_s=0.1))
    now = 10 * STEP
    for place, stream in [(10, 0), (10, 1), (11, 0), (11, 1), (11, 2)]:
        assert joint.add(stream, place * STEP + 999, f"{place}/{stream}", now) == "used"
    assert [aligned.t_ns for aligned in joint.due(now)] == []  # 11 is whole, but 10 waits for stream 2
    (first, second) = joint.due(10 * STEP + SECOND // 10)
    assert first.items == ("10/0", "10/1", None)
    assert (second.t_ns, second.complete) == (11 * STEP, True)
    assert joint.add(2, 10 * STEP, "10/2", now) == "late"
    assert joint.add(2, 10 * STEP + 2 * SECOND, "ahead", now) == "ahead"
    assert [joint.add(0, 12 * STEP, "once", now), joint.add(0, 12 * STEP, "twice", now)] == ["used", "repeated"]
    tally = joint.tallies()[2]
    assert (tally.used, tally.missing, tally.late, tally.ahead, joint.complete) == (1, 1, 1, 1, 1)
    joint.away(1)
    joint.away(2)
    assert [aligned.items for aligned in joint.due(now)] == [("once", None, None)]


def test_waits_may_run_from_the_first_arrival() -> None:
    joint = Concentrator[int](2, 50, Waits(lag_s=0.1, relative=True))
    joint.add(0, STEP, 0, 900 * SECOND)
    joint.add(1, STEP, 0, 900 * SECOND)
    joint.due(900 * SECOND)
    joint.add(0, 2 * STEP, 0, 900 * SECOND)
    assert joint.due(900 * SECOND + SECOND // 20) == []
    assert len(joint.due(900 * SECOND + SECOND // 10)) == 1


@pytest.mark.parametrize("make", [lambda: Concentrator[int](0, 50), lambda: Waits(lag_s=0.0), lambda: Waits(lead_s=-1)])
def test_unusable_settings_are_refused(make: Callable[[], object]) -> None:
    with pytest.raises(InvalidInput):
        make()


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10_000), streams=st.integers(1, 6))
def test_whatever_the_delays_every_frame_is_used_once_or_counted(seed: int, streams: int) -> None:
    rng = Random(seed)
    joint, sent = Concentrator[tuple[int, int]](streams, 50, Waits(lag_s=0.2)), 0
    frames = []
    for place in range(100, 160):
        for stream in range(streams):
            if rng.random() < 0.9:
                frames.append((place * STEP + rng.randrange(0, 20) * STEP, place, stream))
                sent += 1
    out = []
    for now, place, stream in sorted(frames):
        joint.add(stream, place * STEP, (place, stream), now)
        out += joint.due(now)
    out += joint.due(1_000 * SECOND)
    assert [aligned.t_ns for aligned in out] == sorted({aligned.t_ns for aligned in out})
    assert all(item is None or item[0] * STEP == aligned.t_ns for aligned in out for item in aligned.items)
    used = [item for aligned in out for item in aligned.items if item is not None]
    assert len(used) == len(set(used))
    tallies = joint.tallies()
    assert len(used) == sum(tally.used for tally in tallies)
    assert sent == sum(tally.used + tally.late + tally.ahead + tally.repeated for tally in tallies)


def known(pmus: int = 1, name: str = "VA", kind: int = 2) -> Configuration:
    made = tuple(
        PmuConfiguration(f"S{n}", 20 + n, 15, (PhasorChannel(name, "V", 0.01),), (), (), 50, 1) for n in range(pmus)
    )
    return Configuration(7, 1_000_000, made, 50, kind)


def frame(config: Configuration, place: int, stat: int = 0) -> bytes:
    one = [stat, float(place), 0.0, 50.0, 0.0]
    return data_frame(config, one * len(config.pmus), (100 + place // 50, place % 50 * 20_000))


@settings(deadline=None, max_examples=80)
@given(seed=st.integers(0, 10_000), pmus=st.sampled_from([1, 3, 100]))
def test_a_stream_cut_anywhere_and_damaged_gives_every_good_frame_once(seed: int, pmus: int) -> None:
    rng, config = Random(seed), known(pmus)
    good, stream = [], bytearray(configuration_frames(config)[0])
    for place in range(60):
        raw = bytearray(frame(config, place))
        if rng.random() < 0.05:
            raw[rng.randrange(4, len(raw))] ^= 0x40
        else:
            good.append(place)
        stream += raw
    session, got, start = C37118Session(7, SessionRules(), 0.0), [], 0
    while start < len(stream):
        end = start + rng.choice([1, 7, 50, 500, 5_000])
        for batch in session.feed(bytes(stream[start:end]), 1.0):
            got += batch.phasors[:, -1, 0].astype(int).tolist()
        start = end
    assert got == good
    assert session.damaged == 60 - len(good)


def test_an_announced_change_is_asked_about_once_though_the_bit_stays_for_a_minute() -> None:
    session = C37118Session(7, SessionRules(), 0.0)
    session.outgoing(0.0)
    session.feed(configuration_frames(known())[0], 0.0)
    session.outgoing(0.0)
    session.feed(frame(known(), 0), 0.0)
    session.feed(frame(known(), 1, stat=0x0400), 0.0)
    assert session.outgoing(0.0) == [command_frame(7, 5)]
    session.feed(configuration_frames(known(name="VB"))[0], 0.0)
    assert session.outgoing(0.0) == [command_frame(7, 2)]
    for place in range(2, 60):
        (batch,) = session.feed(frame(known(name="VB"), place, stat=0x0400), 0.0)
    assert batch.layout.configuration.pmus[0].phasors[0].name == "VB"
    assert session.outgoing(0.0) == []
    session.feed(frame(known(), 60), 0.0)
    session.feed(frame(known(), 61, stat=0x0400), 0.0)  # another change
    assert session.outgoing(0.0) == [command_frame(7, 5)]
    assert session.configurations == 2


def test_commands_in_datagrams_are_repeated_until_they_work() -> None:
    session = C37118Session(7, SessionRules(answer_s=60.0, repeat_s=2.0), 0.0)
    ask, on = [command_frame(7, 5)], [command_frame(7, 2)]
    assert [session.outgoing(float(second)) for second in range(5)] == [ask, [], ask, [], ask]
    session.feed_datagrams(configuration_frames(known()), 5.0)
    assert [session.outgoing(float(second)) for second in range(5, 9)] == [on, [], on, []]
    assert session.feed_datagrams([b"noise", b"", frame(known(), 0), frame(known(), 1)], 9.0)
    assert [session.outgoing(float(second)) for second in range(9, 14)] == [[]] * 5


def test_a_configuration_3_in_pieces_is_put_together() -> None:
    config = PmuServer(WaveFeed(4, SystemClock(), lambda: 0.0)).configuration
    session = C37118Session(7, SessionRules(kind=3), 0.0)
    assert session.outgoing(0.0) == [command_frame(7, 6)]
    for part in configuration_frames(replace(config, kind=3), piece=200):
        assert session.layout is None
        session.feed(part, 0.0)
    assert session.layout is not None
    assert [pmu.station for pmu in session.layout.configuration.pmus] == ["PMU8", "PMU9", "PMU10", "PMU11"]


class Kept:
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


async def linked(client: LiveClient, story: Callable[[Link, Kept], Awaitable[None]]) -> Kept:
    output = Kept()
    link = Link("pmu", client, output, SystemClock(), Backoff(0.05, 0.2))
    task = asyncio.create_task(link.run())
    try:
        await story(link, output)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return output


def free_port(kind: socket.SocketKind = socket.SOCK_DGRAM) -> int:
    with socket.socket(type=kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def device_section(root: Path, server: PmuServer, **keys: object) -> DeviceSection:
    (root / "points.csv").write_text(registry_text(server.registry), encoding="utf-8")
    return DeviceSection.model_validate({"name": "pmu", "protocol": "c37118", "points": "points.csv", **keys})


@pytest.mark.parametrize(
    ("transport", "pmus", "kind"), [("tcp", 100, 3), ("udp", 2, 2), ("mixed", 100, 2), ("listen", 3, 2)]
)
def test_every_way_of_travelling_over_real_sockets(tmp_path: Path, transport: str, pmus: int, kind: int) -> None:
    async def main() -> None:
        port = free_port()
        server = PmuServer(WaveFeed(pmus, SystemClock(), asyncio.get_running_loop().time), 50, transport, port)
        async with await server.open("127.0.0.1", port if transport == "listen" else 0) as opened:
            data_port = {} if transport in {"tcp", "udp"} else {"data_port": port}
            where = {"host": "127.0.0.1", "port": opened.port, "idcode": 7, "transport": transport}
            device = device_section(tmp_path, server, configuration=kind, **where, **data_port)
            client = client_of(tmp_path, device, SystemClock())

            async def story(link: Link, output: Kept) -> None:
                wanted = {point.name for point in server.registry.points}
                await until(lambda: {r.point for r in output.readings if r.usable} == wanted)
                count = len(output.readings)
                await until(lambda: len(output.readings) > count + 20 * len(wanted))
                assert link.status.connects == 1
                assert link.counts()["configurations"] == 1

            output = await linked(client, story)
        told = [(r.point, r.source_ns) for r in output.readings if r.source_ns is not None]
        assert len(told) == len(set(told))

    asyncio.run(main())


class Changing(WaveFeed):
    """A PMU that announces a change of its configuration once it is told to."""

    changed = False

    def numbers(self, elapsed_s: float, *, invalid: bool = False, factor: float = 1.0) -> tuple[float, ...]:
        stat, *rest = super().numbers(elapsed_s, invalid=invalid, factor=factor)
        return (0x0400 if self.changed else stat, *rest)


def test_a_configuration_that_changes_in_the_middle_of_datagrams(tmp_path: Path) -> None:
    async def main() -> None:
        feed = Changing(1, SystemClock(), asyncio.get_running_loop().time)
        server = PmuServer(feed, 50, "udp")
        async with await server.open("127.0.0.1", 0) as opened:
            device = device_section(tmp_path, server, host="127.0.0.1", port=opened.port, idcode=7, transport="udp")
            client = client_of(tmp_path, device, SystemClock())

            async def story(link: Link, output: Kept) -> None:
                await until(lambda: len(output.readings) > 10)
                (pmu,) = server.configuration.pmus
                swapped = replace(pmu, phasors=pmu.phasors[::-1], change_count=2)
                server.configuration, feed.changed = replace(server.configuration, pmus=(swapped,)), True
                await until(lambda: link.counts()["configurations"] == 2)
                mark = len(output.readings)
                await until(lambda: len(output.readings) > mark + 10)
                volts = {r.number for r in output.readings[mark:] if r.point == "7_VA" and not r.quality & STALE}
                assert volts == {400.0}  # the current stands where the voltage stood

            await linked(client, story)

    asyncio.run(main())


def test_streams_are_concentrated_and_one_that_is_lost_holds_up_nobody(tmp_path: Path) -> None:
    async def main() -> None:
        timer = asyncio.get_running_loop().time
        ports = [free_port(socket.SOCK_STREAM) for _ in range(3)]
        servers = [PmuServer(WaveFeed(2, SystemClock(), timer), 50) for _ in ports]
        for place, server in enumerate(servers):  # each has PMUs of its own
            pmus = tuple(replace(pmu, idcode=pmu.idcode + 10 * place) for pmu in server.configuration.pmus)
            server.configuration = replace(server.configuration, pmus=pmus)
        rows = ["address,name"] + [f"{8 + 10 * n + k}:VA,V{n}{k}" for n in range(3) for k in range(2)]
        (tmp_path / "points.csv").write_text("\n".join(rows) + "\n")
        streams = [{"host": "127.0.0.1", "port": port, "idcode": 7} for port in ports]
        keys = {"name": "wide", "protocol": "c37118", "points": "points.csv", "streams": streams, "lag_seconds": 20.0}
        client = client_of(tmp_path, DeviceSection.model_validate(keys), SystemClock())

        async def story(link: Link, output: Kept) -> None:
            async with await servers[0].open("127.0.0.1", ports[0]), await servers[1].open("127.0.0.1", ports[1]):
                third = await servers[2].open("127.0.0.1", ports[2])
                async with third:
                    await until(lambda: link.counts().get("instants_complete", 0) > 20)
                await until(lambda: any(r.origin == "c37118:stream down" for r in output.readings))
                mark = len(output.readings)
                await until(lambda: len(output.readings) > mark + 50)
                assert link.status.state is LinkState.UP
                async with await servers[2].open("127.0.0.1", ports[2]):
                    await until(lambda: any(r.point == "V20" and r.usable for r in output.readings[mark + 50 :]))
            await until(lambda: link.status.state is not LinkState.UP)

        output = await linked(client, story)
        gone = {r.point for r in output.readings if r.origin == "c37118:stream down"}
        assert {"V20", "V21"} <= gone
        fresh = [(r.point, r.source_ns) for r in output.readings if not r.quality & STALE]
        assert len(fresh) == len(set(fresh))
        aligned = [r.source_ns or 0 for r in output.readings if r.origin == "c37118:data"]
        assert aligned == sorted(aligned)

    asyncio.run(main())


def test_mutual_tls(tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path, "grid"), Authority(tmp_path, "stranger")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("device"))
    context.load_verify_locations(authority.path)
    context.verify_mode = ssl.CERT_REQUIRED
    authority.issue("us")
    stranger.issue("them")
    config = known()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        framer = StreamFramer()
        try:
            while data := await reader.read(999):
                for found in framer.feed(data, 0):
                    if read_envelope(found.data).type is FrameType.CMD:
                        writer.write(configuration_frames(config)[0] if found.data[15] == 5 else frame(config, 1))
        except OSError:
            pass
        writer.close()

    async def main() -> None:
        listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
        port = listening.sockets[0].getsockname()[1]
        (tmp_path / "points.csv").write_text("address,name\n20:VA,V\n")
        keys = {"name": "pmu", "protocol": "c37118", "points": "points.csv", "idcode": 7, "host": "127.0.0.1"}
        for who in ("us", "them"):
            tls = {"tls_ca": "grid.pem", "tls_certificate": f"{who}.pem", "tls_key": f"{who}.key"}
            device = DeviceSection.model_validate({**keys, "port": port, **tls})

            async def story(link: Link, output: Kept, who: str = who) -> None:
                await until(lambda: bool(output.readings) if who == "us" else link.status.failures > 2)
                assert bool(output.readings) == (who == "us")

            await linked(client_of(tmp_path, device, SystemClock()), story)
        listening.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        ({"host": "h", "idcode": 7, "transport": "mixed"}, "without a port for the data"),
        ({"host": "h", "idcode": 7, "transport": "udp", "tls_ca": "a.pem"}, "TLS does not protect datagrams"),
        ({"host": "h", "streams": [{"host": "h", "idcode": 7}]}, "has no address of its own"),
        ({"host": "h"}, "without idcode"),
    ],
)
def test_settings_that_do_not_fit_are_refused(keys: dict[str, object], what: str) -> None:
    with pytest.raises(InvalidInput, match=what):
        DeviceSection.model_validate({"name": "pmu", "protocol": "c37118", "points": "p.csv", **keys})
