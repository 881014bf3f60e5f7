"""Owns the verbs that prepare: init, ingest, run, doctor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from recloser.app import check_installation, ingest_file, run_pipeline, scaffold, scaffold_events, write_ci
from recloser.cli.options import actor_option, as_of_option, example, json_option, project_option
from recloser.cli.output import emit, say


@click.command(
    "init", epilog=example("recloser init mygrid --area VIC --time-zone Australia/Melbourne --resolution-minutes 30")
)
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--template",
    type=click.Choice(["forecast", "pmu"]),
    default="forecast",
    show_default=True,
    help="What the project does: forecast load, or detect events in phasors.",
)
@click.option(
    "--area",
    "areas",
    multiple=True,
    help="Area, feeder or zone to forecast; repeat for several. With pmu: kind of event (default: all).",
)
@click.option("--time-zone", required=True, help="Local zone, an IANA name such as Australia/Melbourne.")
@click.option("--country", help="Country code for holidays, such as AU (default: that of the time zone).")
@click.option("--subdivision", help="State or region code for holidays, such as VIC.")
@click.option("--resolution-minutes", type=int, help="Length of one interval (default: as in the first file).")
@click.option("--ci", type=click.Choice(["github", "gitlab"]), help="Write this forge's CI file too.")
@json_option
def init(folder: Path, template: str, ci: str | None, as_json: bool, **grid: Any) -> None:
    """Scaffold a project: one recloser.toml and, to forecast, one pipeline.py."""
    result = _scaffolded(folder, template, grid)
    if ci is not None:
        result["written"] += write_ci(folder, ci)["written"]
    emit(
        result,
        as_json=as_json,
        text=lambda d: "\n".join([f"wrote {path}" for path in d["written"]] + [d["next_step"]]),
    )


def _scaffolded(folder: Path, template: str, grid: dict[str, Any]) -> dict[str, Any]:
    if template == "forecast":
        if not grid["areas"]:
            raise click.UsageError("Missing option '--area'.")
        return scaffold(folder, **grid)
    for name in ("country", "subdivision", "resolution_minutes"):
        if grid[name] is not None:
            raise click.UsageError(f"--{name.replace('_', '-')} means nothing to a project that detects events.")
    return scaffold_events(folder, kinds=grid["areas"], time_zone=grid["time_zone"])


@click.command(
    "ingest",
    epilog=example("recloser ingest load.csv --area =VIC --time utc --load demand --load-unit MW --temperature temp_c"),
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--area", help="Column that names the area, or =NAME for a file of one area.")
@click.option("--time", "time", help="Column with the time stamp.")
@click.option("--load", "load", help="Column with the load.")
@click.option("--load-unit", help="Unit of the load: W, kW, MW, GW.")
@click.option("--temperature", help="Column with the temperature (forecast, or actual used as forecast).")
@click.option("--temperature-unit", help="degC, degF or K.")
@click.option(
    "--weather",
    type=click.Choice(["forecast", "measured", "actual_as_forecast"]),
    help="What the temperature is (default: actual_as_forecast, which flatters results).",
)
@click.option("--incumbent", help="Column with the operator's own forecast, in the load's unit.")
@click.option("--time-zone", help="Zone of stamps without an offset.")
@click.option(
    "--stamp", type=click.Choice(["start", "end"]), help="Whether a stamp marks the start or the end of its interval."
)
@click.option("--period", help="Column with the number of the interval in its local day; --time is then the day's.")
@click.option("--time-format", help="Pattern such as '%d/%m/%Y %H:%M', or unix_s, unix_ms (default: ISO 8601).")
@click.option(
    "--ambiguous",
    type=click.Choice(["order", "earliest", "latest"]),
    help="The hour that comes twice in autumn: by order of the rows (default), or always the first or last pass.",
)
@click.option(
    "--repeated",
    type=click.Choice(["error", "last"]),
    help="Rows of one area and time with different values: an error (default), or the last one counts.",
)
@click.option("--delimiter", help="Between the columns of a CSV (default: detected).")
@click.option("--decimal", type=click.Choice([".", ","]), help="Decimal mark of a CSV (default: detected).")
@click.option("--encoding", help="Of a CSV, such as cp1252 (default: utf-8).")
@click.option("--skip-lines", type=click.IntRange(min=0), help="Lines before the header of a CSV (default: 0).")
@click.option("--multiline", is_flag=True, default=None, help="Quoted cells of a CSV hold line breaks.")
@click.option("--quality", help="Column with a quality word.")
@click.option("--good-quality", multiple=True, help="Quality words that mean good; repeat for several.")
@project_option
@json_option
def ingest(file: Path, project: Path, as_json: bool, **mapping: Any) -> None:
    """Read a CSV or Parquet file into the versioned store; all of it or nothing."""
    given = {name: value for name, value in mapping.items() if value not in (None, ())}
    result = ingest_file(project, file, given)
    emit(
        result,
        as_json=as_json,
        text=lambda d: (
            f"{d['rows']} rows read: {d['accepted']} accepted ({d['corrected']} of them corrections), "
            f"{d['duplicates']} duplicates, {d['flagged']} flagged; store version {d['version']}."
            + "".join(f"\n  note: {note}" for note in d.get("notes", []))
        ),
    )


@click.command("run", epilog=example("recloser run --as-of 2014-06-01T00:00:00Z --json"))
@as_of_option
@click.option(
    "--engine",
    type=click.Choice(["local", "kubeflow"]),
    default="local",
    show_default=True,
    help="Where the steps run.",
)
@actor_option
@project_option
@json_option
def run(as_of: Any, engine: str, actor: str, project: Path, as_json: bool) -> int:
    """Run the pipeline once: snapshot, train, package, staging gate, register. Exit code 1 when refused or held."""
    result = run_pipeline(project, as_of=as_of, engine=engine, progress=say, actor=actor)
    emit(result, as_json=as_json, text=_run_text)
    return 0 if result["verdict"] == "pass" else 1


def _run_text(document: Any) -> str:
    lines = [f"{document['run']}: {document['candidate']}: {document['verdict'].upper()} - {document['reason']}"]
    lines += [f"  {check['verdict']:<6} {check['name']}: {check['reason']}" for check in document["checks"]]
    return "\n".join(lines)


@click.command("doctor", epilog=example("recloser doctor --project mygrid"))
@project_option
@json_option
def doctor(project: Path, as_json: bool) -> int:
    """Check the installation and the project: what works, what is missing, what to do."""
    result = check_installation(project)
    emit(
        result,
        as_json=as_json,
        text=lambda d: "\n".join(f"{check['state']:<5} {check['name']}: {check['detail']}" for check in d["checks"]),
    )
    return 0 if result["ok"] else 1


VERBS = (init, ingest, run, doctor)
