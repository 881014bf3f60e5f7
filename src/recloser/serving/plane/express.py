"""Owns answering small requests on the event loop's own thread, where every model of the route is prompt.

A prompt model (`Predictor.prompt`) answers in bounded time in code of ours: it cannot hang, so that it needs no thread
that could be left behind. Where more is to be done, threads are better: what comes meanwhile makes larger batches.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from recloser.core import Clock
from recloser.serving.gateway import Gateway
from recloser.serving.handover import Unwatched
from recloser.serving.plane.job import Job, grouped, settle
from recloser.serving.plane.turn import Turn
from recloser.serving.scoring import Course

MOST_ROWS = 4
"""A request of more rows goes to a thread."""
AT_ONCE = 2
"""Where more requests were decoded in one turn of the loop, they go to a thread (measured)."""


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

    def put(self, job: Job, hand_over: Callable[[Job], None]) -> None:
        """Take a job in, on its own loop; it is answered, or handed over to a thread, in the loop's next turn."""
        waiting = self._waiting.get(job.loop)
        if waiting is None:
            self._waiting[job.loop] = [job]
            job.loop.call_soon(self._begin, job.loop, hand_over)
        else:
            waiting.append(job)

    def _begin(self, loop: asyncio.AbstractEventLoop, hand_over: Callable[[Job], None]) -> None:
        jobs = [job for job in self._waiting.pop(loop) if job.wanted]
        alone: Sequence[Sequence[Job]] = grouped(jobs, AT_ONCE * MOST_ROWS) if len(jobs) <= AT_ONCE else ()
        left = list(jobs) if not alone else []
        for run in alone:
            try:
                if not self._answered(run):
                    left += run
            # The outermost loop of these jobs: a defect of ours is told to the callers of this batch and to no other.
            except Exception as error:  # noqa: BLE001
                settle([(job, error) for job in run])
        for job in left:
            hand_over(job)

    def _answered(self, jobs: Sequence[Job]) -> bool:
        """Answer a batch; False where another route came into force since, with a model that might hang."""
        turn = Turn(jobs, self._clock.now(), self._timer())
        course = turn.course = self._gateway.course(turn.batch, turn.now, Unwatched(), {})
        if not course.prompt:
            return False
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
        return True

    def _follow(self, turn: Turn, course: Course, seen: int) -> None:
        scoring = course.follow()
        if len(scoring.incidents) > seen:
            self._gateway.tally.add_incidents(scoring.incidents[seen:])
        turn.note(scoring)
