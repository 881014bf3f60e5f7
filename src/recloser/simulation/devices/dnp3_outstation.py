"""Owns a simulated DNP3 outstation: classes 0 and 1, unsolicited responses, events kept until confirmed.

Takes no control and no write: both are answered with "function not supported". Source: IEEE 1815-2012, clauses 4, 8, 9.
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from collections.abc import Iterator

from recloser.connectors.capture import Cutter
from recloser.connectors.dnp3 import Fragment, Transport, link_frame, measure, read_fragment, read_link
from recloser.connectors.points import PointRegistry
from recloser.simulation.devices.feed import Feed, Moment, Now, load_points
from recloser.simulation.devices.serving import Opened, listen, spoilt

OUTSTATION = 10
CONFIRM, READ, ENABLE, DISABLE, RESPONSE, UNSOLICITED_RESPONSE = 0, 1, 20, 21, 129, 130
FIRST_AND_LAST, CONFIRM_WANTED, UNSOLICITED = 0xC0, 0x20, 0x10
EVENTS_WAIT, NOT_SUPPORTED, OVERFLOWN = 0x0200, 0x0001, 0x0008
ONLINE, INVALID = 0x01, 0x00  # DNP3 says that a value is no good by not being online
TOGETHER, KEPT, LOOK_S, CONFIRM_S = 40, 100_000, 0.02, 2.0

Event = tuple[int, float, int, int]  # place, number, flags, ms since 1970 UTC


class Dnp3Outstation:
    """Tells each feeder's load as an analog input (float): present values, and events with times in class 1.

    Events that were not confirmed are told again; beyond 100,000 that wait the oldest are lost, and it says so.

    Args:
        feed: what is measured.
        period_s: between two events of a point.
    """

    def __init__(self, feed: Feed, period_s: float = 1.0) -> None:
        self._now: Now = feed.now
        self._period_s = period_s
        self.registry = PointRegistry("dnp3", load_points(feed.areas, lambda place, _area: f"analog:{place}"))
        self._events: deque[Event] = deque()
        self._overflown = False
        self.confirmed = 0

    async def open(self, host: str, port: int) -> Opened:
        """Begin to listen; raises as `Device.open`."""
        opened = await listen(host, port, self._now, self._serve)
        opened.tasks.add(asyncio.ensure_future(self._measure()))
        return opened

    async def _measure(self) -> None:
        while True:
            moment = self._now()
            if not moment.silent:
                flags = INVALID if moment.invalid else ONLINE
                at_ms = moment.at_ns // 1_000_000
                self._events.extend((place, number, flags, at_ms) for place, number in enumerate(moment.numbers))
                while len(self._events) > KEPT:
                    self._events.popleft()
                    self._overflown = True
            await asyncio.sleep(self._period_s)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        cutter, session, loop = Cutter(measure), _Session(self), asyncio.get_running_loop()
        while True:
            try:
                async with asyncio.timeout(LOOK_S):
                    data = await reader.read(4096)
            except TimeoutError:
                data = None
            if data == b"":
                return
            for cut in cutter.feed(data or b"", 0):
                if cut.error is not None:
                    return
                session.take(cut.data, self._now(), loop.time())
            moment = self._now()
            if not moment.silent:
                for frame in session.outgoing(loop.time()):
                    writer.write(spoilt(frame) if moment.damaged else frame)
                await writer.drain()

    @property
    def indications(self) -> int:
        """Return the internal indications of a response."""
        return (EVENTS_WAIT if self._events else 0) | (OVERFLOWN if self._overflown else 0)

    def waiting(self) -> list[Event]:
        """Return the oldest events, as many as one response holds."""
        return [self._events[place] for place in range(min(TOGETHER, len(self._events)))]

    def has_arrived(self, events: list[Event]) -> None:
        """Forget events that were confirmed; none that were lost meanwhile."""
        for event in events:
            if self._events and self._events[0] == event:
                self._events.popleft()
                self.confirmed += 1
        self._overflown = False


class _Session:
    """One connection: what the master asked, and what waits for its confirmation."""

    def __init__(self, station: Dnp3Outstation) -> None:
        self._station, self._transport = station, Transport()
        self._out: list[bytes] = []
        self._unconfirmed: tuple[int, list[Event], float] | None = None  # control bits, events, when
        self._reports = False
        self._segment = self._unsolicited = 0
        self._master = 1

    def take(self, data: bytes, moment: Moment, now_s: float) -> None:
        """Take a link frame."""
        frame = read_link(data)
        if frame.error is not None or frame.target != OUTSTATION or not frame.primary:
            return
        self._master = frame.source
        if frame.function in {0, 2, 3}:
            self._out.append(link_frame(OUTSTATION, self._master, b"", 0x00))
        elif frame.function == 9:
            self._out.append(link_frame(OUTSTATION, self._master, b"", 0x0B))
        if not frame.carries or not frame.data:
            return
        whole = self._transport.add(frame.source, frame.data)
        if isinstance(whole, bytes):
            self._answer(read_fragment(whole), moment, now_s)

    def outgoing(self, now_s: float) -> list[bytes]:
        """Return the frames to be sent now; one unsolicited response at a time."""
        if self._unconfirmed is not None and now_s - self._unconfirmed[2] > CONFIRM_S:
            self._unconfirmed = None  # it is told again
        events = self._station.waiting()
        if self._reports and events and self._unconfirmed is None:
            self._unsolicited = (self._unsolicited + 1) % 16
            self._unconfirmed = (UNSOLICITED | self._unsolicited, events, now_s)
            control = FIRST_AND_LAST | CONFIRM_WANTED | UNSOLICITED | self._unsolicited
            self._tell(control, UNSOLICITED_RESPONSE, _events(events), 0)
        frames, self._out = self._out, []
        return frames

    def _answer(self, request: Fragment, moment: Moment, now_s: float) -> None:
        sequence = request.control & 15
        if request.function == CONFIRM:
            if self._unconfirmed is not None and request.control & 0x1F == self._unconfirmed[0]:
                self._station.has_arrived(self._unconfirmed[1])
                self._unconfirmed = None
        elif request.function == READ:
            wanted = {point.variation for point in request.points if point.group == 60}
            events = self._station.waiting() if wanted & {2, 3, 4} and self._unconfirmed is None else []
            objects = _events(events) + (_present(moment) if 1 in wanted else b"")
            if events:
                self._unconfirmed = (sequence, events, now_s)
            self._tell(FIRST_AND_LAST | (CONFIRM_WANTED if events else 0) | sequence, RESPONSE, objects, 0)
        elif request.function in {ENABLE, DISABLE}:
            self._reports = request.function == ENABLE
            self._tell(FIRST_AND_LAST | sequence, RESPONSE, b"", 0)
        else:
            self._tell(FIRST_AND_LAST | sequence, RESPONSE, b"", NOT_SUPPORTED)

    def _tell(self, control: int, function: int, objects: bytes, indications: int) -> None:
        indications |= self._station.indications
        fragment = bytes([control, function]) + indications.to_bytes(2) + objects
        self._out += self._framed(fragment)

    def _framed(self, fragment: bytes) -> Iterator[bytes]:
        """Yield the link frames of a fragment, 249 bytes a transport segment."""
        for start in range(0, len(fragment), 249):
            head = (0x40 if start == 0 else 0) | (0x80 if start + 249 >= len(fragment) else 0) | self._segment
            self._segment = (self._segment + 1) % 64
            yield link_frame(OUTSTATION, self._master, bytes([head]) + fragment[start : start + 249], 0x44)


def _events(events: list[Event]) -> bytes:
    """Return analog input events, floating point with time (group 32, variation 7), indexes of 16 bits."""
    if not events:
        return b""
    objects = b"".join(
        struct.pack("<HBf", place, flags, number) + at_ms.to_bytes(6, "little")
        for place, number, flags, at_ms in events
    )
    return struct.pack("<BBBH", 32, 7, 0x28, len(events)) + objects


def _present(moment: Moment) -> bytes:
    """Return all analog inputs, floating point with flag (group 30, variation 5)."""
    flags = INVALID if moment.invalid else ONLINE
    head = struct.pack("<BBBHH", 30, 5, 0x01, 0, len(moment.numbers) - 1)
    return head + b"".join(struct.pack("<Bf", flags, number) for number in moment.numbers)
