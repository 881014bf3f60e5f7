"""Owns running one pipeline step by name in another process: what a Kubeflow component calls. Runs no pipeline."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from recloser.app.loop.retraining import ON_CLUSTER
from recloser.app.platform import Platform
from recloser.app.trial.runner import with_trials
from recloser.app.verbs import newest_instant
from recloser.core import InvalidInput, VirtualClock, canonical_json, format_utc, parse_utc
from recloser.engines import RetryPolicy, RunBook, StepApart
from recloser.ledger import RunRecord


def run_step(project: str, run_key: str, step: str, inputs_json: str) -> str:
    """Run a step of the project's pipeline on JSON references, record it in the ledger and return its result as JSON.

    A run that nobody opened is opened: as of the newest data where the parameters name no time. The gate tries the
    package in a process of its own, as it does in `recloser run`.

    Args:
        project: folder of the project.
        run_key: key of the run.
        step: name of the step.
        inputs_json: {"parameters": {...}, needed step: its result, ...}.

    Raises:
        RecloserError: what the step raised, after it was recorded.
    """
    return _run_step(project, run_key, step, inputs_json, tried=True)


def run_step_untried(project: str, run_key: str, step: str, inputs_json: str) -> str:
    """Run a step as `run_step` does, without the package's trial under load; the verdict says so.

    Raises:
        RecloserError: as `run_step`.
    """
    return _run_step(project, run_key, step, inputs_json, tried=False)


def _run_step(project: str, run_key: str, step: str, inputs_json: str, *, tried: bool) -> str:
    results = json.loads(inputs_json)
    given = results.pop("parameters")
    with Platform.open(Path(project)) as platform:
        known = platform.ledger.get(RunRecord, run_key)
        parameters = _parameters(platform, run_key, given) if known is None else known.parameters
        if known is not None and not _agree(given, parameters):
            raise InvalidInput(
                "the key belongs to a run of other parameters", got=given, expected=str(parameters), where=run_key
            )
        platform.clock = VirtualClock(_as_of(parameters, run_key))
        opened = with_trials(platform) if tried else platform
        pipeline = opened.hooks.pipeline()
        trigger = str(parameters.get("trigger") or "schedule")
        book = RunBook(opened.ledger, opened.clock)
        run = book.enter(pipeline, run_key, lambda: (trigger, "a run of the cluster", parameters))
        apart = StepApart(opened.ledger, opened.clock, RetryPolicy())
        result = apart.run(pipeline, opened.workbench(), run, step, results)
    return canonical_json(result).decode()


def _parameters(platform: Platform, run_key: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a run that nobody opened."""
    as_of = given.get("as_of") or format_utc(newest_instant(platform))
    return {"engine": ON_CLUSTER, "trigger": "schedule", **given, "as_of": as_of, "run": run_key}


def _as_of(parameters: Mapping[str, Any], run_key: str) -> datetime:
    if "as_of" not in parameters:
        raise InvalidInput("a run without the time it is about", where=f"run {run_key}: as_of")
    return parse_utc(str(parameters["as_of"]), where=f"run {run_key}: as_of")


def _agree(given: Mapping[str, Any], parameters: Mapping[str, Any]) -> bool:
    return all(parameters.get(name) == item for name, item in given.items())
