"""Owns running a Pipeline with Kubeflow's own local runner, each step in a subprocess, and the record of that run.

Does not own the workbench: each step's process is given an entry point as text. Sends nothing to a cluster.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

from recloser.core import Clock, InvalidInput
from recloser.engines.book import OnError, RunBook, checked_result, plain_json
from recloser.engines.engine import RetryPolicy, RunOutcome
from recloser.engines.kubeflow.compiling import compile_pipeline, graph_of, kfp_parts, task_json
from recloser.engines.kubeflow.mirror import Mirror
from recloser.engines.kubeflow.target import KubeflowTarget
from recloser.ledger import Ledger, RunRecord
from recloser.pipelines import Pipeline, Step


class KubeflowEngine:
    """Runs pipelines under Kubeflow's local runner, a subprocess per step; see `Engine` for what it guarantees.

    `ClusterEngine` sends the same pipeline to a cluster. kfp's local configuration is global to the process: one run
    at a time.

    Args:
        ledger: where the run is recorded; steps record themselves from their own process, and what they did not
            record is recorded at the end.
        clock: time of the records.
        target: where the steps find their code and their project.
        folder: where kfp keeps the outputs of tasks.
    """

    def __init__(self, ledger: Ledger, clock: Clock, target: KubeflowTarget, folder: Path) -> None:
        self._book = RunBook(ledger, clock)
        self._mirror = Mirror(ledger, clock)
        self._target = target
        self._folder = folder

    def compile(self, pipeline: Pipeline, path: Path) -> Path:
        """Write the pipeline as KFP v2 IR YAML to `path`; see `compile_pipeline`.

        Raises:
            InvalidInput: a step with more than eight needs.
            Unavailable: the extra `kubeflow` is not installed.
        """
        return compile_pipeline(pipeline, self._target, path)

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
                results = self._all_results(pipeline, run, self.run_locally(pipeline, run_key, plain))
                self._mirror.record_missing(pipeline, run, results)
            return self._book.finish(run, results)

    def run_locally(self, pipeline: Pipeline, run_key: str, parameters: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Run the steps under kfp's local runner and return the results of those that always run, by name.

        What the tasks print goes to standard error. Nothing waits between tries.

        Raises:
            InvalidInput: from a step that recorded it, or a step with more than eight needs.
            Unavailable: from a step that recorded it, or a task failed without a record; no extra `kubeflow`.
            Refused: from a step that recorded it.
        """
        kfp = kfp_parts()
        once = replace(self._target.tasks, retry=RetryPolicy(attempts=1))
        graph = graph_of(kfp, pipeline, replace(self._target, tasks=once))
        runner = kfp.local.SubprocessRunner(use_venv=False)
        kfp.local.init(runner=runner, pipeline_root=str(self._folder), raise_on_error=True)
        try:
            with redirect_stdout(sys.stderr):
                task = graph(run_key=run_key, parameters=task_json(parameters))
        except RuntimeError as error:
            raise self._mirror.error_of(run_key, "a task failed under kfp without a record in the ledger") from error
        finally:
            kfp.configuration.LocalExecutionConfig.instance = None
        always = [step for step in pipeline.steps if step.when is None]
        return {step.name: _read_result(task.outputs[step.name], step) for step in always}

    def _all_results(
        self, pipeline: Pipeline, run: RunRecord, read: Mapping[str, dict[str, Any]]
    ) -> dict[str, dict[str, Any]]:
        """Return the results with those of steps that may be skipped, which kfp cannot hand out."""
        self._mirror.record_missing(replace_steps(pipeline, read), run, read)
        return self._mirror.results(pipeline, run)


def replace_steps(pipeline: Pipeline, names: Mapping[str, Any]) -> Pipeline:
    """Return the pipeline with only the named steps."""
    return replace(pipeline, steps=tuple(step for step in pipeline.steps if step.name in names))


def _read_result(text: str, step: Step) -> dict[str, Any]:
    try:
        result = json.loads(text)
    except ValueError as error:
        raise InvalidInput("a step's result is not JSON", got=text[:200], where=f"step {step.name}") from error
    return checked_result(result, where=f"step {step.name}")
