"""Owns one request on its way through the data plane. Does not answer it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from recloser.serving.answer import Scoring
from recloser.serving.batch import Batch, joinable

Note = Callable[[Scoring, float], None]


@dataclass(slots=True, eq=False)
class Job:
    """A request that waits for its answer.

    Attributes:
        batch: its rows, valid.
        name: the model asked by name, or None to follow the route.
        loop, answer: where its caller waits.
        give_up: instant of the monotonic timer, seconds, from which the caller must get what there is.
        settled: True once an answer is on its way; written under the lane's lock.
        note: told once of the whole evidence, shadow included, and when the answer was decided (monotonic seconds);
            called in whatever thread knows it, after the answer left. Must not block or raise. None: nobody asks.
        decided_at: that instant.
    """

    batch: Batch
    name: str | None
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Scoring]
    give_up: float
    settled: bool = field(default=False)
    note: Note | None = None
    decided_at: float = 0.0

    @property
    def wanted(self) -> bool:
        """True while its caller waits for the first answer."""
        return not self.settled and not self.answer.cancelled()


def grouped(jobs: Sequence[Job], most_rows: int) -> list[list[Job]]:
    """Return the jobs in their order as runs that may be answered by one call to each model."""
    runs: list[list[Job]] = []
    rows = 0
    for job in jobs:
        last = runs[-1] if runs else None
        fits = rows + job.batch.n_rows <= most_rows
        if last is not None and fits and last[0].name == job.name and joinable(last[0].batch, job.batch):
            last.append(job)
            rows += job.batch.n_rows
        else:
            runs.append([job])
            rows = job.batch.n_rows
    return runs


def hand_out(answers: Sequence[tuple[Job, Scoring | Exception]]) -> None:
    """Bring answers to their callers' event loops; a caller that is gone is passed over."""
    loops: dict[asyncio.AbstractEventLoop, list[tuple[Job, Scoring | Exception]]] = {}
    for job, scoring in answers:
        loops.setdefault(job.loop, []).append((job, scoring))
    for loop, part in loops.items():
        try:
            loop.call_soon_threadsafe(settle, part)
        except RuntimeError:  # the loop is closed: nobody waits any more
            continue


def settle(answers: Sequence[tuple[Job, Scoring | Exception]]) -> None:
    """Give answers to their callers; on the thread of their event loop."""
    for job, answer in answers:
        if job.answer.done():
            continue
        if isinstance(answer, Exception):
            job.answer.set_exception(answer)
        else:
            job.answer.set_result(answer)
