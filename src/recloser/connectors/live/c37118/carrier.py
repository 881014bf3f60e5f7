"""Owns the sockets of a C37.118 connection: TCP, UDP, or commands over TCP and data over UDP. Knows no frame.

Source: IEEE C37.118.2-2011, annex F (communication options: TCP-only, UDP-only, TCP/UDP, spontaneous).
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from dataclasses import dataclass, field
from enum import Enum

from recloser.connectors.live.endpoint import Endpoint
from recloser.core import Unavailable

TICK_S = 0.2
PIECE, BUFFER = 1 << 18, 1 << 22  # bytes read at once; asked of the system for datagrams
MOST = 20_000  # datagrams that wait; more are lost, and their stamps will be missing


class Transport(Enum):
    """How commands and data travel; LISTEN sends no command: the other side speaks by itself."""

    TCP = "tcp"
    UDP = "udp"
    MIXED = "mixed"
    LISTEN = "listen"


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream of a PMU or PDC.

    Attributes:
        endpoint: where it listens; for LISTEN only the host counts, whose datagrams are taken.
        idcode: its identity.
        transport: how it travels.
        data_port: of ours, where datagrams arrive; 0 for any (UDP only: it answers to where the commands came from).
        kind: of configuration that is asked for, 2 or 3.
    """

    endpoint: Endpoint
    idcode: int
    transport: Transport = Transport.TCP
    data_port: int = 0
    kind: int = 2


@dataclass(slots=True)
class Arrived:
    """What came: bytes of the stream, and datagrams; `ended`: the other side closed the stream."""

    stream: bytes = b""
    datagrams: list[bytes] = field(default_factory=list)
    ended: bool = False


class _Inbox(asyncio.DatagramProtocol):
    """Keeps the datagrams of one host until they are taken."""

    def __init__(self, hosts: frozenset[str]) -> None:
        self._hosts = hosts
        self.waiting: deque[bytes] = deque()
        self.event = asyncio.Event()

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        """Keep a datagram of the host; others, and what is too much, are dropped."""
        if address[0] in self._hosts and len(self.waiting) < MOST:
            self.waiting.append(data)
            self.event.set()

    def error_received(self, exc: Exception) -> None:
        """Go on: nobody listens there yet, and patience is the session's."""

    def take(self) -> list[bytes]:
        """Return what waits."""
        found = list(self.waiting)
        self.waiting.clear()
        self.event.clear()
        return found


class Carrier:
    """The open sockets of one connection; made by `open_carrier`."""

    def __init__(
        self,
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None,
        datagrams: tuple[asyncio.DatagramTransport, _Inbox] | None,
        target: tuple[str, int] | None,
    ) -> None:
        self._streams, self._datagrams, self._target = streams, datagrams, target
        self._reading: asyncio.Task[bytes] | None = None

    async def receive(self) -> Arrived:
        """Return what comes within a moment; nothing is lost when this is cancelled but the connection itself."""
        if self._datagrams is None and self._streams is not None:
            try:
                async with asyncio.timeout(TICK_S):  # wait_for of Python 3.11 can swallow the end of the link
                    data = await self._streams[0].read(PIECE)
            except TimeoutError:
                return Arrived()
            return Arrived(data, ended=not data)
        return await self._either()

    async def _either(self) -> Arrived:
        assert self._datagrams is not None
        inbox = self._datagrams[1]
        if self._streams is not None and self._reading is None:
            self._reading = asyncio.ensure_future(self._streams[0].read(PIECE))
        signal = asyncio.ensure_future(inbox.event.wait())
        waits = {signal} if self._reading is None else {signal, self._reading}
        try:
            await asyncio.wait(waits, timeout=TICK_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            signal.cancel()
        arrived = Arrived(datagrams=inbox.take())
        if self._reading is not None and self._reading.done():
            arrived.stream, self._reading = self._reading.result(), None
            arrived.ended = not arrived.stream
        return arrived

    async def send(self, frames: list[bytes]) -> None:
        """Send commands, each alone in its datagram."""
        if self._streams is not None:
            self._streams[1].write(b"".join(frames))
            await self._streams[1].drain()
        elif self._datagrams is not None and self._target is not None:
            for frame in frames:
                self._datagrams[0].sendto(frame, self._target)

    def close(self, goodbye: bytes) -> None:
        """Say the last command, if the connection stands, and close."""
        if self._reading is not None:
            self._reading.cancel()
        if self._streams is not None:
            if goodbye and not self._streams[1].is_closing():
                self._streams[1].write(goodbye)
            self._streams[1].close()
        if self._datagrams is not None:
            if goodbye and self._streams is None and self._target is not None:
                self._datagrams[0].sendto(goodbye, self._target)
            self._datagrams[0].close()


async def open_carrier(stream: Stream, within_s: float, source: str) -> Carrier:
    """Return the sockets of a stream, opened within so many seconds.

    Raises:
        Unavailable: nobody answers, the data port is taken, or the host is not known.
    """
    place = stream.endpoint
    if stream.transport is Transport.TCP:
        return Carrier(await place.open(within_s, source), None, None)
    hosts = await _addresses(place.host, place.port, within_s, source)
    inbox = await _listen(frozenset(hosts), stream.data_port, source)
    if stream.transport is not Transport.MIXED:
        return Carrier(None, inbox, None if stream.transport is Transport.LISTEN else (hosts[0], place.port))
    try:
        return Carrier(await place.open(within_s, source), inbox, None)
    except BaseException:
        inbox[0].close()
        raise


async def _addresses(host: str, port: int, within_s: float, source: str) -> list[str]:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(within_s):
            found = await loop.getaddrinfo(host, port, family=socket.AF_INET, type=socket.SOCK_DGRAM)
    except (OSError, TimeoutError) as error:
        raise Unavailable("the host is not known", got=str(error) or "time out", where=source) from error
    return [str(item[4][0]) for item in found]


async def _listen(hosts: frozenset[str], port: int, source: str) -> tuple[asyncio.DatagramTransport, _Inbox]:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        sock.bind(("", port))
        return await asyncio.get_running_loop().create_datagram_endpoint(lambda: _Inbox(hosts), sock=sock)
    except OSError as error:
        sock.close()
        raise Unavailable("the data port cannot be used", got=f"{port}: {error.strerror}", where=source) from error
