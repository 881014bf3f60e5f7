"""Owns compiling, cancelling and scheduling runs of a cluster, as functions that return JSON-ready documents."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from recloser.app.cluster.opening import api_of, engine_of, target_of
from recloser.app.platform import Platform
from recloser.core import InvalidInput
from recloser.engines.kubeflow import RunPlace, compile_fleet, compile_pipeline, ir_digest, load_ir

CHANGES = ("enable", "disable", "delete")


def compile_project(folder: Path, *, out: Path | None, fleet: bool) -> dict[str, Any]:
    """Write the project's pipeline as IR YAML: {"path", "pipeline", "digest", "steps", "image", "shards"}.

    Raises:
        InvalidInput: the project file does not fit the pipeline, or names no fleet.
        Unavailable: kfp is not installed, or the file cannot be written.
    """
    with Platform.open(folder) as platform:
        pipeline = platform.hooks.pipeline()
        target = target_of(platform, pipeline)
        projects = platform.project.kubeflow.fleet if fleet else ()
        path = out or platform.layout.state / "kubeflow" / f"{pipeline.name}{'-fleet' if fleet else ''}.yaml"
        if fleet:
            compile_fleet(pipeline, target, projects, path)
        else:
            compile_pipeline(pipeline, target, path)
        return {
            "path": str(path),
            "pipeline": pipeline.name,
            "digest": ir_digest(load_ir(path)),
            "steps": [step.name for step in pipeline.steps],
            "image": target.image,
            "shards": list(projects),
        }


def cancel_run(folder: Path, *, run: str, actor: str, reason: str, say: Callable[[str], None]) -> dict[str, Any]:
    """Stop a run on the cluster and wait until it has ended: {"run", "kubeflow_run", "state"}.

    Raises:
        InvalidInput: there is no such run under way.
        Refused, Unavailable: the cluster does not let this caller, or stays away.
    """
    with Platform.open(folder) as platform:
        pipeline = platform.hooks.pipeline()
        ended = engine_of(platform, pipeline, say).cancel(pipeline, run, actor, reason)
        return {"run": run, "kubeflow_run": ended.id, "state": ended.state}


def schedule_runs(folder: Path, *, name: str, cron: str, fleet: bool) -> dict[str, Any]:
    """Let the cluster start runs by a schedule (UTC): {"recurring_run", "name", "cron", "state"}.

    Raises:
        InvalidInput: not a schedule.
        Refused, Unavailable: the cluster does not let this caller, or stays away.
    """
    six = six_fields(cron)
    with Platform.open(folder) as platform:
        api, section = api_of(platform), platform.project.kubeflow
        path = compile_project(folder, out=None, fleet=fleet)["path"]
        place = RunPlace(api.experiment(section.experiment), section.service_account)
        return _told(api.create_recurring(name, six, load_ir(Path(path)), place))


def scheduled_runs(folder: Path) -> dict[str, Any]:
    """Return the recurring runs of the project's experiment: {"recurring_runs": [...]}.

    Raises:
        Refused, Unavailable: the cluster does not let this caller, or stays away.
    """
    with Platform.open(folder) as platform:
        api = api_of(platform)
        experiment = api.experiment(platform.project.kubeflow.experiment)
        return {"recurring_runs": [_told(document) for document in api.recurring(experiment)]}


def change_schedule(folder: Path, *, recurring_run: str, change: str) -> dict[str, Any]:
    """Enable, disable or delete a recurring run: {"recurring_run", "change"}.

    Raises:
        InvalidInput: the cluster does not know it.
        Refused, Unavailable: the cluster does not let this caller, or stays away.
    """
    with Platform.open(folder) as platform:
        api_of(platform).change_recurring(recurring_run, change)
        return {"recurring_run": recurring_run, "change": change}


def six_fields(cron: str) -> str:
    """Return a schedule as Kubeflow takes it, seconds first; five fields begin at second 0.

    Raises:
        InvalidInput: neither five nor six fields.
    """
    fields = cron.split()
    if len(fields) == 5:
        fields = ["0", *fields]
    if len(fields) != 6:
        raise InvalidInput(
            "not a schedule", got=cron, expected="five fields, or six with seconds first", where="--cron"
        )
    return " ".join(fields)


def _told(document: dict[str, Any]) -> dict[str, Any]:
    return {
        "recurring_run": str(document.get("recurring_run_id", "")),
        "name": str(document.get("display_name", "")),
        "cron": str(((document.get("trigger") or {}).get("cron_schedule") or {}).get("cron", "")),
        "state": str(document.get("status") or "ENABLED"),
    }
