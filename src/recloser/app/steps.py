"""Owns running one pipeline step by name in another process: what a Kubeflow component calls. Runs no pipeline."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from recloser.app.platform import Platform
from recloser.app.verbs import newest_instant
from recloser.core import InvalidInput, VirtualClock, canonical_json, format_utc, parse_utc
from recloser.engines import RetryPolicy, RunBook, StepApart
from recloser.ledger import RunRecord

CLUSTER = {"engine": "kubeflow"}


def run_step(project: str, run_key: str, step: str, inputs_json: str) -> str:
    """Run a step of the project's pipeline on JSON references, record it in the ledger and return its result as JSON.

    A run that nobody opened is opened: as of the newest data where the parameters name no time.

    Args:
        project: folder of the project.
        run_key: key of the run.
        step: name of the step.
        inputs_json: {"parameters": {...}, needed step: its result, ...}.

    Raises:
        RecloserError: what the step raised, after it was recorded.
    """
    results = json.loads(inputs_json)
    given = results.pop("parameters")
    with Platform.open(Path(project)) as platform:
        pipeline = platform.hooks.pipeline()
        known = platform.ledger.get(RunRecord, run_key)
        parameters = _parameters(platform, run_key, given) if known is None else known.parameters
        as_of = _as_of(parameters, run_key)
        if known is not None and given and not _agree(given, parameters):
            raise InvalidInput(
                "the key belongs to a run of other parameters", got=given, expected=str(parameters), where=run_key
            )
        platform.clock = VirtualClock(as_of)
        trigger = str(parameters.get("trigger") or "schedule")
        book = RunBook(platform.ledger, platform.clock)
        run = book.enter(pipeline, run_key, lambda: (trigger, "a run of the cluster", parameters))
        apart = StepApart(platform.ledger, platform.clock, RetryPolicy())
        result = apart.run(pipeline, platform.workbench(), run, step, results)
    return canonical_json(result).decode()


def _parameters(platform: Platform, run_key: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a run that nobody opened."""
    as_of = given.get("as_of") or format_utc(newest_instant(platform))
    return {**CLUSTER, "trigger": "schedule", **given, "as_of": as_of, "run": run_key}


def _as_of(parameters: Mapping[str, Any], run_key: str) -> datetime:
    if "as_of" not in parameters:
        raise InvalidInput("a run without the time it is about", where=f"run {run_key}: as_of")
    return parse_utc(str(parameters["as_of"]), where=f"run {run_key}: as_of")


def _agree(given: Mapping[str, Any], parameters: Mapping[str, Any]) -> bool:
    return all(parameters.get(name) == item for name, item in given.items())
