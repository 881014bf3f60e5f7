"""Owns what the ledger is told of steps that ran as tasks: their states, what they did not record, their errors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from recloser.core import Clock, InvalidInput, RecloserError, Refused, Unavailable, digest_of
from recloser.engines.book import ACTOR
from recloser.engines.kubeflow.compiling import dashed
from recloser.ledger import Ledger, RunRecord, StepRecord
from recloser.pipelines import Pipeline, Step, input_digest, inputs_of

CANCELLED = ("CANCELING", "CANCELED")
ENDED = ("SUCCEEDED", "SKIPPED", "FAILED", "CANCELED")


@dataclass(frozen=True, slots=True)
class TaskState:
    """What a cluster tells of one task.

    Attributes:
        name: of the task, with dashes; a task that is tried again keeps it.
        state: the API's word: PENDING, RUNNING, SUCCEEDED, SKIPPED, FAILED, CANCELING, CANCELED, PAUSED.
        began_at, ended_at: aware UTC, None while unknown.
        error: what the cluster says of a failure.
    """

    name: str
    state: str
    began_at: datetime | None
    ended_at: datetime | None
    error: str


def steps_due(pipeline: Pipeline, known: Mapping[str, StepRecord], tasks: Iterable[TaskState]) -> dict[str, TaskState]:
    """Return the steps whose tasks ended badly without a record that says so, by name.

    A task's own record is the truth, and it writes its own start and result: who followed it could only be late, or
    in its way. What it cannot write is its own death: a lost node, no memory left, an image that is not there.
    """
    newest: dict[str, TaskState] = {}
    for task in tasks:
        newest[task.name] = task
    due: dict[str, TaskState] = {}
    for step in pipeline.steps:
        state = newest.get(dashed(step.name))
        if state is None:
            continue
        record = known.get(step.name)
        said = None if record is None else record.state
        if state.state in {"FAILED", *CANCELLED} and said in {None, "running"}:
            due[step.name] = state
    return due


@dataclass(frozen=True, slots=True)
class Mirror:
    """Writes into the ledger what a cluster or kfp tells of a run's tasks, each change with its audit entry."""

    ledger: Ledger
    clock: Clock

    def known(self, run_key: str) -> dict[str, StepRecord]:
        """Return the steps' records by name."""
        return {step.name: step for step in self.ledger.find(StepRecord, run=run_key, order_by="position")}

    def update(self, pipeline: Pipeline, run: RunRecord, tasks: Iterable[TaskState]) -> list[str]:
        """Record the deaths of tasks that could not record them, and return their steps."""
        due = steps_due(pipeline, self.known(run.key), tasks)
        return [name for name, task in due.items() if self._put(pipeline, run, pipeline.step(name), task)]

    def _put(self, pipeline: Pipeline, run: RunRecord, step: Step, task: TaskState) -> bool:
        key, now = f"{run.key}/{step.name}", self.clock.now()
        position = pipeline.steps.index(step) + 1
        stored = self.ledger.stored(StepRecord, key)
        blank = StepRecord(key, run.key, step.name, position, "running", 1, "", None, None, task.began_at or now, None)
        record, version = (blank, 0) if stored is None else (stored.record, stored.version)
        if record.state in {"done", "failed"}:
            return False  # the task was faster
        what = "cancelled" if task.state in CANCELLED else task.error or "the task ended without a word"
        facts = {"error": "Unavailable", "what": what, "task": task.state}
        record = replace(record, state="failed", error=facts, finished_at=task.ended_at or now)
        try:
            with self.ledger.change(actor=ACTOR, now=now) as change:
                change.put(record, expected_version=version)
                change.note("step.failed", subject=key, facts=facts)
        except Refused:
            return False  # the task wrote in the meantime; the next look sees it
        return True

    def results(self, pipeline: Pipeline, run: RunRecord) -> dict[str, dict[str, Any]]:
        """Return the results of a run whose tasks all ended well, by step.

        Raises:
            Unavailable: the ledger lacks one: the tasks write to another ledger, or lost theirs.
        """
        known, results = self.known(run.key), dict[str, dict[str, Any]]()
        for step in pipeline.steps:
            record = known.get(step.name)
            if record is not None and record.state == "done":
                results[step.name] = record.result or {}
            elif step.when is not None and not step.when.holds(results):
                results[step.name] = step.when.skipped(results)
            else:
                raise Unavailable(
                    "the task ended well, but this ledger has no result of it",
                    where=f"{run.key}/{step.name}",
                    next_step="Let the tasks and this process use one ledger: [ledger] url, a PostgreSQL database.",
                )
        return results

    def record_missing(self, pipeline: Pipeline, run: RunRecord, results: Mapping[str, dict[str, Any]]) -> None:
        """Record the results of steps that did not record themselves."""
        now, known = self.clock.now(), self.known(run.key)
        with self.ledger.change(actor=ACTOR, now=now) as change:
            for position, step in enumerate(pipeline.steps, start=1):
                record, result = known.get(step.name), results[step.name]
                if record is not None and record.state == "done":
                    continue
                digest = input_digest(pipeline, step, inputs_of(step, run.parameters, results))
                tries = 1 if record is None else record.attempts
                key = f"{run.key}/{step.name}"
                change.put(StepRecord(key, run.key, step.name, position, "done", tries, digest, result, None, now, now))
                change.note("step.done", key, {"result_digest": digest_of(result)})

    def error_of(self, run_key: str, otherwise: str) -> RecloserError:
        """Return the error that the first failed step recorded, else `Unavailable` with the sentence `otherwise`."""
        failed = self.ledger.find(StepRecord, run=run_key, state="failed", order_by="position", limit=1)
        if not failed:
            return Unavailable(otherwise, where=f"run {run_key}", next_step="Read what the task printed.")
        facts = failed[0].error or {}
        kinds: dict[str, type[RecloserError]] = {kind.__name__: kind for kind in (InvalidInput, Refused, Unavailable)}
        kind = kinds.get(str(facts.get("error")), RecloserError)
        return kind(
            str(facts.get("what")),
            expected=facts.get("expected"),
            where=facts.get("where") or f"step {failed[0].name}",
            next_step=facts.get("next_step"),
        )
