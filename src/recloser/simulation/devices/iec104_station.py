"""Owns a simulated IEC 104 station: spontaneous values with time tags, interrogations, events kept until acknowledged.

Takes no command: every other activation is denied. Source: IEC 60870-5-104:2006, clause 5.
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from recloser.connectors.points import PointRegistry
from recloser.simulation.devices.feed import Feed, Moment, Now, load_points
from recloser.simulation.devices.serving import Opened, listen, spoilt

STATION, FIRST_OBJECT, LOOK_S = 1, 1001, 0.02
SHORT_FLOAT, SHORT_FLOAT_TIME, INTERROGATION = 13, 36, 100
SPONTANEOUS, ACTIVATION, CONFIRMATION, TERMINATION, INTERROGATED, UNKNOWN_TYPE = 3, 6, 7, 10, 20, 44
NEGATIVE, INVALID = 0x40, 0x80
START, LONGEST_UNIT, NUMBERS, KEPT = 0x68, 249, 1 << 15, 100_000
STARTDT_ACT, STARTDT_CON, STOPDT_ACT, STOPDT_CON, TESTFR_ACT, TESTFR_CON = 0x07, 0x0B, 0x13, 0x23, 0x43, 0x83


class Iec104Station:
    """Tells the loads of the grid's feeders as short floating point values, one object a feeder.

    Events that were not acknowledged are told again on the next connection; beyond 100,000 that wait, new ones are
    `lost`. One connection at a time: a new one that starts the transfer ends the one before.

    Args:
        feed: what is measured.
        period_s: between two spontaneous values of a point; None: only what `tell` is given.
        window: k, units that may be unacknowledged.
    """

    def __init__(self, feed: Feed, period_s: float | None = 1.0, window: int = 12) -> None:
        self._now: Now = feed.now
        self._period_s, self._window = period_s, window
        points = load_points(feed.areas, lambda place, _area: f"{STATION}:{FIRST_OBJECT + place}")
        self.registry = PointRegistry("iec104", points)
        self._events: deque[bytes] = deque()
        self._active: _Session | None = None
        self.acknowledged = self.lost = 0

    async def open(self, host: str, port: int) -> Opened:
        """Begin to listen; raises as `Device.open`."""
        opened = await listen(host, port, self._now, self._serve)
        if self._period_s is not None:
            opened.tasks.add(asyncio.ensure_future(self._measure(self._period_s)))
        return opened

    @property
    def waiting(self) -> int:
        """Return how many units are not acknowledged yet."""
        return len(self._events)

    def tell(self, moment: Moment) -> None:
        """Tell spontaneous values with the moment's time."""
        for unit in _values(moment, SHORT_FLOAT_TIME, SPONTANEOUS):
            if len(self._events) < KEPT:
                self._events.append(unit)
            else:
                self.lost += 1

    async def _measure(self, period_s: float) -> None:
        while True:
            moment = self._now()
            if not moment.silent:
                self.tell(moment)
            await asyncio.sleep(period_s)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = _Session(self._acknowledged, self._window)
        while True:
            try:
                async with asyncio.timeout(LOOK_S):
                    head = await reader.readexactly(2)
            except TimeoutError:
                head = b""
            if head:
                if head[0] != START:
                    raise ConnectionError
                was_started = session.started
                session.take(await reader.readexactly(head[1]), self._now())
                if session.started and not was_started:
                    self._active = session
            if session.started and self._active is not session:
                raise ConnectionError
            moment = self._now()
            if not moment.silent:
                for frame in session.outgoing(self._events):
                    writer.write(spoilt(frame) if moment.damaged else frame)
                await writer.drain()

    def _acknowledged(self) -> None:
        self._events.popleft()
        self.acknowledged += 1


class _Session:
    """One connection: numbers, window and what is to be sent; `acknowledged` is called for each event that arrived."""

    def __init__(self, acknowledged: Callable[[], None], window: int) -> None:
        self._event_arrived, self._window = acknowledged, window
        self._answers: deque[bytes] = deque()
        self._control: list[bytes] = []
        self.started = False
        self._sent = self._received = self._acknowledged = 0
        self._flying: deque[bool] = deque()  # whether each unacknowledged unit is an event

    def take(self, body: bytes, moment: Moment) -> None:
        """Take what stands behind the length of a unit; ConnectionError ends a connection with nonsense."""
        if len(body) < 4:
            raise ConnectionError
        first = body[0]
        if first & 3 == 3:
            answers = {STARTDT_ACT: STARTDT_CON, STOPDT_ACT: STOPDT_CON, TESTFR_ACT: TESTFR_CON}
            if first in answers:
                self.started = first != STOPDT_ACT and (self.started or first == STARTDT_ACT)
                self._control.append(bytes([START, 4, answers[first], 0, 0, 0]))
            return
        self._acknowledge(struct.unpack_from("<H", body, 2)[0] >> 1)
        if not first & 1:
            self._received = (self._received + 1) % NUMBERS
            self._answer(body[4:], moment)

    def outgoing(self, events: deque[bytes]) -> list[bytes]:
        """Return the frames that may be sent now."""
        frames, self._control = self._control, []
        waiting = sum(self._flying)
        while self.started and len(self._flying) < self._window and (self._answers or waiting < len(events)):
            is_event = not self._answers
            body = events[waiting] if is_event else self._answers.popleft()
            waiting += is_event
            head = struct.pack("<HH", self._sent << 1, self._received << 1)
            frames.append(bytes([START, len(body) + 4]) + head + body)
            self._sent = (self._sent + 1) % NUMBERS
            self._flying.append(is_event)
        return frames

    def _acknowledge(self, number: int) -> None:
        for _ in range((number - self._acknowledged) % NUMBERS):
            if not self._flying:
                raise ConnectionError  # of what was never sent
            if self._flying.popleft():
                self._event_arrived()
        self._acknowledged = number

    def _answer(self, asdu: bytes, moment: Moment) -> None:
        if len(asdu) < 6:
            raise ConnectionError
        if asdu[0] != INTERROGATION or asdu[2] & 0x3F != ACTIVATION:
            self._answers.append(bytes([asdu[0], asdu[1], UNKNOWN_TYPE | NEGATIVE]) + asdu[3:])
            return
        self._answers.append(asdu[:2] + bytes([CONFIRMATION]) + asdu[3:])
        self._answers.extend(_values(moment, SHORT_FLOAT, INTERROGATED))
        self._answers.append(asdu[:2] + bytes([TERMINATION]) + asdu[3:])


def _values(moment: Moment, type_id: int, cause: int) -> Iterator[bytes]:
    """Yield data units with the present value of every object, as many in each as fit."""
    quality = INVALID if moment.invalid else 0
    tag = cp56(moment.at_ns) if type_id == SHORT_FLOAT_TIME else b""
    room = (LONGEST_UNIT - 6) // (8 + len(tag))
    for first in range(0, len(moment.numbers), room):
        numbers = moment.numbers[first : first + room]
        objects = b"".join(
            (FIRST_OBJECT + place).to_bytes(3, "little") + struct.pack("<fB", number, quality) + tag
            for place, number in enumerate(numbers, first)
        )
        yield struct.pack("<BBBBH", type_id, len(numbers), cause, 0, STATION) + objects


def cp56(at_ns: int) -> bytes:
    """Return a CP56Time2a, UTC."""
    stamp = datetime.fromtimestamp(at_ns // 1_000_000_000, UTC)
    milliseconds = stamp.second * 1000 + at_ns // 1_000_000 % 1000
    day = stamp.day | stamp.isoweekday() << 5
    return struct.pack("<HBBBBB", milliseconds, stamp.minute, stamp.hour, day, stamp.month, stamp.year % 100)
