"""Owns the verbs of continuous integration: check a project without its data, write a forge's CI file."""

from __future__ import annotations

from pathlib import Path

import click

from recloser.app import check_project, write_ci
from recloser.cli.options import example, json_option, project_option
from recloser.cli.output import emit, say


@click.command("check", epilog=example("recloser check --train"))
@click.option("--train", is_flag=True, help="Also run the pipeline, on simulated history.")
@project_option
@json_option
def check(train: bool, project: Path, as_json: bool) -> int:
    """Check a project's settings and code without its data or keys; exit code 1 if something fails."""
    result = check_project(project, train=train, say=say)
    emit(
        result,
        as_json=as_json,
        text=lambda d: "\n".join(f"{row['state']:<5} {row['name']}: {row['detail']}" for row in d["checks"]),
    )
    return 0 if result["ok"] else 1


@click.command("ci", epilog=example("recloser ci github --project mygrid"))
@click.argument("forge", type=click.Choice(["github", "gitlab"]))
@project_option
@json_option
def ci(forge: str, project: Path, as_json: bool) -> None:
    """Write the CI file of a forge: check every change, judge and sign what is merged, open its rollout."""
    result = write_ci(project, forge)
    emit(result, as_json=as_json, text=lambda d: "\n".join([*(f"wrote {p}" for p in d["written"]), d["next_step"]]))


VERBS = (check, ci)
