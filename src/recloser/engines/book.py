"""Owns the RunRecord of a run: opening, resuming, finishing, failing. Knows steps only by their results."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from recloser.core import Clock, InvalidInput, RecloserError, Refused, canonical_json, parse_utc
from recloser.engines.engine import VERDICTS, RunOutcome
from recloser.ledger import Ledger, RunRecord, StepRecord, Stored
from recloser.pipelines import Pipeline

ACTOR = "engine"


def plain_json(data: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return data as it reads back from JSON: what a first run sees is then what a resumed one sees.

    Raises:
        InvalidInput: not expressible as JSON.
    """
    try:
        return dict(json.loads(canonical_json(dict(data))))
    except (RecloserError, UnicodeEncodeError, TypeError, ValueError, RecursionError) as error:
        what = error.explain() if isinstance(error, RecloserError) else str(error)
        raise InvalidInput(f"not JSON ({what})", where=where, next_step="Hand over small references only.") from error


def checked_result(result: Any, where: str) -> dict[str, Any]:
    """Return a step's result as plain JSON.

    Raises:
        InvalidInput: not a mapping of JSON data, or a verdict outside the vocabulary.
    """
    if not isinstance(result, Mapping):
        raise InvalidInput("a step's result is not a mapping", got=type(result).__name__, where=where)
    plain = plain_json(result, where)
    if plain.get("verdict") not in (None, *VERDICTS):
        raise InvalidInput("not a verdict", got=plain["verdict"], expected="one of " + ", ".join(VERDICTS), where=where)
    return plain


def facts_of(error: BaseException) -> dict[str, Any]:
    """Return what the ledger keeps of an error, as text that every database can hold."""
    plain = {"error": type(error).__name__, "what": str(error)}
    facts = error.facts() if isinstance(error, RecloserError) else plain
    return {
        name: None if fact is None else str(fact).encode(errors="backslashreplace").decode()
        for name, fact in facts.items()
    }


@dataclass(frozen=True, slots=True)
class RunBook:
    """Keeps the record of runs in the ledger; whoever runs the steps, locally or on a cluster, opens and closes it."""

    ledger: Ledger
    clock: Clock

    @contextmanager
    def exclusive(self, run_key: str) -> Iterator[None]:
        """Be the only one to run the key, among all processes of the ledger, until the block or the process ends.

        Raises:
            Unavailable: another process or thread is running it.
        """
        with self.ledger.hold(f"run {run_key}"):
            yield

    def open(
        self, pipeline: Pipeline, run_key: str, trigger: str, reason: str, parameters: dict[str, Any]
    ) -> RunRecord:
        """Return the record of the run: a new one, or the one to resume, or one that is done.

        Raises:
            InvalidInput: the key belongs to a run of other parameters.
        """
        now = self.clock.now()
        stored = self.ledger.stored(RunRecord, run_key)
        if stored is None:
            as_of = _as_of(parameters, now)
            run = RunRecord(run_key, trigger, reason, as_of, "running", now, None, None, None, parameters)
            facts = {"pipeline": pipeline.name, "steps": [step.name for step in pipeline.steps]}
            self._write(run, 0, "run.start", {**facts, "trigger": trigger, "reason": reason})
            return run
        if stored.record.parameters != parameters:
            raise InvalidInput(
                "the key belongs to a run of other parameters",
                got=parameters,
                expected=str(stored.record.parameters),
                where=f"run {run_key}",
                next_step="Use another key, or the same parameters.",
            )
        return self._again(stored, trigger, reason)

    def enter(
        self, pipeline: Pipeline, run_key: str, fresh: Callable[[], tuple[str, str, dict[str, Any]]]
    ) -> RunRecord:
        """Return the record of the run that a single step belongs to, opened if nobody did.

        Args:
            pipeline: what it is a run of.
            run_key: the run.
            fresh: called for a run that is new: its trigger, reason and parameters.
        """
        stored = self.ledger.stored(RunRecord, run_key)
        if stored is None:
            try:
                return self.open(pipeline, run_key, *fresh())
            except Refused:  # another step's process was faster
                stored = self.ledger.stored(RunRecord, run_key)
                if stored is None:
                    raise
        return stored.record if stored.record.state == "running" else self._again(stored, "", "a step runs again")

    def _again(self, stored: Stored[RunRecord], trigger: str, reason: str) -> RunRecord:
        if stored.record.state == "done":
            return stored.record
        run = replace(stored.record, state="running", finished_at=None)
        facts = {"trigger": trigger or stored.record.trigger, "reason": reason}
        try:
            self._write(run, stored.version, "run.resume", facts)
        except Refused:  # a step's process was faster: it went on, or ended the run
            known = self.ledger.get(RunRecord, run.key)
            if known is None or known.state not in {"running", "done"}:
                raise
            return known
        return run

    def finish(self, run: RunRecord, results: Mapping[str, Mapping[str, Any]]) -> RunOutcome:
        """Record that all steps are done and return what the run came to; said twice, it is recorded once."""
        candidate, verdict = _last(results, "candidate"), _last(results, "verdict")
        outcome = RunOutcome(
            run.key, "done", {name: dict(result) for name, result in results.items()}, candidate, verdict
        )
        known = self.ledger.get(RunRecord, run.key)
        if known is not None and known.state == "done":
            return outcome
        done = replace(run, state="done", finished_at=self.clock.now(), candidate=candidate, verdict=verdict)
        version = self.ledger.version_of(RunRecord, run.key)
        try:
            self._write(done, version, "run.done", {"candidate": candidate, "verdict": verdict})
        except Refused:  # a step's process was faster
            known = self.ledger.get(RunRecord, run.key)
            if known is None or known.state != "done":
                raise
        return outcome

    def outcome(self, run: RunRecord) -> RunOutcome:
        """Return what a run came to as far as the ledger knows, running nothing."""
        steps = self.ledger.find(StepRecord, run=run.key, state="done", order_by="position")
        results = {step.name: step.result or {} for step in steps}
        return RunOutcome(run.key, run.state, results, run.candidate, run.verdict)

    def fail(self, run: RunRecord, error: BaseException) -> None:
        """Record that the run failed; it can be resumed. Said twice, it is recorded once."""
        known = self.ledger.get(RunRecord, run.key)
        if known is not None and known.state == "failed":
            return
        version = self.ledger.version_of(RunRecord, run.key)
        failed = replace(run, state="failed", finished_at=self.clock.now())
        self._write(failed, version, "run.failed", facts_of(error))

    def _write(self, run: RunRecord, version: int, action: str, facts: Mapping[str, Any]) -> None:
        with self.ledger.change(actor=ACTOR, now=self.clock.now()) as change:
            change.put(run, expected_version=version)
            change.note(action, subject=run.key, facts=facts)


@dataclass(slots=True)
class OnError:
    """Tells of an error that leaves the block and lets it go on; an interrupt passes untold, as a kill would.

    Attributes:
        tell: called with the error.
        error: the error, once there is one.
    """

    tell: Callable[[Exception], None]
    error: Exception | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        if isinstance(error, Exception):
            self.error = error
            self.tell(error)


def _as_of(parameters: Mapping[str, Any], now: datetime) -> datetime:
    as_of = parameters.get("as_of")
    return now if as_of is None else parse_utc(str(as_of), where="parameters.as_of")


def _last(results: Mapping[str, Mapping[str, Any]], name: str) -> str | None:
    named = [result[name] for result in results.values() if result.get(name) is not None]
    return str(named[-1]) if named else None
