"""Owns open-loop HTTP load: requests leave at fixed times whatever happened to those before. Judges no answer.

A closed loop waits for each answer before it asks again, and so leaves out the requests that a stalled server would
have got: its percentiles flatter (coordinated omission). Here latency counts from the meant departure.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from recloser.core import InvalidInput
from recloser.staging.trial.report import LoadReport

LATE_S = 0.01
PATIENCE_S = 30.0
MOST_CONNECTIONS = 512

Look = Callable[[int, bytes], str | None]
"""(index of the request, body of a good answer) -> what is wrong with it, or None."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go.

    Attributes:
        host, port, path: of the server.
        bodies: sent in turn.
        idle_s: a connection not used for so long is not used again; servers close idle ones, ours after 5 s.
    """

    host: str
    port: int
    path: str
    bodies: tuple[bytes, ...]
    idle_s: float = 2.0

    def request(self, index: int) -> bytes:
        """Return the bytes of the request at that place of the turn."""
        body = self.bodies[index % len(self.bodies)]
        head = (
            f"POST {self.path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


@dataclass(slots=True)
class _Seen:
    latencies: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    answered: int = 0
    late: int = 0
    last: float = 0.0


def load_of(target: Target, rate_per_s: float, seconds: float, look: Look = lambda _index, _body: None) -> LoadReport:
    """Send rate x seconds requests at their meant times and return what came back.

    Args:
        target: where and what.
        rate_per_s: requests a second.
        seconds: how long.
        look: looks at every good answer.

    Raises:
        InvalidInput: nothing to send.
    """
    count = round(rate_per_s * seconds)
    if count < 1 or not target.bodies:
        raise InvalidInput("a load without requests", got=count, where="load_of")
    return asyncio.run(_load(target, rate_per_s, count, look))


async def _load(target: Target, rate_per_s: float, count: int, look: Look) -> LoadReport:
    loop = asyncio.get_running_loop()
    seen, pool = _Seen(), _Pool(target)
    begun = loop.time() + 0.05
    tasks = []
    for index in range(count):
        meant = begun + index / rate_per_s
        await asyncio.sleep(max(0.0, meant - loop.time()))
        tasks.append(loop.create_task(_one(target, pool, index, meant, (seen, look))))
    await asyncio.gather(*tasks)
    pool.close()
    p50, p99, p999 = np.quantile(seen.latencies, [0.5, 0.99, 0.999]) * 1000.0 if seen.latencies else [float("nan")] * 3
    largest = max(seen.latencies, default=float("nan")) * 1000.0
    return LoadReport(
        rate_per_s=rate_per_s,
        sent=count,
        answered=seen.answered,
        errors=dict(sorted(seen.errors.items())),
        p50_ms=float(p50),
        p99_ms=float(p99),
        p999_ms=float(p999),
        largest_ms=largest,
        seconds=seen.last - begun,
        late_share=seen.late / count,
    )


async def _one(target: Target, pool: _Pool, index: int, meant: float, sinks: tuple[_Seen, Look]) -> None:
    seen, look = sinks
    loop = asyncio.get_running_loop()
    seen.late += loop.time() - meant > LATE_S
    try:
        async with asyncio.timeout(PATIENCE_S):
            status, body = await pool.exchange(target.request(index))
    except (OSError, asyncio.IncompleteReadError, TimeoutError, ValueError) as error:
        seen.errors[type(error).__name__] += 1
        return
    finally:
        seen.last = max(seen.last, loop.time())
    seen.answered += 1
    wrong = f"HTTP {status}" if status != 200 else look(index, body)
    if wrong is None:
        seen.latencies.append(loop.time() - meant)
    else:
        seen.errors[wrong] += 1


class _Pool:
    """Kept-alive connections to one target; grows when all are busy, because the load does not wait."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter, float]] = []
        self._room = asyncio.Semaphore(MOST_CONNECTIONS)

    async def exchange(self, request: bytes) -> tuple[int, bytes]:
        """Send one request and return status and body; a connection that fails is not used again."""
        async with self._room:
            reader, writer = self._kept() or await self._open()
            kept = False
            try:
                writer.write(request)
                await writer.drain()
                status, body = await _answer(reader)
                kept = True
            finally:
                if kept:
                    self._free.append((reader, writer, asyncio.get_running_loop().time()))
                else:
                    writer.close()
        return status, body

    def _kept(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """Return the connection used last, unless it was idle for too long; the others then were too."""
        if not self._free:
            return None
        reader, writer, since = self._free.pop()
        if asyncio.get_running_loop().time() - since < self._target.idle_s and not reader.at_eof():
            return reader, writer
        writer.close()
        return None

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self._target.host, self._target.port)

    def close(self) -> None:
        """Close what is open."""
        for _, writer, _ in self._free:
            writer.close()


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Read one answer with a Content-Length.

    Raises:
        ValueError: not HTTP/1.1 with a length.
    """
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    status = int(head[0].split(" ", 2)[1])
    fields = {name.strip().lower(): text.strip() for name, _, text in (line.partition(":") for line in head[1:])}
    if "content-length" not in fields:
        raise ValueError("an answer without a Content-Length")
    return status, await reader.readexactly(int(fields["content-length"]))
