"""Owns the verbs about a Kubeflow cluster: compile, cancel, recurring."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from recloser.app.cluster.acts import (
    CHANGES,
    cancel_run,
    change_schedule,
    compile_project,
    schedule_runs,
    scheduled_runs,
)
from recloser.cli.options import actor_option, example, json_option, project_option, reason_option
from recloser.cli.output import emit, say


@click.command("compile", epilog=example("recloser compile --out pipeline.yaml"))
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Default: a file below state/kubeflow.")
@click.option("--fleet", is_flag=True, help="One pipeline over all projects of [kubeflow] fleet, some at once.")
@project_option
@json_option
def compile_(out: Path | None, fleet: bool, project: Path, as_json: bool) -> None:
    """Write the project's pipeline as IR YAML of Kubeflow Pipelines v2."""
    emit(compile_project(project, out=out, fleet=fleet), as_json=as_json, text=_compiled)


@click.command("cancel", epilog=example("recloser cancel run-1a2b3c --reason 'the wrong data'"))
@click.argument("run")
@reason_option
@actor_option
@project_option
@json_option
def cancel(run: str, reason: str, actor: str, project: Path, as_json: bool) -> None:
    """Stop a run on the cluster; it can be resumed by running it again."""
    result = cancel_run(project, run=run, actor=actor, reason=reason, say=say)
    emit(result, as_json=as_json, text=lambda d: f"{d['run']} on the cluster ({d['kubeflow_run']}): {d['state']}")


@click.group("recurring", epilog=example("recloser recurring list"))
def recurring() -> None:
    """Runs that the cluster starts by a schedule."""


@recurring.command("add", epilog=example("recloser recurring add nightly --cron '0 2 * * *'"))
@click.argument("name")
@click.option("--cron", required=True, help="Five fields in UTC, or six with seconds first.")
@click.option("--fleet", is_flag=True, help="All projects of [kubeflow] fleet instead of this one.")
@project_option
@json_option
def add(name: str, cron: str, fleet: bool, project: Path, as_json: bool) -> None:
    """Let the cluster run the pipeline at each time of a schedule, on the newest data."""
    result = schedule_runs(project, name=name, cron=cron, fleet=fleet)
    emit(result, as_json=as_json, text=lambda d: f"{d['recurring_run']}: {d['name']} at {d['cron']}")


@recurring.command("list", epilog=example("recloser recurring list --json"))
@project_option
@json_option
def list_(project: Path, as_json: bool) -> None:
    """List the recurring runs of the project's experiment."""
    emit(scheduled_runs(project), as_json=as_json, text=_listed)


@recurring.command("change", epilog=example("recloser recurring change 7f3c1d8e disable"))
@click.argument("recurring_run")
@click.argument("change", type=click.Choice(CHANGES))
@project_option
@json_option
def change_(recurring_run: str, change: str, project: Path, as_json: bool) -> None:
    """Enable, disable or delete a recurring run."""
    result = change_schedule(project, recurring_run=recurring_run, change=change)
    emit(result, as_json=as_json, text=lambda d: f"{d['recurring_run']}: {d['change']}d")


def _compiled(document: Any) -> str:
    shards = f" for {len(document['shards'])} projects" if document["shards"] else ""
    return f"wrote {document['path']}: {', '.join(document['steps'])}{shards}\n{document['digest']}"


def _listed(document: Any) -> str:
    rows = document["recurring_runs"]
    return "\n".join(f"{r['recurring_run']}  {r['state']:<8}  {r['cron']}  {r['name']}" for r in rows) or "none"


VERBS = (compile_, cancel, recurring)
