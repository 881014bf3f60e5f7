"""Owns a Pipeline as data: named steps in order. Does not run them and knows no orchestrator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from recloser.core import InvalidInput, digest_of, unknown_name

StepFunction = Callable[[Any, Mapping[str, Any]], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Step:
    """One step: a plain function of a workbench and small references.

    `run(bench, inputs)` gets inputs = {"parameters": {...}, needed step: its result, ...}, all JSON, and returns
    JSON references (snapshot, run id, package digest), never data. It is idempotent: a killed step is run again.

    Attributes:
        name: unique within the pipeline, a verb phrase with underscores.
        run: the function.
        needs: names of earlier steps whose results it reads.
    """

    name: str
    run: StepFunction
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Steps in an order in which they can run.

    Raises:
        InvalidInput: no steps, a name twice, or a need that no earlier step meets.
    """

    name: str
    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        seen: list[str] = []
        if not self.steps:
            raise InvalidInput("a pipeline without steps", where=self.name)
        for step in self.steps:
            if step.name in seen:
                raise InvalidInput("two steps of the same name", got=step.name, where=self.name)
            for need in step.needs:
                if need not in seen:
                    raise unknown_name("earlier step", need, seen, where=f"{self.name}.{step.name}")
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


def inputs_of(step: Step, parameters: Mapping[str, Any], results: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return what a step's function is given: the run's parameters and the results it needs."""
    return {"parameters": dict(parameters), **{need: dict(results[need]) for need in step.needs}}


def input_digest(pipeline: Pipeline, step: Step, inputs: Mapping[str, Any]) -> str:
    """Return the digest that identifies one execution of a step: equal digests mean the result may be reused."""
    return digest_of([pipeline.name, step.name, dict(inputs)])
