"""A small closed-loop HTTP/1.1 load generator: N connections, each sends the next request when its answer is there."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

Check = Callable[[int, int, bytes], str | None]
"""(index of the request, HTTP status, body) -> what is wrong with the answer, or None."""


@dataclass
class Outcome:
    """What a run of load met.

    Attributes:
        latencies_s: per answered request.
        statuses: HTTP status -> count.
        broken: connections that ended without an answer.
        seconds: length of the run.
        wrong: what the check said of answers it found wrong, the first hundred, and how many there were.
    """

    latencies_s: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    broken: int = 0
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)
    wrong_count: int = 0

    def quantile_ms(self, level: float) -> float:
        return 1e3 * float(np.quantile(self.latencies_s, level)) if self.latencies_s else float("nan")


def request(path: str, body: bytes, headers: str = "") -> bytes:
    """Return the bytes of a POST of JSON."""
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n{headers}"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


class Connection(asyncio.Protocol):
    """One keep-alive connection that asks one request after another."""

    def __init__(self, requests: list[bytes], first: int, outcome: Outcome, plan: Plan) -> None:
        self.requests, self.next, self.outcome, self.plan = requests, first, outcome, plan
        self.buffer = bytearray()
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport | None = None
        self.sent = 0.0
        self.asked = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.send()

    def send(self) -> None:
        assert self.transport is not None
        if not self.plan.take():
            self.transport.close()
            if not self.done.done():
                self.done.set_result(None)
            return
        self.sent = time.perf_counter()
        self.asked = self.next % len(self.requests)
        self.transport.write(self.requests[self.asked])
        self.next += 1

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self.buffer[:end]).lower()
        at = head.find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0])
        if len(self.buffer) < end + 4 + length:
            return
        self.outcome.latencies_s.append(time.perf_counter() - self.sent)
        self.outcome.statuses[int(head[9:12])] += 1
        if self.plan.check is not None:
            said = self.plan.check(self.asked, int(head[9:12]), bytes(self.buffer[end + 4 : end + 4 + length]))
            if said is not None:
                self.outcome.wrong_count += 1
                self.outcome.wrong += [said][: 100 - len(self.outcome.wrong)]
        self.buffer.clear()
        self.send()

    def connection_lost(self, _: Exception | None) -> None:
        if not self.done.done():
            self.outcome.broken += 1
            self.done.set_result(None)


@dataclass
class Plan:
    """When to stop: after so many requests or seconds, whichever comes first."""

    most: int
    until: float
    check: Check | None = None
    taken: int = 0

    def take(self) -> bool:
        if self.taken >= self.most or time.perf_counter() >= self.until:
            return False
        self.taken += 1
        return True


async def drive(port: int, requests: list[bytes], connections: int, plan: Plan) -> Outcome:
    """Load a server on this host and return what it answered."""
    outcome, loop, begun = Outcome(), asyncio.get_running_loop(), time.perf_counter()
    made = [
        await loop.create_connection(lambda k=k: Connection(requests, k * 7, outcome, plan), "127.0.0.1", port)
        for k in range(connections)
    ]
    await asyncio.gather(*(protocol.done for _, protocol in made))
    outcome.seconds = time.perf_counter() - begun
    return outcome


def load(
    port: int,
    requests: list[bytes],
    connections: int,
    *,
    seconds: float = 60.0,
    most: int = 10**9,
    check: Check | None = None,
) -> Outcome:
    """Load a server on this host from this process; `check` is asked about every answer."""
    return asyncio.run(drive(port, requests, connections, Plan(most, time.perf_counter() + seconds, check)))
