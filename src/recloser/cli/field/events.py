"""Owns `recloser events`: what was told of the grid, and what people say it was."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import click

from recloser.app import label_of_event, list_events, missed_event
from recloser.cli.options import Instant, example, json_option, project_option, said
from recloser.cli.output import emit

as_option = click.option("--as", "name", required=True, callback=said, help="Who says so.")


@click.group("events", epilog=example("recloser events list --unlabelled"))
def events() -> None:
    """Events that the detector told, and what people say they were."""


@events.command("list", epilog=example("recloser events list --limit 20 --json"))
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="Events at most.")
@click.option("--unlabelled", is_flag=True, help="Only those of which nobody has said what they were.")
@project_option
@json_option
def list_(limit: int, unlabelled: bool, project: Path, as_json: bool) -> None:
    """Tell the newest events, newest first."""
    emit(list_events(project, limit=limit, unlabelled=unlabelled), as_json=as_json, text=_listed)


@events.command("label", epilog=example("recloser events label event-3f2a --kind line_trip --as ann"))
@click.argument("event")
@click.option("--kind", required=True, help="What it was: a kind of event, or none for a false alarm.")
@as_option
@project_option
@json_option
def label(event: str, kind: str, name: str, project: Path, as_json: bool) -> None:
    """Say what an event was: evidence for rollouts, and training data."""
    emit(label_of_event(project, event, kind=kind, name=name), as_json=as_json, text=_row)


@events.command(
    "missed",
    epilog=example(
        "recloser events missed --from 2026-11-27T08:00:00Z --to 2026-11-27T08:00:20Z --kind islanding --as ann"
    ),
)
@click.option("--from", "start", type=Instant(), required=True, help="When it began.")
@click.option("--to", "end", type=Instant(), required=True, help="When it was over.")
@click.option("--kind", required=True, help="What it was.")
@as_option
@project_option
@json_option
def missed(start: datetime, end: datetime, kind: str, name: str, project: Path, as_json: bool) -> None:
    """Write down an event that no detector told."""
    emit(missed_event(project, (start, end), kind=kind, name=name), as_json=as_json, text=_row)


def _listed(document: Any) -> str:
    return "\n".join(_row(row) for row in document["events"]) or "no events"


def _row(row: Any) -> str:
    until = "going on" if row["over_at"] is None else f"until {row['over_at']}"
    said = f"labelled {row['label']} by {row['label_by']}" if row["label"] else "not labelled"
    return f"{row['event']}  {row['kind']:<20} {row['first_at']} {until}  {said}"


VERBS = (events,)
