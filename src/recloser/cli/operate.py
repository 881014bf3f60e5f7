"""Owns the verbs of operation: forecast, status, rollback, retrain, up, watchman."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from recloser.app import (
    ask_to_retrain,
    current_forecast,
    explain_forecast,
    operator_rollback,
    project_status,
    run_up,
    watch_alone,
)
from recloser.cli.options import (
    Instant,
    actor_option,
    as_of_option,
    example,
    json_option,
    project_option,
    reason_option,
)
from recloser.cli.output import emit, say, sentence


@click.command("forecast", epilog=example("recloser forecast --area VIC --json"))
@click.option("--area", help="Only this area.")
@as_of_option
@project_option
@json_option
def forecast(area: str | None, as_of: Any, project: Path, as_json: bool) -> None:
    """Print the current forecast: quantiles in MW, who served it, ids of the points, void ids."""
    result = current_forecast(project, area=area, as_of=as_of)
    emit(result, as_json=as_json, text=_forecast_text)


def _forecast_text(document: Any) -> str:
    lines = []
    for area, row in document["areas"].items():
        lines.append(f"{area}: issued {row['issued_at']}, served by {row['served_by']} ({row['release']})")
        lines += [
            f"  {p['at']}  {p['q10']:12.3f} {p['q50']:12.3f} {p['q90']:12.3f} MW{'  VOID' if p['void'] else ''}"
            for p in row["points"]
        ]
    return "\n".join(lines)


@click.command("explain", epilog=example("recloser explain VIC --at 2014-06-02T08:00:00Z"))
@click.argument("area")
@click.option("--at", "at", type=Instant(), help="Start of the interval (default: the highest of the newest forecast).")
@project_option
@json_option
def explain(area: str, at: Any, project: Path, as_json: bool) -> None:
    """Tell why a forecast is what it is: each input's part in MW, its change since yesterday and the last model."""
    emit(explain_forecast(project, area=area, at=at), as_json=as_json, text=_explain_text)


def _explain_text(document: Any) -> str:
    band = f"{document['q50']:.3f} MW ({document['q10']:.3f} to {document['q90']:.3f})"
    lines = [f"{document['area']} {document['at']}: {band}, by {document['release']} ({document['served_by']})"]
    lines += [document["note"]] if document["note"] else []
    if document["exact"]:
        lines.append(f"  {document['usual_mw']:+12.3f} MW usual for the area's level")
    for row in document["drivers"]:
        value = "missing" if row["value"] is None else f"{row['value']:.4g} {row['unit']}".strip()
        since = [("yesterday", row["change_mw"]), ("the last model", row["change_model_mw"])]
        told = ", ".join(f"{change:+.3f} since {word}" for word, change in since if change is not None)
        lines.append(f"  {row['mw']:+12.3f} MW {row['words']}: {value}" + (f" ({told})" if told else ""))
    if document["exact"]:
        lines.append(f"  {document['rest_mw']:+12.3f} MW all other inputs")
        lines.append(f"  {document['calibration_mw']:+12.3f} MW calibration on recent days")
    former = document["former"]
    if former is not None:
        said = f"{former['q50']:.3f} MW" if former["exact"] else former["note"]
        lines.append(f"The last model, {former['release']}, from the same knowledge: {said}")
    return "\n".join(lines)


@click.command("status", epilog=example("recloser status --json"))
@project_option
@json_option
def status(project: Path, as_json: bool) -> None:
    """Tell who serves, what is rolling out, open signals, the newest data and forecast."""
    result = project_status(project)
    emit(result, as_json=as_json, text=lambda d: "\n".join(d["sentences"]))


@click.command("rollback", epilog=example('recloser rollback --reason "forecast looks wrong on feeder 7"'))
@click.option("--to", "to", help="Release to return to (default: the previous champion).")
@reason_option
@actor_option
@project_option
@json_option
def rollback(to: str | None, reason: str, actor: str, project: Path, as_json: bool) -> None:
    """Stop a model with one action: traffic returns at once, its unexpired forecasts are recalled."""
    result = operator_rollback(project, to=to, reason=reason, actor=actor, say=say)
    emit(result, as_json=as_json, text=sentence)


@click.command("retrain", epilog=example('recloser retrain --reason "new feeder since Monday"'))
@reason_option
@actor_option
@project_option
@json_option
def retrain(reason: str, actor: str, project: Path, as_json: bool) -> None:
    """Ask the running loop to retrain; the triggers' budget and data faults still decide. To run now: recloser run."""
    result = ask_to_retrain(project, reason=reason, actor=actor)
    emit(result, as_json=as_json, text=sentence)


@click.command("up", epilog=example("recloser up --project mygrid --port 8080"))
@click.option("--host", help="Address to listen on (default: [gateway] host).")
@click.option(
    "--port",
    type=click.IntRange(0, 65534),
    help="Port to listen on, 0 for any free one (default: [gateway] port); the pages are one port above.",
)
@project_option
@json_option
def up(host: str | None, port: int | None, project: Path, as_json: bool) -> int:
    """Run in real time under a supervisor: gateway, control loops and pages; what dies is restarted."""

    def ready(addresses: dict[str, str]) -> None:
        if as_json:
            emit(addresses, as_json=True, text=str)

    return run_up(project, host=host, port=port, say=say, ready=ready)


@click.command("watchman", epilog=example("recloser watchman --project mygrid"))
@project_option
@json_option
def watchman(project: Path, as_json: bool) -> int:
    """Tell when a forecast, the load or the controller is not there. `up` runs one, this is another."""

    def ready(place: dict[str, str | None]) -> None:
        if as_json:
            emit(place, as_json=True, text=str)

    return watch_alone(project, ready)


VERBS = (forecast, explain, status, rollback, retrain, up, watchman)
