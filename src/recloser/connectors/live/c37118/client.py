"""Owns reading a PMU or PDC over TCP, one connection at a time. The rules are the session's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from recloser.connectors.c37118 import Layout
from recloser.connectors.c37118.points import Chosen, choose, readings_of
from recloser.connectors.live.c37118.session import C37118Session
from recloser.connectors.live.endpoint import Endpoint
from recloser.connectors.live.supervision import Deliver
from recloser.connectors.points import PointQuality, PointReading, PointRegistry, nanoseconds
from recloser.core import Clock, Unavailable

TICK_S = 0.2


class C37118Client:
    """Reads the points of a registry from one stream.

    Args:
        source: the device, as the project names it.
        endpoint: where it listens.
        idcode: identity of the stream.
        registry: its points; a point that the configuration has not is told once as OFFLINE.
        clock: tells the time of arrival.
        answer_s: within which the device must answer, and send its next frame.
    """

    def __init__(
        self,
        source: str,
        endpoint: Endpoint,
        idcode: int,
        registry: PointRegistry,
        clock: Clock,
        *,
        answer_s: float = 10.0,
    ) -> None:
        self._source, self._endpoint, self._idcode = source, endpoint, idcode
        self._registry, self._clock, self._answer_s = registry, clock, answer_s

    async def run(self, up: Callable[[], None], deliver: Deliver) -> None:
        """Read until the connection is lost.

        Raises:
            Unavailable: it cannot be made, or is lost.
        """
        reader, writer = await self._endpoint.open(self._answer_s, self._source)
        session = C37118Session(self._idcode, self._answer_s, time.monotonic())
        try:
            await self._talk(session, reader, writer, up, deliver)
        except OSError as error:
            raise Unavailable("the connection broke", got=str(error), where=self._source) from error
        finally:
            if not writer.is_closing():
                writer.write(session.goodbye())
            writer.close()

    async def _talk(
        self,
        session: C37118Session,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        up: Callable[[], None],
        deliver: Deliver,
    ) -> None:
        known: Layout | None = None
        chosen: list[Chosen] = []
        while True:
            writer.write(session.outgoing(time.monotonic()))
            await writer.drain()
            try:
                async with asyncio.timeout(TICK_S):  # wait_for of Python 3.11 can swallow the end of the link
                    data = await reader.read(1 << 18)
            except TimeoutError:
                continue
            if not data:
                raise Unavailable("the device closed the connection", where=self._source)
            batches = session.feed(data, time.monotonic())
            now_ns = nanoseconds(self._clock.now())
            for batch in batches:
                if batch.layout is not known:
                    up() if known is None else None
                    known = batch.layout
                    chosen, missing = choose(known, self._registry.points)
                    deliver([self._offline(point.name, point.unit, now_ns) for point in missing])
                deliver(readings_of(batch, chosen, self._source, now_ns))

    def _offline(self, name: str, unit: str, now_ns: int) -> PointReading:
        origin = "c37118:not in the configuration"
        return PointReading(self._source, name, None, now_ns, None, unit, PointQuality.OFFLINE, 0, origin)
