"""HTTP/1.1 load on this host, closed loop and open loop; run as a program, it does so job by job for its parent.

Closed: N connections, each sends the next request when its answer is there. Open: requests are due at times fixed
beforehand, whatever the server does, and latency counts from the time a request was due (no coordinated omission).
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import IO

import msgspec
import numpy as np
import uvloop

Check = Callable[[int, int, bytes], str | None]
"""(index of the request, HTTP status, body) -> what is wrong with the answer, or None."""


@dataclass
class Outcome:
    """What a run of load met.

    Attributes:
        latencies_s: per answered request; in an open loop of those answered with 200 only, since they were due.
        statuses: HTTP status -> count.
        broken: connections that ended without an answer.
        unanswered: requests of an open loop without an answer when patience ended.
        seconds: length of the run.
        wrong: what the check said of answers it found wrong, the first hundred, and how many there were.
        lags_s: of an open loop, per request, how much later than due the generator got to it.
        cpu_s: of the generator.
    """

    latencies_s: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    broken: int = 0
    unanswered: int = 0
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)
    wrong_count: int = 0
    lags_s: list[float] = field(default_factory=list)
    cpu_s: float = 0.0

    def quantile_ms(self, level: float) -> float:
        return 1e3 * float(np.quantile(self.latencies_s, level)) if self.latencies_s else float("nan")


@dataclass
class Job:
    """What a generator is asked to do.

    Attributes:
        seconds, most: it ends after so many seconds or, in a closed loop, requests.
        rate: requests a second of an open loop; None: a closed loop.
        seed: of random arrivals (exponential gaps); None: even gaps.
    """

    port: int
    requests: list[bytes]
    connections: int
    seconds: float = 60.0
    most: int = 10**9
    rate: float | None = None
    seed: int | None = None


def request(path: str, body: bytes, headers: str = "", kind: str = "application/json") -> bytes:
    """Return the bytes of a POST."""
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: {kind}\r\n{headers}"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def due_times(rate: float, seconds: float, seed: int | None = None) -> list[float]:
    """Return when requests are due, in seconds from the start: evenly, or at random at the same mean rate."""
    count = max(int(rate * seconds), 1)
    if seed is None:
        return [k / rate for k in range(count)]
    return list(np.cumsum(np.random.default_rng(seed).exponential(1.0 / rate, count)).tolist())


class Caller(asyncio.Protocol):
    """One keep-alive connection: cuts answers out of the stream."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.buffer = bytearray()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self.begun()

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
        status = int(head[9:12])
        self.outcome.statuses[status] = self.outcome.statuses.get(status, 0) + 1
        text = bytes(self.buffer[end + 4 : end + 4 + length])
        self.buffer.clear()
        self.answered(status, text)

    def begun(self) -> None:
        """Is called once the connection stands."""

    def answered(self, status: int, text: bytes) -> None:
        """Is called with every whole answer."""


class Connection(Caller):
    """A connection of a closed loop: asks one request after another."""

    def __init__(self, requests: list[bytes], first: int, outcome: Outcome, plan: Plan) -> None:
        super().__init__(outcome)
        self.requests, self.next, self.plan = requests, first, plan
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.sent = 0.0
        self.asked = 0

    def begun(self) -> None:
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

    def answered(self, status: int, text: bytes) -> None:
        self.outcome.latencies_s.append(time.perf_counter() - self.sent)
        if self.plan.check is not None:
            said = self.plan.check(self.asked, status, text)
            if said is not None:
                self.outcome.wrong_count += 1
                self.outcome.wrong += [said][: 100 - len(self.outcome.wrong)]
        self.begun()

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


class OpenCaller(Caller):
    """A connection of an open loop: asks when a request is due, and the longest waiting one when it is free again."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool.outcome)
        self.pool = pool
        self.due: float | None = None

    def begun(self) -> None:
        self.pool.idle.append(self)

    def ask(self, text: bytes, due: float) -> None:
        assert self.transport is not None
        self.due = due
        self.transport.write(text)

    def answered(self, status: int, text: bytes) -> None:
        assert self.due is not None, text
        if status == 200:
            self.outcome.latencies_s.append(time.monotonic() - self.due)
        self.due = None
        self.pool.free(self)

    def connection_lost(self, _: Exception | None) -> None:
        if self.due is not None:
            self.outcome.broken += 1
            self.pool.ended()
        if self in self.pool.idle:
            self.pool.idle.remove(self)


class Pool:
    """The connections of an open loop, and the requests that are due but found none free."""

    def __init__(self, requests: list[bytes], outcome: Outcome) -> None:
        self.requests, self.outcome = requests, outcome
        self.idle: list[OpenCaller] = []
        self.late: deque[float] = deque()
        self.asked = 0
        self.open = 0
        self.quiet = asyncio.Event()

    def ask(self, due: float) -> None:
        self.open += 1
        self.quiet.clear()
        if self.idle:
            self._send(self.idle.pop(), due)
        else:
            self.late.append(due)

    def ended(self) -> None:
        self.open -= 1
        if not self.open:
            self.quiet.set()

    def free(self, caller: OpenCaller) -> None:
        self.ended()
        if self.late:
            self._send(caller, self.late.popleft())
        else:
            self.idle.append(caller)

    def _send(self, caller: OpenCaller, due: float) -> None:
        self.asked += 1
        caller.ask(self.requests[self.asked % len(self.requests)], due)


class Timer:
    """The kernel's timer as a file: event loops wait for whole milliseconds only, this one is exact."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.file = int(self._libc.timerfd_create(1, os.O_NONBLOCK))  # 1: CLOCK_MONOTONIC
        if self.file < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")

    def set(self, at: float) -> None:
        """Wake at this monotonic time; a time that is past wakes at once."""
        nanoseconds = max(int(at * 1e9), 1)
        times = (ctypes.c_long * 4)(0, 0, *divmod(nanoseconds, 10**9))
        self._libc.timerfd_settime(self.file, 1, times, None)  # 1: absolute

    def close(self) -> None:
        os.close(self.file)


async def drive_open(job: Job, patience_s: float = 8.0) -> Outcome:
    """Send requests when they are due and wait for their answers; patience bounds the wait after the last one."""
    assert job.rate is not None
    outcome, loop, timer = Outcome(), asyncio.get_running_loop(), Timer()
    pool, dues = Pool(job.requests, outcome), due_times(job.rate, job.seconds, job.seed)
    made = [
        await loop.create_connection(lambda: OpenCaller(pool), "127.0.0.1", job.port) for _ in range(job.connections)
    ]
    begun, done, finished = time.monotonic() + 0.02, 0, loop.create_future()

    def wake() -> None:
        nonlocal done
        try:
            os.read(timer.file, 8)
        except BlockingIOError:
            return
        now = time.monotonic()
        while done < len(dues) and begun + dues[done] <= now:
            outcome.lags_s.append(now - begun - dues[done])
            pool.ask(begun + dues[done])
            done += 1
        if done < len(dues):
            timer.set(begun + dues[done])
        elif not finished.done():
            finished.set_result(None)

    loop.add_reader(timer.file, wake)
    timer.set(begun)
    await finished
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(pool.quiet.wait(), patience_s)
    outcome.seconds, outcome.unanswered = time.monotonic() - begun, pool.open
    loop.remove_reader(timer.file)
    timer.close()
    for transport, caller in made:
        caller.due = None
        transport.abort()
    return outcome


async def drive(job: Job, plan: Plan) -> Outcome:
    """Load a server on this host in a closed loop and return what it answered."""
    outcome, loop, begun = Outcome(), asyncio.get_running_loop(), time.perf_counter()
    made = [
        await loop.create_connection(partial(Connection, job.requests, k * 7, outcome, plan), "127.0.0.1", job.port)
        for k in range(job.connections)
    ]
    await asyncio.gather(*(protocol.done for _, protocol in made))
    outcome.seconds = time.perf_counter() - begun
    return outcome


def load(job: Job, check: Check | None = None) -> Outcome:
    """Load a server from this process; in a closed loop `check` is asked about every answer."""
    begun = time.process_time()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if job.rate is None:
            plan = Plan(job.most, time.perf_counter() + job.seconds, check)
            outcome = runner.run(drive(job, plan))
        else:
            outcome = runner.run(drive_open(job))
    outcome.cpu_s = time.process_time() - begun
    return outcome


def put(stream: IO[bytes], message: Job | Outcome) -> None:
    """Write a message behind its length."""
    text = msgspec.msgpack.encode(message)
    stream.write(len(text).to_bytes(8, "big") + text)
    stream.flush()


def get(stream: IO[bytes]) -> bytes:
    """Read the bytes of the next message, none at the end."""
    return stream.read(int.from_bytes(stream.read(8), "big"))


def main() -> None:
    while text := get(sys.stdin.buffer):
        put(sys.stdout.buffer, load(msgspec.msgpack.decode(text, type=Job)))


if __name__ == "__main__":
    main()
