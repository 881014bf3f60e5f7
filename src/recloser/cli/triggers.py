"""Owns the verbs about what asks for retraining: triggers, and the hook of a git repository."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from recloser.app import list_triggers, tell_pushes, to_gateway, to_project
from recloser.cli.options import example, json_option, project_option, said
from recloser.cli.output import emit


@click.command("triggers", epilog=example("recloser triggers --json"))
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="Decisions at most.")
@project_option
@json_option
def triggers(limit: int, project: Path, as_json: bool) -> None:
    """Tell what waits to start a run and what became of the rest: who asked, what was covered, what is in the way."""
    emit(list_triggers(project, limit=limit), as_json=as_json, text=lambda d: "\n".join(d["sentences"]))


@click.group("hook", epilog=example("recloser hook post-receive --inlet forge --project mygrid < updates"))
def hook() -> None:
    """What git's hooks call."""


@hook.command(
    "post-receive",
    epilog=example(
        "exec recloser hook post-receive --inlet forge --url http://127.0.0.1:8080 "
        "--secret-file /etc/recloser/forge.secret"
    ),
)
@click.option("--inlet", required=True, callback=said, help="Name of the inlet, of the kind github.")
@click.option("--url", help="Address of the gateway; without it the project of --project on this machine.")
@click.option("--secret-file", type=click.Path(dir_okay=False, path_type=Path), help="The inlet's secret; with --url.")
@click.option("--pusher", help="Who pushes (default: as the environment of the hook says).")
@project_option
@json_option
def post_receive(
    inlet: str, url: str | None, secret_file: Path | None, pusher: str | None, project: Path, as_json: bool
) -> None:
    """Tell the pushes that git gives on stdin (OLD NEW REF) to an inlet. Never fails a push: failures are told."""
    if (url is None) != (secret_file is None):
        raise click.UsageError("--url and --secret-file go together.")
    send = to_project(project, inlet) if url is None or secret_file is None else to_gateway(url, inlet, secret_file)
    emit(tell_pushes(sys.stdin, Path(), pusher, send), as_json=as_json, text=_told)


def _told(document: Any) -> str:
    rows = [*document["told"], *document["failed"]]
    return "\n".join(f"recloser: {row['ref']}: {row['sentence']}" for row in rows) or "recloser: nothing was pushed"


VERBS = (triggers, hook)
