"""Owns the verbs in virtual time: replay and demo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from recloser.app import DemoOptions, ReplayOptions, replay_project, run_demo
from recloser.cli.options import Instant, example, json_option, project_option
from recloser.cli.output import emit, say


@click.command(
    "replay",
    epilog=example("recloser replay --from 2014-01-01 --to 2014-12-31 --policy never --policy recloser --out replay"),
)
@click.option("--from", "start", type=Instant(), required=True, help="First instant of the replay.")
@click.option("--to", "end", type=Instant(), required=True, help="End of the replay (exclusive).")
@click.option(
    "--scenario",
    type=click.Path(path_type=Path, dir_okay=False),
    help="TOML file with faults, drifts and bad candidates.",
)
@click.option(
    "--policy",
    "policies",
    multiple=True,
    type=click.Choice(["never", "weekly", "monthly", "recloser"]),
    help="Retraining policy; repeat to compare (default: never and recloser).",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("replay"),
    show_default=True,
    help="Folder for the report.",
)
@project_option
@json_option
def replay(project: Path, as_json: bool, **asked: Any) -> None:
    """Put recorded history through the whole loop in virtual time; writes report.json and report.html."""
    asked["policies"] = tuple(dict.fromkeys(asked["policies"])) or ("never", "recloser")
    result = replay_project(project, ReplayOptions(**asked), say)
    emit(
        result, as_json=as_json, text=lambda d: f"{d['table']}\nreport: {d['report_html']}\n        {d['report_json']}"
    )


@click.command("demo", epilog=example("recloser demo --out demo-out --serve"))
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo-out"),
    show_default=True,
    help="Folder for the report.",
)
@click.option("--seed", type=int, default=7, show_default=True, help="Seed of the simulated grid.")
@click.option(
    "--feeders", type=click.IntRange(4, 400), default=24, show_default=True, help="Feeders of the simulated area."
)
@click.option("--live", is_flag=True, help="Let the loads come over a real socket: IEC 104, a link and its spool.")
@click.option("--serve", is_flag=True, help="Keep the gateway and the pages up afterwards.")
@click.option("--port", type=click.IntRange(0, 65534), default=8080, show_default=True, help="Port for --serve.")
@json_option
def demo(serve: bool, port: int, as_json: bool, **asked: Any) -> int:
    """Live through thirteen months of a simulated distribution area, in a few minutes."""
    result = run_demo(DemoOptions(serve_port=port if serve else None, **asked), say)
    emit(result, as_json=as_json, text=lambda d: d["story"])
    return 0


VERBS = (replay, demo)
