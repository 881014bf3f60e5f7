"""Owns reading an IEC 104 station over TCP, one connection at a time. The rules are the session's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from recloser.connectors.iec104 import Asdu
from recloser.connectors.iec104.types import CAUSES
from recloser.connectors.live.endpoint import Endpoint
from recloser.connectors.live.iec104.session import Iec104Session, Iec104Timing
from recloser.connectors.live.supervision import Deliver
from recloser.connectors.live.talking import Talk, Unread
from recloser.connectors.points import Missed, Point, PointReading, PointRegistry, iec104_quality, measured
from recloser.core import Clock

MONITORED = range(1, 45)  # type identifications that carry measured values and states
TICK_S = 0.2


class Iec104Client:
    """Reads the points of a registry from one station.

    Args:
        source: the device, as the project names it.
        endpoint: where it listens.
        registry: its points; others are passed over.
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
        timing: Iec104Timing | None = None,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source, self._endpoint, self._clock = source, endpoint, clock
        self._points = registry.by_address()
        self._stations = sorted({int(address.partition(":")[0]) for address in self._points})
        self._timing, self._timer = timing or Iec104Timing(), timer
        self._unread = Unread()

    async def run(self, up: Callable[[], None], deliver: Deliver) -> None:
        """Read until the connection is lost.

        Raises:
            Unavailable: it cannot be made, or is lost.
        """

        def begin(now_s: float) -> Iec104Session:
            self._unread.heard_ns = None
            return Iec104Session(self._stations, self._timing, now_s)

        def read(unit: Asdu, now_ns: int) -> Iterator[PointReading | Missed]:
            if unit.error is not None:
                yield self._unread.missed(now_ns, f"a data unit that cannot be read: {unit.error}")
            yield from readings_of(unit, self._points, self._source, now_ns)
            self._unread.heard_ns = now_ns

        talk = Talk(self._source, self._endpoint, self._clock, self._timing.answer_s, TICK_S, self._timer)
        await talk.run(begin, read, up, deliver)

    def counts(self) -> dict[str, int]:
        """Return how many data units could not be read, since the start."""
        return {"unreadable": self._unread.count}


def readings_of(asdu: Asdu, points: dict[str, Point], source: str, receive_ns: int) -> Iterator[PointReading]:
    """Yield the readings of a data unit's objects that the registry knows.

    A normalised value is a share of full scale: the registry's `scale` makes it a quantity.
    """
    if asdu.type_id not in MONITORED:
        return
    origin = f"iec104:{CAUSES.get(asdu.cause, asdu.cause)}"
    for item in asdu.objects:
        point = points.get(f"{asdu.common_address}:{item.address}")
        value = item.parts.get("element")
        if point is None or value is None:
            continue
        found = measured(point, value)
        bits = item.parts.get("quality") or {}
        quality = iec104_quality(
            bits,
            time_invalid=bool(item.parts.get("time", {}).get("iv")),
            test=asdu.test,
            carry=bool(item.parts.get("carry")),
        )
        raw_flags = sum(1 << place for name, place in FLAG_PLACES.items() if bits.get(name))
        yield PointReading(
            source=source,
            point=point.name,
            source_ns=item.parts.get("t_ns"),
            receive_ns=receive_ns,
            number=found.number,
            unit=point.unit,
            quality=quality | found.quality,
            raw_flags=raw_flags,
            origin=origin,
            raw=found.raw,
        )


FLAG_PLACES = {"iv": 7, "nt": 6, "sb": 5, "bl": 4, "ov": 0}
