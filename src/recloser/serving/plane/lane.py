"""Owns one lane of the data plane: a queue, the thread that works on it, and its replacement when a model hangs."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from recloser.core import Clock, RecloserError
from recloser.serving.answer import Scoring
from recloser.serving.gateway import Gateway
from recloser.serving.handover import Unwatched
from recloser.serving.plane.job import Job, grouped, hand_out
from recloser.serving.plane.pace import Pace
from recloser.serving.plane.turn import Turn
from recloser.serving.predictor import LATE, PER_ROW_MS, Predictor
from recloser.serving.route import NAIVE
from recloser.serving.scoring import OUT_OF_TIME, Course, nobody

MOST_ROWS = 4_096
"""A batch joins requests up to so many rows."""


class TakenOver(BaseException):
    """Ends the course of a thread whose place another thread has taken."""


@dataclass(frozen=True, slots=True, eq=False)
class Heritage:
    """What a thread leaves that was left behind: the batch its model is late with, and those it had not begun."""

    turn: Turn | None
    late: str
    later: Sequence[Sequence[Job]]


class Worker(threading.Thread):
    """A thread that answers batch after batch; ends when its lane has replaced it or is closed.

    It is the `Watch` of its courses: `asking` names the model at work since the instant `since` (monotonic seconds).
    """

    def __init__(self, lane: Lane, heritage: Heritage | None) -> None:
        super().__init__(daemon=True, name=lane.name)
        self._lane = lane
        self.heritage = heritage
        self.turn: Turn | None = None
        self.later: deque[Sequence[Job]] = deque()
        self.asking: str | None = None
        self.since = 0.0

    def begin(self, name: str) -> None:
        """Note which model is at work."""
        self.since = self._lane.timer()
        self.asking = name

    def end(self) -> None:
        """Note that it came back.

        Raises:
            TakenOver: another thread has this one's place.
        """
        self.asking = None
        if self._lane.worker is not self:
            raise TakenOver

    def run(self) -> None:
        """Work until replaced or closed."""
        try:
            while self._lane.work(self):
                self.turn = None
        except TakenOver:
            self._lane.came_back(self)


class Lane:
    """Answers jobs in batches: whatever came while the models were busy goes as one batch, with no added wait.

    One thread at a time works on it, so that the models run outside the event loop. A thread whose model is late is
    left behind with it; a new one takes the batch over with what the other models had answered.
    """

    def __init__(self, name: str, gateway: Gateway, clock: Clock, timer: Callable[[], float]) -> None:
        self.name = name
        self.timer = timer
        self.queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self.worker: Worker | None = None
        self.pace = Pace()
        self._gateway = gateway
        self._clock = clock
        self._lock = threading.Lock()
        self._stuck: dict[int, tuple[Predictor, Worker]] = {}

    @property
    def late_after_ms(self) -> float:
        """How long a model may work on one batch."""
        return self._gateway.policy.late_after_ms

    def behind_s(self) -> float:
        """Return the seconds until all that has come is answered, 0 for a lane that has just begun to work."""
        worker, waiting, now = self.worker, self.queue.qsize(), self.timer()
        turn = None if worker is None else worker.turn
        if worker is None or turn is None:
            return self.pace.behind_s(waiting, 0, 0.0, now)
        waiting += sum(map(len, tuple(worker.later)))
        return self.pace.behind_s(waiting, len(turn.jobs), now - turn.begun, now)

    def put(self, job: Job) -> None:
        """Take a job in; thread safe."""
        self.queue.put(job)
        if self.worker is None:
            with self._lock:
                if self.worker is None:
                    self._start(None)

    def _start(self, heritage: Heritage | None) -> None:
        self.worker = Worker(self, heritage)
        self.worker.start()

    def work(self, worker: Worker) -> bool:
        """Wait for jobs and answer all there are; return False when the lane is closed."""
        heritage, worker.heritage = worker.heritage, None
        if heritage is None:
            if self.queue.empty():
                self.pace.rest()
            jobs = [self.queue.get()]
            self.pace.begin(self.timer())
            with contextlib.suppress(queue.Empty):
                while True:
                    jobs.append(self.queue.get_nowait())
            if jobs == [None]:
                return False
            if None in jobs:
                self.queue.put(None)
            worker.later.extend(grouped([job for job in jobs if job is not None and job.wanted], MOST_ROWS))
        else:
            worker.later.extend(heritage.later)
            turn, late = heritage.turn, heritage.late
            if turn is not None:
                self._safely(worker, turn.jobs, partial(self._take_over, worker, turn, late))
        while worker.later:
            run, begun = worker.later.popleft(), self.timer()
            self._safely(worker, run, partial(self._answer, worker, run))
            self.pace.note(len(run), self.timer() - begun)
        return True

    def _safely(self, worker: Worker, jobs: Sequence[Job], answer: Callable[[], None]) -> None:
        try:
            answer()
        # The outermost loop of the thread: a defect of ours is told to the callers of this batch and to no other.
        except Exception as error:
            worker.asking = None
            if self.worker is not worker:
                raise TakenOver from error
            hand_out([(job, error) for job in jobs if job.wanted])

    def _answer(self, worker: Worker, jobs: Sequence[Job]) -> None:
        turn = worker.turn = Turn(jobs, self._clock.now(), self.timer())
        name = jobs[0].name
        if name is not None:
            self._answer_by_name(worker, turn, name)
            return
        absent = self._absent() if self._stuck else {}
        turn.course = self._gateway.course(turn.batch, turn.now, worker, absent)
        self._finish(worker, turn, turn.course)

    def _finish(self, worker: Worker, turn: Turn, course: Course) -> None:
        scoring = course.decide()
        self._hand_out(worker, turn, scoring)
        seen = len(scoring.incidents)
        scoring = course.follow()
        # The evidence on the batch is whole here: every model's answers, who served whom, and every incident.
        if len(scoring.incidents) > seen:
            self._gateway.tally.add_incidents(scoring.incidents[seen:])
        turn.note(scoring)

    def _answer_by_name(self, worker: Worker, turn: Turn, name: str) -> None:
        try:
            why = self._absent().get(id(self._gateway.predictor(name)))
            if why is None:
                scoring = self._gateway.check(name, turn.batch, turn.now, worker)
            else:
                scoring = nobody(why, turn.batch)
        except RecloserError as error:  # swapped away since it was asked for
            scoring = nobody(error.explain(), turn.batch)
        self._hand_out(worker, turn, scoring, counted=False)
        turn.note(scoring)

    def _hand_out(self, worker: Worker, turn: Turn, scoring: Scoring, *, counted: bool = True) -> None:
        with self._lock:
            if self.worker is not worker:
                raise TakenOver
            waiting = turn.waiting()
            now = self.timer()
            for job, _ in waiting:
                job.settled, job.decided_at = True, now
            turn.answered += waiting
        if counted:
            self._gateway.tally.add(scoring, [index for _, span in waiting for index in range(*span)])
        if len(turn.jobs) == 1:
            hand_out([(job, scoring) for job, _ in waiting])
        else:
            hand_out([(job, scoring.part(*span)) for job, span in waiting])

    def _absent(self) -> dict[int, str]:
        return dict.fromkeys(tuple(self._stuck), f"{LATE}: still busy with an earlier request")

    def look(self) -> float:
        """Replace the thread if its model is late; return the instant (monotonic seconds) to look again."""
        late_after_s = self.late_after_ms / 1000.0
        with self._lock:
            now, worker = self.timer(), self.worker
            name = None if worker is None else worker.asking
            if worker is None or name is None:
                return now + late_after_s
            turn = worker.turn
            due = worker.since + late_after_s + (0 if turn is None else turn.batch.n_rows) * PER_ROW_MS / 1000.0
            if now < due:
                return due
            with contextlib.suppress(RecloserError):  # asked for by name, and swapped away since
                of = self._gateway.predictor if turn is None or turn.course is None else turn.course.predictor
                self._stuck[id(of(name))] = (of(name), worker)
            later = list(worker.later)
            worker.later.clear()
            self._start(Heritage(turn, name, later))
        return now + late_after_s

    def close(self, until: float) -> bool:
        """Let the thread end once all is answered; False if it did not by that instant (monotonic seconds)."""
        self.queue.put(None)
        while (worker := self.worker) is not None and worker.is_alive():
            left = min(self.look(), until) - self.timer()
            if self.timer() >= until:
                return False
            worker.join(max(0.001, left))
        return True

    def came_back(self, worker: Worker) -> None:
        """Forget what a thread that was left behind had been stuck in; it ends now."""
        with self._lock:
            self._stuck = {key: pair for key, pair in self._stuck.items() if pair[1] is not worker}
        worker.turn = None

    def _take_over(self, heir: Worker, turn: Turn, late: str) -> None:
        """Answer what is left of a batch whose model is late, with what the others had answered."""
        heir.turn = turn
        reason = f"{LATE}: no answer within {self.late_after_ms + turn.batch.n_rows * PER_ROW_MS:g} ms"
        if turn.course is None:
            none = nobody(reason, turn.batch)
            self._hand_out(heir, turn, none, counted=False)
            turn.note(none)
            return
        waiting = turn.waiting()
        if not waiting:  # the shadow was late, or every caller's time was up
            blamed = turn.course.blame(late, reason)
            self._gateway.tally.add_incidents(blamed)
            evidence = turn.course.evidence()
            places = list(enumerate(turn.batch.areas))
            each = [replace(found, group=index, area=area) for found in blamed for index, area in places]
            turn.note(replace(evidence, incidents=[*evidence.incidents, *each]))
            return
        groups = [index for _, span in waiting for index in range(*span)]
        turn.course = turn.course.resumed(groups, {late: reason}, heir)
        self._finish(heir, turn, turn.course)

    def give_up(self, job: Job) -> Scoring | None:
        """Return what can be said for a request whose caller's time is up, asking nobody but the naive rungs.

        None if its answer is on its way. Blames nobody: the time was the caller's choice, or was spent in the queue.
        """
        with self._lock:
            if not job.wanted:
                return None
            job.settled, job.decided_at = True, self.timer()
            turn = None if self.worker is None else self.worker.turn
        if job.name is not None:
            return self._told(job, nobody(OUT_OF_TIME, job.batch))
        span = (0, len(job.batch.areas))
        if turn is not None and turn.course is not None and job in turn.jobs:
            course, span = turn.course, turn.spans[turn.jobs.index(job)]
        else:
            course = self._gateway.course(job.batch, self._clock.now(), Unwatched(), {})
        absent = {name: OUT_OF_TIME for name in course.route.names() if name not in NAIVE}
        scoring = course.resumed(range(*span), absent, Unwatched()).decide()
        self._gateway.tally.add(scoring, range(*span))
        return self._told(job, scoring.part(*span))

    def _told(self, job: Job, scoring: Scoring) -> Scoring:
        if job.note is not None:
            job.note(scoring, job.decided_at)
        return scoring
