"""Owns the way from a transport to the models and back: admission, lanes, the caller's deadline."""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from recloser.core import Clock, InvalidInput, Unavailable
from recloser.serving.answer import Scoring
from recloser.serving.batch import Batch
from recloser.serving.gateway import Gateway
from recloser.serving.plane.express import MOST_ROWS, Express
from recloser.serving.plane.job import Job, Note
from recloser.serving.plane.lane import Lane
from recloser.serving.predictor import PER_ROW_MS

BULK_ROWS = 256
"""Requests with more rows go through a lane of their own, so that they do not hold up small ones."""

MARGIN = 0.9
"""Share of the caller's time after which an answer is given with what there is."""

LONGEST_MS = 600_000.0


@dataclass(frozen=True, slots=True)
class PlanePolicy:
    """How long and how many requests may wait.

    Attributes:
        deadline_ms: an answer is given within so many milliseconds, and PER_ROW_MS more for each row, unless the caller
            says otherwise.
        most_waiting: requests that may be under way at once; one more is refused with `Unavailable`.
        most_rows: rows that may be under way at once.

    Raises:
        InvalidInput: a limit that lets nothing through.
    """

    deadline_ms: float = 2_000.0
    most_waiting: int = 1_024
    most_rows: int = 1_000_000

    def __post_init__(self) -> None:
        if not 0 < self.deadline_ms <= LONGEST_MS or self.most_waiting < 1 or self.most_rows < 1:
            raise InvalidInput("limits that let nothing through", got=str(self), where="PlanePolicy")


class DataPlane:
    """Answers requests of any event loop by the gateway's models, in threads, in batches without added wait.

    Guarantees: an answer of a request is bit for bit the one it would get alone; one request's rows, failures and
    deadline touch no other's; a model that is late or hangs holds up a batch once, for `GuardPolicy.late_after_ms`,
    and is not asked again before it came back. Threads start at the first request and end with the plane.

    Args:
        gateway: whose route and models answer.
        clock: the present.
        policy: how long and how many may wait.
        timer: monotonic seconds.
    """

    def __init__(
        self,
        gateway: Gateway,
        clock: Clock,
        policy: PlanePolicy | None = None,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self.policy = policy or PlanePolicy()
        self._timer = timer
        self._jobs = 0
        self._rows = 0
        self._in_lanes = 0
        self._small = Lane("plane", gateway, clock, timer)
        self._gateway = gateway
        self._express = Express(gateway, clock, timer)
        self._bulk = Lane("plane-bulk", gateway, clock, timer)
        for lane in (self._small, self._bulk):
            weakref.finalize(self, lane.queue.put, None)

    @property
    def waiting(self) -> int:
        """Requests under way."""
        return self._jobs

    def behind_s(self) -> float:
        """Return the seconds that a small request would wait for the models now; 0 unless there is no end of work."""
        return self._small.behind_s()

    def close(self, timeout_s: float = 5.0) -> bool:
        """Wait until all evidence about what was answered is told, such as a shadow's answers; for a server that ends.

        A model that hangs is left behind as ever. Nothing may be asked any more. False if it took too long.
        """
        until = self._timer() + timeout_s
        closed = [lane.close(until) for lane in (self._small, self._bulk)]
        return all(closed)

    async def decide(
        self, batch: Batch, name: str | None = None, timeout_ms: float | None = None, note: Note | None = None
    ) -> Scoring:
        """Answer one request.

        Args:
            batch: its rows, valid; shared with others in one call to each model.
            name: a loaded model to ask by name, without the ladder; None to follow the route.
            timeout_ms: the caller's time; None for the policy's. When it is nearly up, the answer is made of what is
                there and of the naive rungs, and blames nobody.
            note: told once of the whole evidence about this request, see `Job.note`.

        Raises:
            Unavailable: too many requests are under way; try again later.
            InvalidInput: a time that is not positive.
        """
        allowed_ms = self.policy.deadline_ms + batch.n_rows * PER_ROW_MS if timeout_ms is None else timeout_ms
        if timeout_ms is not None and not 0 < timeout_ms <= LONGEST_MS:
            raise InvalidInput("unusable time for an answer", got=allowed_ms, expected=f"0 to {LONGEST_MS:g} ms")
        self._admit(batch)
        loop = asyncio.get_running_loop()
        job = Job(batch, name, loop, loop.create_future(), self._timer() + MARGIN * allowed_ms / 1000.0, note=note)
        self._jobs += 1
        self._rows += batch.n_rows
        try:
            if name is None and batch.n_rows <= MOST_ROWS and not self._in_lanes and self._gateway.prompt:
                self._express.put(job, self._to_lane)
            else:
                self._to_lane(job)
            return await job.answer
        finally:
            self._jobs -= 1
            self._rows -= batch.n_rows

    def _to_lane(self, job: Job) -> None:
        """Give a job to a thread, and look after it until it is answered."""
        lane = self._small if job.batch.n_rows <= BULK_ROWS else self._bulk
        watch = _Timer(self._timer, job.loop, lane, job)
        self._in_lanes += 1
        job.answer.add_done_callback(partial(self._out_of_lane, watch))
        lane.put(job)
        watch.arm(min(max(0.0, job.give_up - self._timer()), lane.late_after_ms / 1000.0))

    def _out_of_lane(self, watch: _Timer, _: asyncio.Future[Scoring]) -> None:
        self._in_lanes -= 1
        watch.stop()

    def _admit(self, batch: Batch) -> None:
        policy = self.policy
        crowded = self._rows + batch.n_rows > policy.most_rows and self._jobs > 0
        if self._jobs >= policy.most_waiting or crowded:
            raise Unavailable(
                "the gateway is busy",
                got=f"{self._jobs} requests with {self._rows} rows under way",
                expected=f"fewer than {policy.most_waiting} with {policy.most_rows}",
                where="gateway",
                next_step="Try again in a second, with fewer requests at once.",
            )


class _Timer:
    """Looks after one request: replaces the lane's thread if its model is late, gives up when the time is up."""

    __slots__ = ("_handle", "_job", "_lane", "_loop", "_now")

    def __init__(self, now: Callable[[], float], loop: asyncio.AbstractEventLoop, lane: Lane, job: Job) -> None:
        self._now, self._loop, self._lane, self._job = now, loop, lane, job
        self._handle: asyncio.TimerHandle | None = None

    def arm(self, seconds: float) -> None:
        """Look again after so many seconds."""
        self._handle = self._loop.call_later(seconds, self._look)

    def stop(self) -> None:
        """Look no more."""
        if self._handle is not None:
            self._handle.cancel()

    def _look(self) -> None:
        job = self._job
        if job.answer.done():
            return
        again = self._lane.look()
        now = self._now()
        if now >= job.give_up:
            scoring = self._lane.give_up(job)
            if scoring is not None:
                job.answer.set_result(scoring)
            else:
                self.arm(MARGIN)
            return
        self.arm(max(0.001, min(again, job.give_up) - now))
