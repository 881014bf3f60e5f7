"""Owns what all simulated TCP devices share: listening, dropping on demand, ending in order. Speaks no protocol."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

from recloser.connectors.points import PointRegistry
from recloser.core import Unavailable
from recloser.simulation.devices.feed import Now

WATCH_S = 0.05

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Device(Protocol):
    """A simulated device: `registry` says how to read it; `open` makes it answer on an address.

    One that is a client itself (MQTT) connects to the address instead.
    """

    registry: PointRegistry

    async def open(self, host: str, port: int) -> Opened:
        """Begin to listen; port 0 lets the system choose.

        Raises:
            Unavailable: the address is taken.
        """
        ...


@dataclass
class Opened:
    """A device that listens at `port` with its `server`, or works in `tasks`; closed when left as a context."""

    port: int
    server: asyncio.Server | None = None
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.server is not None:
            self.server.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


async def listen(host: str, port: int, now: Now, serve: Serve) -> Opened:
    """Serve every connection until it breaks, or the device drops it.

    Raises:
        Unavailable: the address is taken.
    """
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        work, watch = asyncio.ensure_future(serve(reader, writer)), asyncio.ensure_future(_dropped(now))
        try:
            with suppress(asyncio.CancelledError):  # the device ends: so does this task, in order
                await asyncio.wait([work, watch], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for part in (work, watch):
                part.cancel()
            with suppress(asyncio.CancelledError, OSError, asyncio.IncompleteReadError):
                await work
            writer.close()

    try:
        server = await asyncio.start_server(connected, host, port)
    except OSError as error:
        raise Unavailable(
            "cannot listen", got=error.strerror, where=f"{host}:{port}", next_step="Choose another --port."
        ) from error
    return Opened(server.sockets[0].getsockname()[1], server, tasks)


async def _dropped(now: Now) -> None:
    while not now().dropped:  # noqa: ASYNC110 - faults come by the clock, not by an event
        await asyncio.sleep(WATCH_S)


def spoilt(frame: bytes) -> bytes:
    """Return a frame with one wrong bit in its middle."""
    middle = len(frame) // 2
    return frame[:middle] + bytes([frame[middle] ^ 0x10]) + frame[middle + 1 :]
