"""Owns one batch on its way: its jobs, where their groups lie, and telling them of the evidence. Asks no model."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import datetime

from recloser.serving.answer import Scoring
from recloser.serving.batch import Batch, joined
from recloser.serving.plane.job import Job
from recloser.serving.scoring import Course


class Turn:
    """One batch at work: its jobs, where their groups lie, how far it is, and when it began (monotonic seconds)."""

    def __init__(self, jobs: Sequence[Job], now: datetime, begun: float) -> None:
        self.jobs = jobs
        self.now = now
        self.begun = begun
        self.batch: Batch = joined([job.batch for job in jobs])
        starts = [0]
        for job in jobs:
            starts.append(starts[-1] + len(job.batch.areas))
        self.spans = list(itertools.pairwise(starts))
        self.course: Course | None = None
        self.answered: list[tuple[Job, tuple[int, int]]] = []

    def note(self, scoring: Scoring) -> None:
        """Tell of the whole evidence about the jobs that this turn has answered, once."""
        answered, self.answered = self.answered, []
        for job, span in answered:
            if job.note is not None:
                job.note(scoring.part(*span), job.decided_at)

    def waiting(self) -> list[tuple[Job, tuple[int, int]]]:
        """Return the jobs whose callers still wait for the first answer, with their groups."""
        return [(job, span) for job, span in zip(self.jobs, self.spans, strict=True) if job.wanted]
