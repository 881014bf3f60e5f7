"""Owns the verb that shows the pages alone: of a project, or of a replay that is over."""

from __future__ import annotations

from pathlib import Path

import click

from recloser.app import Shown, replayed, show_pages
from recloser.cli.options import example, json_option, project_option
from recloser.cli.output import emit, say


@click.command("console", epilog=example("recloser console --replay replay --port 8090"))
@click.option(
    "--replay",
    "report",
    type=click.Path(file_okay=False, path_type=Path),
    help="Show a finished replay or demo instead: the folder of its report.",
)
@click.option("--policy", help="With --replay: whose life (default: recloser, or the first there is).")
@click.option("--host", help="Where to listen (default: as [gateway] says; a replay on this host alone).")
@click.option("--port", type=click.IntRange(0, 65535), help="Port (default: one above the gateway's; 0: any).")
@project_option
@json_option
def console(
    report: Path | None, policy: str | None, host: str | None, port: int | None, project: Path, as_json: bool
) -> int:
    """Serve the pages alone: beside a running project, or over a replay, to go to any moment of it."""
    shown = Shown(project) if report is None else replayed(report, policy)

    def ready(address: dict[str, str]) -> None:
        if as_json:
            emit(address, as_json=True, text=str)

    return show_pages(shown, host=host, port=port, say=say, ready=ready)


VERBS = (console,)
