"""Owns one step that runs in a process of its own: the record of the run around it, where nobody keeps it.

Does not own the process, nor what started it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recloser.core import Clock
from recloser.engines.book import OnError, RunBook
from recloser.engines.engine import RetryPolicy
from recloser.engines.step import StepRunner, StepWork
from recloser.ledger import Ledger, RunRecord, StepRecord
from recloser.pipelines import Pipeline, inputs_of


@dataclass(frozen=True, slots=True)
class StepApart:
    """Runs single steps of runs, each recorded: what the process of a task calls.

    A run that nobody opened (a recurring run, a shard of a fleet) is opened by its first step and finished by its
    last; one that a step failed is failed, and running again when that step is tried again. Whoever follows the run
    may finish it too.

    Attributes:
        ledger, clock: where and when.
        retry: of a step that is Unavailable, within this process.
    """

    ledger: Ledger
    clock: Clock
    retry: RetryPolicy

    def run(
        self,
        pipeline: Pipeline,
        bench: Any,
        run: RunRecord,
        step: str,
        results: Mapping[str, Mapping[str, Any]],
    ) -> dict[str, Any]:
        """Return the step's result: the stored one if its inputs are the same, otherwise after running it.

        Args:
            pipeline: the whole of it.
            bench: handed to the step.
            run: its record, as `RunBook.enter` returned it.
            step: name of the step.
            results: of the steps it needs.

        Raises:
            RecloserError: what the step raised, after step and run were recorded.
        """
        book = RunBook(self.ledger, self.clock)
        own = pipeline.step(step)
        work = StepWork(run.key, pipeline, own, inputs_of(own, run.parameters, results))
        with OnError(lambda error: book.fail(run, error)):
            result = StepRunner(self.ledger, self.clock, self.retry, time.sleep).run(work, bench)
        done = self._done(pipeline, run.key)
        if done is not None:
            book.finish(run, done)
        return result

    def _done(self, pipeline: Pipeline, run_key: str) -> dict[str, dict[str, Any]] | None:
        """Return all results once no step is left, None before."""
        records = self.ledger.find(StepRecord, run=run_key, state="done", order_by="position")
        results = {record.name: record.result or {} for record in records}
        for step in pipeline.steps:
            if step.name in results:
                continue
            if step.when is None or step.when.step not in results or step.when.holds(results):
                return None
            results[step.name] = step.when.skipped(results)
        return {step.name: results[step.name] for step in pipeline.steps}
