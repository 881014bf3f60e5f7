"""Owns the talk with a device over one TCP connection: send, hear, hand on, note as taken. A session has the rules."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from recloser.connectors.live.endpoint import Endpoint
from recloser.connectors.live.supervision import Deliver
from recloser.connectors.points import Missed, PointReading, nanoseconds
from recloser.core import Clock, Unavailable

PIECE = 65_536
Unit_co = TypeVar("Unit_co", covariant=True)
Unit = TypeVar("Unit")


class Session(Protocol[Unit_co]):
    """The rules of one connection; no I/O. Times are monotonic seconds; both ways raise Unavailable to end it."""

    @property
    def started(self) -> bool:
        """Return whether the device has answered."""
        ...

    def feed(self, data: bytes, now_s: float) -> Sequence[Unit_co]:
        """Return the units that the next bytes complete."""
        ...

    def taken(self) -> None:
        """Note that what was fed is durable and may be acknowledged."""
        ...

    def outgoing(self, now_s: float) -> bytes:
        """Return what is to be sent now."""
        ...


@dataclass(slots=True)
class Unread:
    """What a device sent that cannot be read: how often, and since when readings may be missing for it.

    Attributes:
        count: since the client was made.
        heard_ns: when this connection told something last, ns since 1970 UTC; None for not yet.
    """

    count: int = 0
    heard_ns: int | None = None

    def missed(self, now_ns: int, reason: str) -> Missed:
        """Count one that came at `now_ns`, and return the gap that it leaves."""
        self.count += 1
        return Missed(now_ns if self.heard_ns is None else min(self.heard_ns, now_ns), now_ns, reason)


@dataclass(frozen=True, slots=True)
class Talk:
    """How one device is talked to.

    Attributes:
        source: the device, as the project names it.
        endpoint: where it listens.
        clock: tells the time of arrival.
        answer_s: within which the connection must be made.
        tick_s: after which the session is asked what to send though nothing came.
        timer: monotonic seconds.
    """

    source: str
    endpoint: Endpoint
    clock: Clock
    answer_s: float
    tick_s: float
    timer: Callable[[], float] = time.monotonic

    async def run(
        self,
        begin: Callable[[float], Session[Unit]],
        read: Callable[[Unit, int], Iterable[PointReading | Missed]],
        up: Callable[[], None],
        deliver: Deliver,
    ) -> None:
        """Talk until the connection is lost.

        Args:
            begin: makes the session, told monotonic seconds.
            read: tells the readings of a unit, and what is missing between them; it is told the unit and its time of
                arrival, ns since 1970 UTC.
            up: see `LiveClient`.
            deliver: see `LiveClient`.

        Raises:
            Unavailable: it cannot be made, or is lost.
        """
        reader, writer = await self.endpoint.open(self.answer_s, self.source)
        session, told = begin(self.timer()), False
        try:
            while True:
                writer.write(session.outgoing(self.timer()))
                await writer.drain()
                if session.started and not told:
                    up()
                    told = True
                data = await self._next(reader)
                if data is None:
                    continue
                units = session.feed(data, self.timer())
                if units and not told:
                    up()
                    told = True
                now_ns = nanoseconds(self.clock.now())
                deliver([reading for unit in units for reading in read(unit, now_ns)])
                session.taken()
        except OSError as error:
            raise Unavailable("the connection broke", got=str(error), where=self.source) from error
        finally:
            writer.close()

    async def _next(self, reader: asyncio.StreamReader) -> bytes | None:
        """Return the next bytes; None where there are none yet."""
        try:
            async with asyncio.timeout(self.tick_s):  # wait_for of Python 3.11 can swallow the end of the link
                data = await reader.read(PIECE)
        except TimeoutError:
            return None
        if not data:
            raise Unavailable("the device closed the connection", where=self.source)
        return data
