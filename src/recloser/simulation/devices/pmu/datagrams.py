"""Owns what simulated devices that speak in datagrams share: answering each caller, sending to one. No protocol."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import cast

from recloser.core import Unavailable
from recloser.simulation.devices.feed import Now
from recloser.simulation.devices.serving import Opened

MOST_CALLERS = 64
Say = Callable[[bytes], None]
Address = tuple[str, int]


class _Callers(asyncio.DatagramProtocol):
    """Gives each caller a task of its own, with the datagrams that it sends."""

    def __init__(self, now: Now, serve: Callable[[AsyncIterator[bytes], Say], Awaitable[None]]) -> None:
        self._now, self._serve = now, serve
        self._queues: dict[Address, asyncio.Queue[bytes]] = {}
        self.tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the socket."""
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, address: Address) -> None:
        """Hand a datagram to its caller's task."""
        if self._now().dropped:
            return
        queue = self._queues.get(address)
        if queue is None:
            if len(self._queues) >= MOST_CALLERS:
                return
            queue = self._queues[address] = asyncio.Queue(100)
            task = asyncio.ensure_future(self._one(queue, address))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        if not queue.full():
            queue.put_nowait(data)

    async def _one(self, queue: asyncio.Queue[bytes], address: Address) -> None:
        async def commands() -> AsyncIterator[bytes]:
            while True:
                yield await queue.get()

        try:
            await self._serve(commands(), lambda data: self._transport.sendto(data, address))
        finally:
            self._queues.pop(address, None)


async def listen_datagrams(
    host: str, port: int, now: Now, serve: Callable[[AsyncIterator[bytes], Say], Awaitable[None]]
) -> Opened:
    """Serve every caller until the device ends.

    Raises:
        Unavailable: the address is taken.
    """
    callers = _Callers(now, serve)
    try:
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: callers, local_addr=(host, port)
        )
    except OSError as error:
        raise Unavailable("cannot listen", got=error.strerror, where=f"{host}:{port}") from error
    return _Datagrams(transport.get_extra_info("sockname")[1], tasks=callers.tasks, transport=transport)


async def send_datagrams(host: str, port: int, speak: Callable[[Say], Awaitable[None]]) -> Opened:
    """Speak to one address, unasked, until the device ends.

    Raises:
        Unavailable: the host is not known.
    """

    async def work() -> None:
        async with datagrams_to(host, port) as say:
            await speak(say)

    return Opened(port, tasks={asyncio.ensure_future(work())})


@asynccontextmanager
async def datagrams_to(host: str, port: int) -> AsyncIterator[Say]:
    """Give what sends datagrams to an address; nobody need listen there."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=(host, port))
    try:
        yield transport.sendto
    finally:
        transport.close()


class _Datagrams(Opened):
    """A device that listens for datagrams; its socket is closed with it."""

    def __init__(self, port: int, *, tasks: set[asyncio.Task[None]], transport: asyncio.DatagramTransport) -> None:
        super().__init__(port, tasks=tasks)
        self._transport = transport

    async def __aexit__(self, *raised: object) -> None:
        await super().__aexit__(None, None, None)
        self._transport.close()
