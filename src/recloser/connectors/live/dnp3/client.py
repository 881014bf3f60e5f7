"""Owns reading a DNP3 outstation over TCP, one connection at a time. The rules are the session's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from recloser.connectors.dnp3 import Fragment
from recloser.connectors.dnp3 import Point as Object
from recloser.connectors.live.dnp3.session import Dnp3Session, Dnp3Timing, unreadable
from recloser.connectors.live.endpoint import Endpoint
from recloser.connectors.live.supervision import Deliver
from recloser.connectors.live.talking import Talk, Unread
from recloser.connectors.points import Missed, Point, PointReading, PointRegistry, dnp3_quality, measured, source_time
from recloser.core import Clock

TICK_S = 0.1
STATIC = {1: "binary", 3: "double", 10: "output", 20: "counter", 21: "frozen", 30: "analog", 40: "analog_output"}
EVENT = {2: "binary", 4: "double", 11: "output", 22: "counter", 23: "frozen", 32: "analog", 42: "analog_output"}
KINDS = STATIC | EVENT
COMMON_TIME, UNSYNCHRONISED, NEEDS_TIME = 51, 2, 0x1000


@dataclass(frozen=True, slots=True)
class Dnp3Addresses:
    """Link addresses of the two sides."""

    outstation: int
    master: int = 1


class Dnp3Client:
    """Reads the points of a registry from one outstation.

    Args:
        source: the device, as the project names it.
        endpoint: where it listens.
        addresses: of the link.
        registry: its points; others are passed over.
        clock: tells the time of arrival.
        timing: of the protocol.
    """

    def __init__(
        self,
        source: str,
        endpoint: Endpoint,
        addresses: Dnp3Addresses,
        registry: PointRegistry,
        clock: Clock,
        timing: Dnp3Timing | None = None,
    ) -> None:
        self._source, self._endpoint, self._addresses, self._clock = source, endpoint, addresses, clock
        self._points = registry.by_address()
        self._timing = timing or Dnp3Timing()
        self._unread = Unread()

    async def run(self, up: Callable[[], None], deliver: Deliver) -> None:
        """Read until the connection is lost.

        Raises:
            Unavailable: it cannot be made, or is lost.
        """

        def begin(now_s: float) -> Dnp3Session:
            self._unread.heard_ns = None
            return Dnp3Session(self._addresses.master, self._addresses.outstation, self._timing, now_s)

        def read(fragment: Fragment, now_ns: int) -> Iterator[PointReading | Missed]:
            yield from readings_of(fragment, self._points, self._source, now_ns)
            for error in unreadable(fragment):
                yield self._unread.missed(now_ns, f"a response that cannot be read to its end: {error}")
            self._unread.heard_ns = now_ns

        talk = Talk(self._source, self._endpoint, self._clock, self._timing.answer_s, TICK_S)
        await talk.run(begin, read, up, deliver)

    def counts(self) -> dict[str, int]:
        """Return how many responses held what cannot be read, since the start."""
        return {"unreadable": self._unread.count}


def readings_of(fragment: Fragment, points: dict[str, Point], source: str, receive_ns: int) -> Iterator[PointReading]:
    """Yield the readings of a response's objects that the registry knows.

    Times of a device that says that it needs the time, or gives an unsynchronised common time, are UNSYNCHRONISED: no
    client here sets a clock.
    """
    synchronised = not (fragment.indications or 0) & NEEDS_TIME
    for item in fragment.points:
        if item.group == COMMON_TIME:
            synchronised = item.variation != UNSYNCHRONISED
        point = points.get(f"{KINDS.get(item.group)}:{item.index}")
        if point is not None and item.error is None:
            yield _reading(item, point, source, receive_ns, synchronised=synchronised)


def _reading(item: Object, point: Point, source: str, receive_ns: int, *, synchronised: bool) -> PointReading:
    value, flags = item.parts.get("reading"), item.parts.get("flags")
    t_ns, timed = source_time(item.parts.get("t_ns"))
    found = measured(point, value)
    quality = dnp3_quality(item.group, flags, synchronised=synchronised or t_ns is None)
    return PointReading(
        source=source,
        point=point.name,
        source_ns=t_ns,
        receive_ns=receive_ns,
        number=found.number,
        unit=point.unit,
        quality=quality | found.quality | timed,
        raw_flags=flags or 0,
        origin="dnp3:event" if item.group in EVENT else "dnp3:static",
        raw=found.raw,
    )
