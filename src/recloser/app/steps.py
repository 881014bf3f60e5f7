"""Owns running one pipeline step by name in another process: what a Kubeflow component calls. Runs no pipeline."""

from __future__ import annotations

import json
from pathlib import Path

from recloser.app.platform import Platform
from recloser.core import VirtualClock, canonical_json, parse_utc


def run_step(project: str, run_key: str, step: str, inputs_json: str) -> str:
    """Run a step of the project's pipeline on JSON references and return its result as JSON.

    Args:
        project: folder of the project.
        run_key: key of the run.
        step: name of the step.
        inputs_json: {"parameters": {...}, needed step: its result, ...}.
    """
    inputs = json.loads(inputs_json)
    inputs["parameters"]["run"] = run_key
    clock = VirtualClock(parse_utc(inputs["parameters"]["as_of"]))
    with Platform.open(Path(project), clock=clock) as platform:
        result = platform.hooks.pipeline().step(step).run(platform.workbench(), inputs)
    return canonical_json(dict(result)).decode()
