"""Owns keeping one link up: connect, hand on readings, mark what is stale, record gaps, wait, try again.

Knows no protocol: a client runs one connection until it is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

from recloser.connectors.live.latest import LatestReadings
from recloser.connectors.live.link import Backoff, LinkEvent, LinkOutput, LinkState, LinkStatus
from recloser.connectors.points import Missed, PointReading, ReadingBlock, nanoseconds, run_of
from recloser.core import Clock, Unavailable

Deliver = Callable[[Sequence[PointReading | ReadingBlock | Missed]], None]


class LiveClient(Protocol):
    """One protocol's way to read a device.

    `run` connects, calls `up` once the device answers and its present state was asked for, delivers readings in the
    order of arrival, with what the wire tells to be missing between them, and acknowledges to the device only what
    `deliver` has taken. It raises Unavailable when the connection cannot be made or is lost. Cancelling it closes the
    connection.
    """

    async def run(self, up: Callable[[], None], deliver: Deliver) -> None:
        """Read until the connection is lost."""
        ...


@runtime_checkable
class Counting(Protocol):
    """A client that counts what its protocol knows of losses."""

    def counts(self) -> dict[str, int]:
        """Return counters by name, since the client was made or its connection began."""
        ...


class Link:
    """Keeps the link to one device, `source`.

    Args:
        source: the device, as the project names it.
        client: of its protocol.
        output: where readings go.
        clock: tells the time of arrival.
        backoff: between tries.
        sleep: seconds to wait; asyncio.sleep outside tests.
    """

    def __init__(
        self,
        source: str,
        client: LiveClient,
        output: LinkOutput,
        clock: Clock,
        backoff: Backoff | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.source = source
        self._client, self._output, self._clock = client, output, clock
        self._backoff, self._sleep = backoff or Backoff(), sleep
        self._status = LinkStatus(since_ns=self._now_ns())
        self._latest = LatestReadings()
        self._failures = 0
        self._lost_ns: int | None = None

    @property
    def status(self) -> LinkStatus:
        """Return the heartbeat."""
        return self._status

    def counts(self) -> dict[str, int]:
        """Return what the protocol counts."""
        return self._client.counts() if isinstance(self._client, Counting) else {}

    def was_lost(self, since_ns: int) -> None:
        """Say since when nobody has listened (ns since 1970 UTC), before `run`: an earlier process did."""
        self._lost_ns = since_ns

    async def run(self) -> None:
        """Keep the link until cancelled; a device or an output that is away is tried again, other errors end it."""
        try:
            while True:
                self._change(LinkState.CONNECTING, "connecting")
                try:
                    await self._client.run(self._up, self._deliver)
                    reason = "the device ended the connection"
                except Unavailable as error:
                    reason = error.explain()
                self._down(reason)
                await self._sleep(self._backoff.delay_s(self._failures))
        finally:
            self._change(LinkState.STOPPED, "stopped")

    def _up(self) -> None:
        now = self._now_ns()
        if self._lost_ns is not None:
            self._output.tell_gap(self.source, self._lost_ns, now, f"link down: {self._status.reason}")
            self._lost_ns = None
        self._failures = 0
        self._status = replace(self._status, connects=self._status.connects + 1)
        self._change(LinkState.UP, "connected")

    def _deliver(self, found: Sequence[PointReading | ReadingBlock | Missed]) -> None:
        told: list[PointReading | ReadingBlock] = []
        for item in found:
            if isinstance(item, Missed):
                self._accept(told)
                told = []
                self._output.tell_gap(self.source, item.start_ns, item.end_ns, item.reason)
            else:
                told.append(item)
        self._accept(told)

    def _accept(self, told: Sequence[PointReading | ReadingBlock]) -> None:
        readings = run_of(told)
        if not readings:
            return
        self._output.accept(readings)
        last_ns, total = self._latest.note(readings), self._status.readings + len(readings)
        self._status = replace(self._status, readings=total, last_ns=last_ns)

    def _down(self, reason: str) -> None:
        """Tell that the link is down; what was known becomes stale. A loss is told as a gap once its end is known."""
        now = self._now_ns()
        if self._status.state is LinkState.UP:
            self._lost_ns = self._status.last_ns or now
            stale = self._latest.gone_stale(now, "link:down")
            try:
                self._output.accept(stale) if stale else None
            except Unavailable as error:
                reason = f"{reason} And the output is away: {error.explain()}"
        self._failures += 1
        self._status = replace(self._status, failures=self._status.failures + 1)
        self._change(LinkState.DOWN, reason)

    def _change(self, state: LinkState, reason: str) -> None:
        now = self._now_ns()
        self._status = replace(self._status, state=state, since_ns=now, reason=reason)
        self._output.tell_link(LinkEvent(self.source, state, now, reason))

    def _now_ns(self) -> int:
        return nanoseconds(self._clock.now())
