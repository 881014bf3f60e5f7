"""Owns what an engine is, what it answers and how often it tries again. Runs nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from recloser.core import InvalidInput
from recloser.pipelines import Pipeline

VERDICTS = ("pass", "refuse", "hold")


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """What a run came to.

    Attributes:
        run: key of the run.
        state: 'done'; a run that fails raises instead.
        results: result of each step by name, in order.
        candidate: the last `candidate` that a step's result named.
        verdict: the last `verdict` (pass, refuse or hold) that a step's result named. A gate that says no is a result,
            not an error: the run is done and its verdict is refuse.
    """

    run: str
    state: str
    results: dict[str, dict[str, Any]]
    candidate: str | None
    verdict: str | None


@dataclass(frozen=True, slots=True)
class StepProgress:
    """What happens to one step right now.

    Attributes:
        run: key of the run.
        name: name of the step.
        position: 1 for the first step.
        total: number of steps.
        state: running, retrying, reused, done or failed.
        seconds: since this call began the step.
        detail: the operator's sentence when retrying or failed, else empty.
    """

    run: str
    name: str
    position: int
    total: int
    state: str
    seconds: float
    detail: str = ""


ProgressListener = Callable[[StepProgress], None]


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and when a step that was `Unavailable` is tried again: exponential backoff without jitter.

    Attributes:
        attempts: tries in all within one call, at least 1.
        first_s: seconds before the second try.
        factor: each further wait is so many times longer.
        longest_s: no wait is longer.

    Raises:
        InvalidInput: fewer than one attempt, or waits that shrink or are negative.
    """

    attempts: int = 4
    first_s: float = 1.0
    factor: float = 3.0
    longest_s: float = 60.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.first_s < 0 or self.factor < 1 or self.longest_s < 0:
            raise InvalidInput(
                "an unusable retry policy",
                got=(self.attempts, self.first_s, self.factor, self.longest_s),
                expected="attempts >= 1, first_s >= 0, factor >= 1, longest_s >= 0",
                where="RetryPolicy",
            )

    def waits_s(self) -> Iterator[float | None]:
        """Yield the wait in seconds after each try that failed, None after the last one."""
        wait = self.first_s
        for _ in range(self.attempts - 1):
            yield min(wait, self.longest_s)
            wait = min(wait * self.factor, self.longest_s)
        yield None


class Engine(Protocol):
    """Runs pipelines.

    Guarantees of every implementation: `run` with a key that is done returns the stored outcome and runs nothing;
    with a key that failed or was killed it resumes at the first step without a result for its present inputs; two
    processes never run one key at once. A step's result is in the ledger before the next step starts. A step must
    be idempotent, because it is run again when it was killed before its result was written. Thread safe.
    """

    def run(
        self,
        pipeline: Pipeline,
        bench: Any,
        run_key: str,
        trigger: str,
        reason: str,
        parameters: Mapping[str, Any],
    ) -> RunOutcome:
        """Run all steps in order.

        Args:
            pipeline: what to run.
            bench: handed to each step as it is.
            run_key: identifies the run for ever.
            trigger: what started it: schedule, drift, manual, ...
            reason: why, for the operator.
            parameters: JSON-ready; `as_of` in it (ISO 8601 or a time) is the run's point of view, otherwise its start.

        Raises:
            InvalidInput: from a step, or a key that belongs to a run of other parameters.
            Unavailable: from a step after all its tries, or another process is running the key.
            Refused: from a step; the run is then failed, not refused: a gate that says no returns a verdict.
        """
        ...
