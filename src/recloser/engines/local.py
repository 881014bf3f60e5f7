"""Owns the engine that runs a pipeline's steps in this process, one after the other. Owns no step and no schedule."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from recloser.core import Clock
from recloser.engines.book import OnError, RunBook, plain_json
from recloser.engines.engine import ProgressListener, RetryPolicy, RunOutcome, StepProgress
from recloser.engines.step import StateListener, StepRunner, StepWork
from recloser.ledger import Ledger, RunRecord
from recloser.pipelines import Pipeline, inputs_of


class LocalEngine:
    """Runs pipelines in this process; see `Engine` for what it guarantees.

    Args:
        ledger: where runs and steps are recorded.
        clock: time of the records.
        retry: how often and when a step that was Unavailable is tried again.
        sleep: waits so many seconds.
        progress: told of every change of state of a step; an error it raises ends the run.
        monotonic: seconds of a clock that never goes back, for the progress only.
    """

    def __init__(
        self,
        ledger: Ledger,
        clock: Clock,
        retry: RetryPolicy,
        sleep: Callable[[float], None],
        progress: ProgressListener | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._book = RunBook(ledger, clock)
        self._runner = StepRunner(ledger, clock, retry, sleep)
        self._progress = progress
        self._monotonic = monotonic

    def run(
        self,
        pipeline: Pipeline,
        bench: Any,
        run_key: str,
        trigger: str,
        reason: str,
        parameters: Mapping[str, Any],
    ) -> RunOutcome:
        """Run all steps in order, as `Engine.run` says."""
        with self._book.exclusive(run_key):
            run = self._book.open(
                pipeline, run_key, trigger, reason, plain_json(parameters, f"parameters of run {run_key}")
            )
            if run.state == "done":
                return self._book.outcome(run)
            with OnError(lambda error: self._book.fail(run, error)):
                results = self._run_steps(pipeline, bench, run)
            return self._book.finish(run, results)

    def _run_steps(self, pipeline: Pipeline, bench: Any, run: RunRecord) -> dict[str, dict[str, Any]]:
        results: dict[str, dict[str, Any]] = {}
        for position, step in enumerate(pipeline.steps, start=1):
            work = StepWork(run.key, pipeline, step, inputs_of(step, run.parameters, results))
            results[step.name] = self._runner.run(work, bench, self._listener(work, position))
        return results

    def _listener(self, work: StepWork, position: int) -> StateListener:
        began = self._monotonic()
        total = len(work.pipeline.steps)

        def listen(state: str, detail: str) -> None:
            if self._progress is not None:
                seconds = self._monotonic() - began
                self._progress(StepProgress(work.run_key, work.step.name, position, total, state, seconds, detail))

        return listen
