"""Owns reading an STTP publisher over TCP, one connection at a time. The rules are the session's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np

from recloser.connectors.live.endpoint import Endpoint
from recloser.connectors.live.sttp.session import SttpSession, SttpTiming, Told, Value
from recloser.connectors.live.supervision import Deliver
from recloser.connectors.live.talking import Talk
from recloser.connectors.points import (
    Missed,
    PointQuality,
    PointReading,
    PointRegistry,
    measured,
    source_time,
    sttp_quality,
)
from recloser.connectors.stamps import LONGEST_NS, SECOND_NS, StampWatch
from recloser.connectors.sttp import is_leap_second, nanoseconds_of
from recloser.core import Clock

TICK_S = 0.2
NEAR = 0.1  # of a step: two stamps so near to one step apart show that the rate is true


class SttpClient:
    """Reads the points of a registry from one publisher.

    Args:
        source: the device, as the project names it.
        endpoint: where it listens.
        registry: its points, by signal UUID or point tag; one that is not granted is told as OFFLINE.
        clock: tells the time of arrival.
        timing: of the protocol.
        timer: monotonic seconds.
    """

    def __init__(
        self,
        source: str,
        endpoint: Endpoint,
        registry: PointRegistry,
        clock: Clock,
        timing: SttpTiming | None = None,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source, self._endpoint, self._clock = source, endpoint, clock
        self._points, self._timing, self._timer = registry.points, timing or SttpTiming(), timer
        self._session: SttpSession | None = None
        self._before = (0, 0, 0, 0)
        self._missing = self._late = 0

    async def run(self, up: Callable[[], None], deliver: Deliver) -> None:
        """Read until the connection is lost.

        Raises:
            Unavailable: it cannot be made, is refused, is lost, or a packet is missing.
        """
        watches: dict[str, DeviceWatch] = {}

        def begin(now_s: float) -> SttpSession:
            self._before, self._session = self._totals(), SttpSession(self._points, self._timing, now_s)
            return self._session

        def read(told: Told, now_ns: int) -> Iterator[PointReading | Missed]:
            yield from self._lost(told, watches, now_ns)
            yield from readings_of(told, self._source, now_ns)

        talk = Talk(self._source, self._endpoint, self._clock, self._timing.answer_s, TICK_S, self._timer)
        await talk.run(begin, read, up, deliver)

    def counts(self) -> dict[str, int]:
        """Return what happened since the start."""
        packets, values, foreign, notices = self._totals()
        return {
            "packets": packets,
            "values": values,
            "values_not_wanted": foreign,
            "notices": notices,
            "frames_missing": self._missing,
            "frames_late": self._late,
        }

    def _totals(self) -> tuple[int, int, int, int]:
        session = self._session
        if session is None:
            return self._before
        now = (session.packets, session.values, session.foreign, session.notices)
        first, second, third, fourth = (old + new for old, new in zip(self._before, now, strict=True))
        return first, second, third, fourth

    def _lost(self, told: Told, watches: dict[str, DeviceWatch], now_ns: int) -> Iterator[Missed]:
        """Yield what stamps, or a block that cannot be kept, tell to be missing."""
        if told.block is not None:
            yield Missed(now_ns, now_ns, f"a block of bytes of {told.block.name}, which is no number")
        wanted = None if self._session is None else self._session.wanted
        if wanted is None or not wanted.devices:
            return
        stamps: dict[str, set[int]] = {}
        for value in told.values:
            device = wanted.devices.get(value.point.name)
            at_ns, _ = source_time(None if value.ticks is None else nanoseconds_of(value.ticks))
            if device is not None and at_ns is not None:
                watches.setdefault(device[0], DeviceWatch(device[1]))
                stamps.setdefault(device[0], set()).add(at_ns)
        for name, times in stamps.items():
            watch = watches[name]
            missing, late = watch.missing, watch.late
            yield from watch.look(sorted(times), name)
            self._missing += watch.missing - missing
            self._late += watch.late - late


class DeviceWatch:
    """Follows the stamps of one device; its rate is believed once two stamps stood one step apart.

    Args:
        rate: frames a second, as the metadata say.
    """

    def __init__(self, rate: int) -> None:
        self._rate, self._step_ns = rate, SECOND_NS / rate
        self._stamps = StampWatch()
        self._latest: int | None = None
        self._believed = False
        self.late = 0

    @property
    def missing(self) -> int:
        """Return how many frames were missing."""
        return self._stamps.missing

    def look(self, times_ns: Sequence[int], device: str) -> Iterator[Missed]:
        """Yield the runs of frames that are missing before or among these; `times_ns` rise, ns since 1970 UTC."""
        if self._latest is not None and times_ns and times_ns[-1] < self._latest - LONGEST_NS:
            self._latest = None
        new = [at_ns for at_ns in times_ns if self._latest is None or at_ns > self._latest]
        self.late += sum(1 for at_ns in times_ns if self._latest is not None and at_ns < self._latest)
        if not new:
            return
        known = new if self._latest is None else [self._latest, *new]
        self._latest = new[-1]
        if not self._believed:
            steps = (after - before for before, after in pairwise(known))
            self._believed = any(abs(step - self._step_ns) <= NEAR * self._step_ns for step in steps)
        if not self._believed:
            return
        for lost in self._stamps.look(np.array(new, np.int64), self._rate):
            yield Missed(lost.start_ns, lost.end_ns, f"{device}: {lost.reason}")


def readings_of(told: Told, source: str, receive_ns: int) -> Iterator[PointReading]:
    """Yield the readings of what a frame told."""
    for point in told.absent:
        origin = "sttp:not granted"
        yield PointReading(source, point.name, None, receive_ns, None, point.unit, PointQuality.OFFLINE, 0, origin)
    origin = "sttp:compact" if told.compact else "sttp:tssc"
    for value in told.values:
        yield _reading(value, source, receive_ns, origin, compact=told.compact)


def _reading(value: Value, source: str, receive_ns: int, origin: str, *, compact: bool) -> PointReading:
    point, found = value.point, measured(value.point, value.number)
    quality = sttp_quality(value.flags, compact=compact) | found.quality
    leap = value.ticks is not None and is_leap_second(value.ticks)  # second 59 again: two times would be one
    source_ns, timed = source_time(None if value.ticks is None else nanoseconds_of(value.ticks))
    quality |= PointQuality.TIME_INVALID if leap else timed
    return PointReading(
        source=source,
        point=point.name,
        source_ns=source_ns,
        receive_ns=receive_ns,
        number=found.number,
        unit=point.unit,
        quality=quality,
        raw_flags=value.flags,
        origin=origin,
        raw=found.raw,
    )
