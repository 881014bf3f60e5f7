"""Owns answering small requests on the event loop's own thread, where every model of the route is prompt.

A prompt model (`Predictor.prompt`) answers in bounded time in code of ours: it cannot hang, so that it needs no thread
that could be left behind. What was decoded in one turn of the loop goes as one batch.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from recloser.core import Clock
from recloser.serving.gateway import Gateway
from recloser.serving.handover import Unwatched
from recloser.serving.plane.job import Job, grouped, settle
from recloser.serving.plane.turn import Turn
from recloser.serving.scoring import Course

MOST_ROWS = 4
"""A request of more rows goes to a thread."""
AT_ONCE = 64
"""Rows that one batch joins; then the loop looks after its connections again."""


class Express:
    """Answers jobs where they wait; for any number of event loops.

    Args:
        gateway: whose route and models answer.
        clock: the present.
        timer: monotonic seconds.
    """

    def __init__(self, gateway: Gateway, clock: Clock, timer: Callable[[], float]) -> None:
        self._gateway = gateway
        self._clock = clock
        self._timer = timer
        self._waiting: dict[asyncio.AbstractEventLoop, list[Job]] = {}

    def put(self, job: Job) -> None:
        """Take a job in, on its own loop; it is answered in the loop's next turn."""
        waiting = self._waiting.get(job.loop)
        if waiting is None:
            self._waiting[job.loop] = [job]
            job.loop.call_soon(self._begin, job.loop)
        else:
            waiting.append(job)

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        runs = grouped([job for job in self._waiting.pop(loop) if job.wanted], AT_ONCE)
        self._work(deque(runs))

    def _work(self, runs: deque[Sequence[Job]] | deque[list[Job]]) -> None:
        """Answer one batch, and the next ones in turns of their own."""
        if not runs:
            return
        jobs = runs.popleft()
        try:
            self._answer(jobs)
        # The outermost loop of these jobs: a defect of ours is told to the callers of this batch and to no other.
        except Exception as error:  # noqa: BLE001
            settle([(job, error) for job in jobs])
        if runs:
            jobs[0].loop.call_soon(self._work, runs)

    def _answer(self, jobs: Sequence[Job]) -> None:
        turn = Turn(jobs, self._clock.now())
        course = turn.course = self._gateway.course(turn.batch, turn.now, Unwatched(), {})
        scoring = course.decide()
        now = self._timer()
        for job in jobs:
            job.settled, job.decided_at = True, now
        turn.answered += zip(jobs, turn.spans, strict=True)
        self._gateway.tally.add(scoring)
        if len(jobs) == 1:
            settle([(jobs[0], scoring)])
        else:
            settle([(job, scoring.part(*span)) for job, span in turn.answered])
        if course.route.shadow is None:
            turn.note(scoring)
        else:  # behind the callers, who are woken in the loop's next turn
            jobs[0].loop.call_soon(jobs[0].loop.call_soon, self._follow, turn, course, len(scoring.incidents))

    def _follow(self, turn: Turn, course: Course, seen: int) -> None:
        scoring = course.follow()
        if len(scoring.incidents) > seen:
            self._gateway.tally.add_incidents(scoring.incidents[seen:])
        turn.note(scoring)
