"""Steady load on a gateway that notes, for every release, when its last answer arrived. Drops nothing silently."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import uvloop
from load import OpenCaller, Outcome, Pool


class _Caller(OpenCaller):
    """A connection whose answers are looked at."""

    def __init__(self, pool: Pool, look: Callable[[int, bytes], None], broken: list[float]) -> None:
        super().__init__(pool)
        self._look, self._broken = look, broken
        self._since, self._unused_s = time.monotonic(), 0.0

    def ask(self, text: bytes, due: float) -> None:
        self._unused_s = time.monotonic() - self._since
        super().ask(text, due)

    def answered(self, status: int, text: bytes) -> None:
        self._look(status, text)
        self._since = time.monotonic()
        super().answered(status, text)

    def connection_lost(self, error: Exception | None) -> None:
        if self.due is not None:
            self._broken.append(self._unused_s)
        super().connection_lost(error)


class Witness(threading.Thread):
    """Asks a gateway at an even rate until it is told to stop.

    Attributes:
        sent: requests sent.
        last: release -> wall clock (seconds) of its latest answer here.
        outcome: statuses, latencies, connections that broke.
        refusals: bodies of the answers without status 200.
        broken: for each that broke under a request, how many seconds it had not been used before.
    """

    def __init__(self, port: int, requests: list[bytes], rate: float = 100.0, connections: int = 12) -> None:
        super().__init__(daemon=True)
        self._port, self._requests, self._rate, self._connections = port, requests, rate, connections
        self._ended = threading.Event()
        self._names: dict[bytes, str] = {}
        self.last: dict[str, float] = {}
        self.counts: dict[str, int] = {}
        self.sent = 0
        self.unanswered = 0
        self.broken: list[float] = []
        self.refusals: list[str] = []
        self.outcome = Outcome()

    def watch_for(self, release: str) -> None:
        """Note the answers of this release too, from now on: those it made, not those whose reason names it."""
        self._names = {**self._names, b'"release":"%b"' % release.encode(): release}
        self.last[release], self.counts[release] = 0.0, 0

    def run(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._drive())

    def stop(self) -> None:
        """Send no more, wait for what is under way."""
        self._ended.set()
        self.join()

    @property
    def dropped(self) -> int:
        """Return how many requests got no answer, or not one with status 200."""
        return self.sent - self.outcome.statuses.get(200, 0)

    def _look(self, status: int, text: bytes) -> None:
        now = time.time()
        if status != 200:
            self.refusals.append(text.decode(errors="replace"))
        for answered_by, release in self._names.items():
            if answered_by in text:
                self.last[release] = now
                self.counts[release] += 1

    async def _drive(self) -> None:
        loop, pool = asyncio.get_running_loop(), Pool(self._requests, self.outcome)
        made = [
            await loop.create_connection(lambda: _Caller(pool, self._look, self.broken), "127.0.0.1", self._port)
            for _ in range(self._connections)
        ]
        due = time.monotonic()
        while not self._ended.is_set():
            pool.ask(due)
            self.sent += 1
            due += 1.0 / self._rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        try:
            await asyncio.wait_for(pool.quiet.wait(), 10.0)
        except TimeoutError:
            self.unanswered = pool.open
        for transport, caller in made:
            caller.due = None
            transport.abort()
