"""Owns a Pipeline as data: named steps in order. Does not run them and knows no orchestrator."""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from recloser.core import InvalidInput, digest_of, unknown_name

NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
LONGEST_NAME = 63
StepFunction = Callable[[Any, Mapping[str, Any]], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class When:
    """The gate's outcome that a step waits for: it runs only if the result of `step` has this `verdict`.

    Attributes:
        step: one of the step's needs.
        verdict: pass, refuse or hold.
    """

    step: str
    verdict: str

    def holds(self, inputs: Mapping[str, Any]) -> bool:
        """Return whether the step is to run on these inputs."""
        return bool(inputs[self.step].get("verdict") == self.verdict)

    def skipped(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the result of a step that is not to run."""
        return {"skipped": f"{self.step} said {inputs[self.step].get('verdict')}, not {self.verdict}"}


@dataclass(frozen=True, slots=True)
class Step:
    """One step: a plain function of a workbench and small references.

    `run(bench, inputs)` gets inputs = {"parameters": {...}, needed step: its result, ...}, all JSON, and returns
    JSON references (snapshot, run id, package digest), never data. It is idempotent: a killed step is run again.

    Attributes:
        name: unique within the pipeline, a verb phrase with underscores; a name in Python, in SQL and, with dashes
            for its underscores, in Kubernetes: lower-case letters of ASCII and digits, at most 63.
        run: the function.
        needs: names of earlier steps whose results it reads.
        when: the outcome it waits for; None: it always runs. Nothing may need the result of a step that waits.

    Raises:
        InvalidInput: a name that not every engine takes.
    """

    name: str
    run: StepFunction
    needs: tuple[str, ...] = ()
    when: When | None = None

    def __post_init__(self) -> None:
        _require_name(self.name, "step")

    def result(self, bench: Any, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Run the function, or return why it was skipped: the outcome it waits for did not come."""
        if self.when is not None and not self.when.holds(inputs):
            return self.when.skipped(inputs)
        return self.run(bench, inputs)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Steps in an order in which they can run.

    Raises:
        InvalidInput: a name that not every engine takes, no steps, a name twice, a need that no earlier step meets or
            that may be skipped, or a step that waits for the outcome of one it does not need.
    """

    name: str
    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        _require_name(self.name, "pipeline")
        seen: list[str] = []
        waiting = {step.name for step in self.steps if step.when is not None}
        if not self.steps:
            raise InvalidInput("a pipeline without steps", where=self.name)
        for step in self.steps:
            if step.name in seen:
                raise InvalidInput("two steps of the same name", got=step.name, where=self.name)
            for need in step.needs:
                if need not in seen:
                    raise unknown_name("earlier step", need, seen, where=f"{self.name}.{step.name}")
                if need in waiting:
                    raise InvalidInput("needs a step that may be skipped", got=need, where=f"{self.name}.{step.name}")
            if step.when is not None and step.when.step not in step.needs:
                raise unknown_name("need to wait for", step.when.step, step.needs, where=f"{self.name}.{step.name}")
            seen.append(step.name)

    def step(self, name: str) -> Step:
        """Return the step of that name.

        Raises:
            InvalidInput: there is none.
        """
        for step in self.steps:
            if step.name == name:
                return step
        raise unknown_name("step", name, [step.name for step in self.steps], where=self.name)


def _require_name(name: str, of: str) -> None:
    if len(name) > LONGEST_NAME or not NAME.fullmatch(name) or keyword.iskeyword(name):
        raise InvalidInput(
            f"not the name of a {of}",
            got=name,
            expected=f"at most {LONGEST_NAME} lower-case letters and digits, with single underscores between words",
            where="pipeline",
            next_step="Choose another name, such as take_snapshot.",
        )


def inputs_of(step: Step, parameters: Mapping[str, Any], results: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return what a step's function is given: the run's parameters and the results it needs."""
    return {"parameters": dict(parameters), **{need: dict(results[need]) for need in step.needs}}


def input_digest(pipeline: Pipeline, step: Step, inputs: Mapping[str, Any]) -> str:
    """Return the digest that identifies one execution of a step: equal digests mean the result may be reused."""
    return digest_of([pipeline.name, step.name, dict(inputs)])
