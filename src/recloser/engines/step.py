"""Owns the running of one step: reuse of a stored result, tries and waits, and its record. Knows no other step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from recloser.core import Clock, Unavailable, digest_of
from recloser.engines.book import ACTOR, OnError, checked_result, facts_of
from recloser.engines.engine import RetryPolicy
from recloser.ledger import Ledger, StepRecord
from recloser.pipelines import Pipeline, Step, input_digest

StateListener = Callable[[str, str], None]
"""Called with the new state (running, retrying, reused, done, failed) and a detail."""


def _unheard(_: str, __: str) -> None:
    return None


@dataclass(frozen=True, slots=True)
class StepWork:
    """One step of one run with its inputs as plain JSON, as `pipelines.inputs_of` builds them."""

    run_key: str
    pipeline: Pipeline
    step: Step
    inputs: Mapping[str, Any]

    @property
    def key(self) -> str:
        """Return the key of the step's record."""
        return f"{self.run_key}/{self.step.name}"

    @property
    def position(self) -> int:
        """Return 1 for the first step."""
        return self.pipeline.steps.index(self.step) + 1


@dataclass(frozen=True, slots=True)
class StepRunner:
    """Runs single steps and records each in the ledger.

    Attributes:
        ledger: where results are kept.
        clock: time of the records.
        retry: how often and when after `Unavailable`.
        sleep: waits so many seconds; injected.
    """

    ledger: Ledger
    clock: Clock
    retry: RetryPolicy
    sleep: Callable[[float], None]

    def run(self, work: StepWork, bench: Any, listen: StateListener = _unheard) -> dict[str, Any]:
        """Return the step's result: the stored one if its inputs are the same, otherwise after running it.

        `Unavailable` is tried again as the policy says; every other error ends the step at once. Each start, result
        and error is one change of the ledger with its audit entry. An interrupt leaves the step as running.

        Raises:
            RecloserError: what the step raised, after it was recorded; also a result that is not JSON.
            Refused: another process is running the same step.
        """
        digest = input_digest(work.pipeline, work.step, work.inputs)
        stored = self.ledger.stored(StepRecord, work.key)
        if stored is not None and stored.record.state == "done" and stored.record.input_digest == digest:
            listen("reused", "")
            return stored.record.result or {}
        version, attempts = (0, 0) if stored is None else (stored.version, stored.record.attempts)
        listen("running", "")
        for number, wait_s in enumerate(self.retry.waits_s(), start=attempts + 1):
            record = self._started(work, digest, number)
            self._write(record, version, "step.start", {"attempt": number, "input_digest": digest})
            guard = OnError(partial(self._failed, record, version + 1, wait_s, listen))
            try:
                with guard:
                    result = checked_result(work.step.result(bench, work.inputs), where=f"step {work.step.name}")
            except Unavailable as error:
                if wait_s is None or error is not guard.error:
                    raise  # tried often enough, or it was the ledger that could not be written
                self.sleep(wait_s)
                version += 2
            else:
                done = replace(record, state="done", result=result, finished_at=self.clock.now())
                self._write(done, version + 1, "step.done", {"attempt": number, "result_digest": digest_of(result)})
                listen("done", "")
                return result
        raise AssertionError("the last wait is None")

    def _started(self, work: StepWork, digest: str, number: int) -> StepRecord:
        return StepRecord(
            key=work.key,
            run=work.run_key,
            name=work.step.name,
            position=work.position,
            state="running",
            attempts=number,
            input_digest=digest,
            result=None,
            error=None,
            started_at=self.clock.now(),
            finished_at=None,
        )

    def _failed(
        self, record: StepRecord, version: int, wait_s: float | None, listen: StateListener, error: Exception
    ) -> None:
        again = wait_s is not None and isinstance(error, Unavailable)
        facts = facts_of(error)
        failed = replace(record, state="failed", error=facts, finished_at=self.clock.now())
        more = {"attempt": record.attempts, "wait_s": wait_s} if again else {"attempt": record.attempts}
        self._write(failed, version, "step.retry" if again else "step.failed", {**facts, **more})
        listen("retrying" if again else "failed", str(error))

    def _write(self, record: StepRecord, version: int, action: str, facts: Mapping[str, Any]) -> None:
        with self.ledger.change(actor=ACTOR, now=self.clock.now()) as change:
            change.put(record, expected_version=version)
            change.note(action, subject=record.key, facts=facts)
