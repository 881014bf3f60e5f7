"""Owns the way of a Pipeline to Kubeflow Pipelines: compiling to its IR, and running that with its local runner.

Does not own the workbench: each step runs in its own process, which is given an entry point as text.
"""

from __future__ import annotations

import json
import sys
from collections import namedtuple
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from recloser.core import Clock, InvalidInput, RecloserError, Refused, Unavailable, canonical_json, digest_of
from recloser.engines.book import ACTOR, OnError, RunBook, checked_result, plain_json
from recloser.engines.engine import RunOutcome
from recloser.engines.kubeflow_task import recloser_step
from recloser.ledger import Ledger, RunRecord, StepRecord
from recloser.pipelines import Pipeline, Step, input_digest, inputs_of

MOST_NEEDS = 8


@dataclass(frozen=True, slots=True)
class KubeflowTarget:
    """Where the steps find their code and their project.

    Attributes:
        project: the project folder as the step's process sees it.
        entry: 'module:function', called as function(project, run_key, step, inputs_json) -> result_json.
        image: container image with Recloser and kfp in it; the local runner does not use it.
    """

    project: str
    entry: str
    image: str = "python:3.11"

    def __post_init__(self) -> None:
        module, _, function = self.entry.partition(":")
        if not module or not function.isidentifier():
            raise InvalidInput("not an entry point", got=self.entry, expected="module:function", where="KubeflowTarget")


class KubeflowEngine:
    """Runs pipelines as Kubeflow Pipelines tasks; see `Engine` for what it guarantees.

    `run` uses kfp's local runner, one subprocess per step; sending the compiled pipeline to a cluster is not done
    here. kfp's local configuration is global to the process: one run at a time.

    Args:
        ledger: where the run is recorded; steps record themselves from their own process, and what they did not
            record is recorded at the end.
        clock: time of the records.
        target: where the steps find their code and their project.
        folder: where kfp keeps the outputs of tasks.
    """

    def __init__(self, ledger: Ledger, clock: Clock, target: KubeflowTarget, folder: Path) -> None:
        self._ledger = ledger
        self._clock = clock
        self._book = RunBook(ledger, clock)
        self._target = target
        self._folder = folder

    def compile(self, pipeline: Pipeline, path: Path) -> Path:
        """Write the pipeline as KFP v2 IR YAML to `path`; its inputs are `run_key` and `parameters` (a JSON text).

        Raises:
            InvalidInput: a step with more than eight needs.
            Unavailable: the extra `kubeflow` is not installed.
        """
        kfp = _kfp()
        kfp.compiler.Compiler().compile(_graph(kfp, pipeline, self._target), str(path))
        return path

    def run(
        self,
        pipeline: Pipeline,
        bench: Any,  # noqa: ARG002 - part of the protocol; each step's process makes its own
        run_key: str,
        trigger: str,
        reason: str,
        parameters: Mapping[str, Any],
    ) -> RunOutcome:
        """Run all steps under kfp's local runner and record the run, as `Engine.run` says; `bench` is not used."""
        plain = plain_json(parameters, f"parameters of run {run_key}")
        with self._book.exclusive(run_key):
            run = self._book.open(pipeline, run_key, trigger, reason, plain)
            if run.state == "done":
                return self._book.outcome(run)
            with OnError(lambda error: self._book.fail(run, error)):
                results = self.run_locally(pipeline, run_key, plain)
                self._record_missing(pipeline, run, results)
            return self._book.finish(run, results)

    def run_locally(self, pipeline: Pipeline, run_key: str, parameters: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Run all steps under kfp's local runner, each in a subprocess, and return their results by name.

        What the tasks print goes to standard error.

        Raises:
            InvalidInput: from a step that recorded it, or a step with more than eight needs.
            Unavailable: from a step that recorded it, or a task failed without a record; no extra `kubeflow`.
            Refused: from a step that recorded it.
        """
        kfp = _kfp()
        graph = _graph(kfp, pipeline, self._target)
        runner = kfp.local.SubprocessRunner(use_venv=False)
        kfp.local.init(runner=runner, pipeline_root=str(self._folder), raise_on_error=True)
        try:
            with redirect_stdout(sys.stderr):
                task = graph(run_key=run_key, parameters=task_json(parameters))
        except RuntimeError as error:
            raise self._recorded_error(run_key) from error
        finally:
            kfp.configuration.LocalExecutionConfig.instance = None
        return {step.name: _read_result(task.outputs[step.name], step) for step in pipeline.steps}

    def _record_missing(self, pipeline: Pipeline, run: RunRecord, results: Mapping[str, dict[str, Any]]) -> None:
        now = self._clock.now()
        with self._ledger.change(actor=ACTOR, now=now) as change:
            for position, step in enumerate(pipeline.steps, start=1):
                key, result = f"{run.key}/{step.name}", results[step.name]
                known = self._ledger.get(StepRecord, key)
                if known is not None and known.state == "done":
                    continue
                digest = input_digest(pipeline, step, inputs_of(step, run.parameters, results))
                attempts = 1 if known is None else known.attempts
                change.put(
                    StepRecord(key, run.key, step.name, position, "done", attempts, digest, result, None, now, now)
                )
                change.note("step.done", key, {"result_digest": digest_of(result)})

    def _recorded_error(self, run_key: str) -> RecloserError:
        failed = self._ledger.find(StepRecord, run=run_key, state="failed", order_by="position", limit=1)
        if not failed:
            return Unavailable(
                "a task failed under kfp without a record in the ledger",
                where=f"run {run_key}",
                next_step="Read what the task printed on standard error.",
            )
        facts = failed[0].error or {}
        kinds: dict[str, type[RecloserError]] = {kind.__name__: kind for kind in (InvalidInput, Refused, Unavailable)}
        kind = kinds.get(str(facts.get("error")), RecloserError)
        return kind(
            str(facts.get("what")),
            expected=facts.get("expected"),
            where=facts.get("where") or f"step {failed[0].name}",
            next_step=facts.get("next_step"),
        )


def _kfp() -> SimpleNamespace:
    try:
        from kfp import compiler, dsl, local  # noqa: PLC0415 - optional extra
        from kfp.local import config  # noqa: PLC0415 - optional extra
    except ImportError as error:
        raise Unavailable(
            "Kubeflow Pipelines is not installed",
            got=error.name,
            where="engine kubeflow",
            next_step="pip install 'recloser[kubeflow]'",
        ) from error
    return SimpleNamespace(compiler=compiler, dsl=dsl, local=local, configuration=config)


def _graph(kfp: SimpleNamespace, pipeline: Pipeline, target: KubeflowTarget) -> Callable[..., Any]:
    # kfp reads the outputs of a pipeline from its annotation; without them a local run returns nothing.
    answers = namedtuple("answers", [step.name for step in pipeline.steps])  # type: ignore[misc]  # noqa: PYI024
    answers.__annotations__ = {step.name: str for step in pipeline.steps}

    def tasks(run_key: str, parameters: str) -> Any:
        made: dict[str, Any] = {}
        before: list[Any] = []
        for step in pipeline.steps:
            given = {f"need_{index}": made[need].output for index, need in enumerate(step.needs)}
            task = _component(kfp, step, target.image)(
                project=target.project,
                run_key=run_key,
                step=step.name,
                entry=target.entry,
                parameters=parameters,
                needs=json.dumps(step.needs),
                **given,
            )
            task.set_caching_options(False)  # kfp would also skip steps with side effects
            made[step.name] = task.after(*before)  # one after the other, as the pipeline says
            before = [task]
        return answers(*(task.output for task in made.values()))

    tasks.__annotations__ = {"run_key": str, "parameters": str, "return": answers}
    graph: Callable[..., Any] = kfp.dsl.pipeline(name=_dashed(pipeline.name))(tasks)
    return graph


def _component(kfp: SimpleNamespace, step: Step, image: str) -> Any:
    if len(step.needs) > MOST_NEEDS:
        raise InvalidInput(
            "too many needs for Kubeflow", got=len(step.needs), expected=f"<= {MOST_NEEDS}", where=step.name
        )
    component = kfp.dsl.component(recloser_step, base_image=image, packages_to_install=[], install_kfp_package=False)
    component.name = component.component_spec.name = _dashed(step.name)
    return component


def _dashed(name: str) -> str:
    return name.replace("_", "-").lower()


def task_json(data: Mapping[str, Any]) -> str:
    """Return JSON that kfp passes on unchanged: without the two braces that begin a placeholder of its own."""
    return canonical_json(dict(data)).decode().replace("{{", "{\\u007b")


def _read_result(text: str, step: Step) -> dict[str, Any]:
    try:
        result = json.loads(text)
    except ValueError as error:
        raise InvalidInput("a step's result is not JSON", got=text[:200], where=f"step {step.name}") from error
    return checked_result(result, where=f"step {step.name}")
