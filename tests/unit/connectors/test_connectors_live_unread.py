"""What a device sends and nobody can read: a recorded gap and a count before it is acknowledged; the talk goes on."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from recloser.connectors.capture import Cutter
from recloser.connectors.dnp3 import Fragment, link_frame, measure, read_fragment, read_link
from recloser.connectors.live import (
    Dnp3Addresses,
    Dnp3Client,
    Dnp3Session,
    Dnp3Timing,
    Endpoint,
    Iec104Client,
    Iec104Session,
    Iec104Timing,
)
from recloser.connectors.points import Missed, Point, PointReading, PointRegistry
from recloser.core import VirtualClock

CLOCK = VirtualClock(datetime(2026, 1, 1, tzinfo=UTC))
MASTER, OUTSTATION = 1, 10
UNKNOWN = bytes.fromhex("c801170101aa")  # group 200: nobody knows its length
EVENT = bytes.fromhex("2001170107") + b"\x01" + struct.pack("<i", 100)
EVERYTHING = (60, 1)


def told(control: int, objects: bytes = b"", function: int = 129, segment: int = 0) -> bytes:
    fragment = bytes([control, function, 0, 0]) + objects
    return link_frame(OUTSTATION, MASTER, bytes([0xC0 | segment % 64]) + fragment, 0x44)


def sent(data: bytes) -> list[Fragment]:
    frames = [read_link(cut.data) for cut in Cutter(measure).feed(data, 0)]
    return [read_fragment(frame.data[1:]) for frame in frames if frame.carries]


def asks_everything(fragment: Fragment) -> bool:
    return EVERYTHING in [(point.group, point.variation) for point in fragment.points]


class Outstation:
    """Answers every request of a session at once, and counts the polls for everything."""

    def __init__(self, timing: Dnp3Timing) -> None:
        self.session = Dnp3Session(MASTER, OUTSTATION, timing, 0.0)
        self.polls: list[float] = []
        self._segment = 0

    def live(self, until_s: float, everything: bytes = b"", events: dict[float, bytes] | None = None) -> None:
        """Answer polls for everything with `everything`, and tell `events` by itself at their times."""
        waiting, now_s = dict(events or {}), 0.0
        while now_s < until_s:
            for at_s in [at_s for at_s in waiting if at_s <= now_s]:
                self._say(0xF0, waiting.pop(at_s), 130, now_s)
            for fragment in sent(self.session.outgoing(now_s)):
                if fragment.function:
                    whole = asks_everything(fragment)
                    self.polls += [now_s] * whole
                    self._say(0xC0 | fragment.control & 15, everything if whole else b"", 129, now_s)
            now_s += 0.5

    def _say(self, control: int, objects: bytes, function: int, now_s: float) -> None:
        self.session.feed(told(control, objects, function, self._segment), now_s)
        self.session.taken()
        self._segment += 1


QUIET = Dnp3Timing(poll_s=5.0, integrity_s=0.0, unsolicited=False)


def test_what_follows_an_unknown_object_is_asked_for_again() -> None:
    outstation = Outstation(QUIET)
    outstation.live(60.0, events={20.0: UNKNOWN + EVENT, 22.0: EVENT + UNKNOWN, 40.0: EVENT})
    assert outstation.polls == [0.0, 20.0, 25.0], "once each, no faster than events are polled; not for what is whole"


def test_everything_that_always_holds_an_unknown_object_is_asked_for_once_more_and_not_for_ever() -> None:
    outstation = Outstation(QUIET)
    outstation.live(200.0, everything=UNKNOWN, events={50.0: UNKNOWN + EVENT})
    assert outstation.polls == [0.0, 5.0]


def test_the_confirmation_of_an_event_that_nobody_can_read_comes_after_its_gap_is_recorded() -> None:
    registry = PointRegistry("dnp3", (Point("analog:7", "A7"),))
    log: list[Any] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        cutter, segment, events = Cutter(measure), 0, [UNKNOWN + EVENT]
        while data := await reader.read(4096):
            for cut in cutter.feed(data, 0):
                (fragment,) = sent(cut.data)
                if fragment.function == 0:
                    log.append("confirmed")
                    continue
                objects = events.pop() if events and not asks_everything(fragment) else b""
                wanted = 0xE0 if objects else 0xC0
                writer.write(told(wanted | fragment.control & 15, objects, 129, segment))
                segment += 1
                log.extend(["asked for everything"] * asks_everything(fragment))
        writer.close()

    def deliver(found: Sequence[Any]) -> None:
        assert not any(isinstance(item, PointReading) for item in found)
        log.extend(found)

    async def main() -> Dnp3Client:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            endpoint = Endpoint("127.0.0.1", server.sockets[0].getsockname()[1])
            timing = Dnp3Timing(poll_s=0.05, unsolicited=False)
            client = Dnp3Client("rtu", endpoint, Dnp3Addresses(OUTSTATION, MASTER), registry, CLOCK, timing)
            task = asyncio.create_task(client.run(lambda: None, deliver))
            async with asyncio.timeout(30):
                while log.count("asked for everything") < 2:  # noqa: ASYNC110 - the peer offers no event
                    await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return client

    client = asyncio.run(main())
    first, gap, *rest = log
    assert first == "asked for everything"
    assert isinstance(gap, Missed)
    assert "object 200 variation 1" in gap.reason
    assert rest[:2] == ["confirmed", "asked for everything"]
    assert client.counts() == {"unreadable": 1}


def unit(sequence: int, type_id: int = 13, count: int = 1) -> bytes:
    body = struct.pack("<BBBBH", type_id, count, 3, 0, 10) + b"\x07\0\0" + struct.pack("<fB", sequence, 0)
    return bytes([0x68, len(body) + 4]) + struct.pack("<HH", sequence << 1, 0) + body


RESERVED_AND_MISCOUNTED = unit(0) + unit(1, type_id=22) + unit(2, count=2) + unit(3)


def test_a_data_unit_that_cannot_be_read_is_acknowledged_with_its_neighbours() -> None:
    session = Iec104Session([10], Iec104Timing(unacknowledged=4), 0.0)
    session.feed(bytes.fromhex("68040b000000"), 0.1)
    session.outgoing(0.1)
    units = session.feed(RESERVED_AND_MISCOUNTED, 1.0)
    assert [unit.error is None for unit in units] == [True, False, False, True]
    session.taken()
    assert session.outgoing(1.0) == bytes.fromhex("680401000800")


def test_a_data_unit_that_cannot_be_read_is_a_gap_and_the_station_stays() -> None:
    registry = PointRegistry("iec104", (Point("10:7", "load", "MW"),))
    log: list[Any] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(6)
        writer.write(bytes.fromhex("68040b000000"))
        await reader.readexactly(16)  # the interrogation
        writer.write(RESERVED_AND_MISCOUNTED)
        assert await reader.readexactly(6) == bytes.fromhex("680401000800")
        log.append("acknowledged")
        writer.close()

    def deliver(found: Sequence[Any]) -> None:
        log.extend(found)

    async def main() -> Iec104Client:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            endpoint = Endpoint("127.0.0.1", server.sockets[0].getsockname()[1])
            client = Iec104Client("rtu", endpoint, registry, CLOCK, Iec104Timing(unacknowledged=4))
            (ended,) = await asyncio.gather(client.run(lambda: None, deliver), return_exceptions=True)
            assert "closed the connection" in str(ended)
            return client

    client = asyncio.run(main())
    kinds = [item if isinstance(item, str) else type(item).__name__ for item in log]
    assert kinds == ["PointReading", "Missed", "Missed", "PointReading", "acknowledged"]
    assert "type identification 22" in log[1].reason
    assert client.counts() == {"unreadable": 2}
