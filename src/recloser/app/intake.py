"""Owns taking a file into a project's store: project file and flags become a mapping. Parses no file itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from recloser.app.platform import Platform
from recloser.app.project.layout import Layout
from recloser.app.project.resolution import fits, with_resolution, write_resolution
from recloser.app.project.settings import Project, load_project
from recloser.connectors import READ_AS_UTC, FileMapping, Reading, read_file, usual_step
from recloser.core import InvalidInput, nearest
from recloser.store import TABLE_NAME, AppendResult

PASSED_ON = (
    *("time_format", "ambiguous", "repeated", "delimiter", "decimal", "encoding", "skip_lines", "multiline"),
    *("quality", "incumbent_unit", "available_at", "period"),
)
FIRST, LAST = datetime(1900, 1, 1, tzinfo=UTC), datetime(2199, 12, 31, tzinfo=UTC)


def mapping_of(project: Project, given: Mapping[str, Any]) -> FileMapping:
    """Return how to read a file: `[data]` of the project file, overruled by flags.

    Raises:
        InvalidInput: time, load or area is mapped nowhere, or the mapping is contradictory.
    """
    data = project.data.model_dump() | dict(given)
    if data["area"] is None and len(project.project.areas) == 1:
        data["area"] = f"={project.project.areas[0]}"
    for name in ("time", "load", "area"):
        if data[name] is None:
            raise InvalidInput(
                f"it is not said which column is the {name}",
                where=f"--{name} or [data] {name}",
                expected="a column name" + (", or =NAME for a file of one area" if name == "area" else ""),
                next_step=f"Add --{name} COLUMN, or set it in recloser.toml.",
            )
    weather: Any = data["weather"] or ("actual_as_forecast" if data["temperature"] else None)
    good = frozenset(data["good_quality"])
    options: dict[str, Any] = {"good": good} if good else {}
    for name in PASSED_ON:
        if data.get(name) is not None:
            options[name] = data[name]
    return FileMapping(
        time=data["time"],
        load=data["load"],
        area=data["area"],
        resolution=project.resolution,
        load_unit=data["load_unit"],
        temperature=data["temperature"],
        temperature_unit=data["temperature_unit"],
        weather=weather,
        weather_lead=timedelta(hours=data["weather_lead_hours"]),
        incumbent=data["incumbent"],
        extra={column: (item["quantity"], item["unit"]) for column, item in data["extra"].items()},
        time_zone=data["time_zone"],
        stamp=data["stamp"],
        availability_delay=timedelta(minutes=data["telemetry_delay_minutes"]),
        **options,
    )


def ingest_file(folder: Path, file: Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """Read a file into the store, all of it or nothing.

    Returns:
        {"rows", "accepted", "duplicates", "corrected", "flagged", "version", "notes"}, counted in rows of the file: one
        is accepted if any of its values was new, corrected if one replaced an older, flagged if one is bad or absent.

    Raises:
        InvalidInput: the file or its mapping is wrong; where, what and what next are said.
        Unavailable: the store cannot be written now.
    """
    project, step = _with_interval(load_project(folder), folder, file, given)
    # Read before anything is opened: a file that is wrong leaves no trace, not even an empty state folder.
    reading = read_file(file, mapping_of(project, given))
    _dated(reading, file)
    told = [note for note in reading.notes if note != READ_AS_UTC or _local(project, given)]
    notes = [*told, *_strangers(project, reading.frame["area"].unique().to_list(), file)]
    if step is not None:
        notes.append(write_resolution(folder, step))
    with Platform.open(folder) as platform:
        result = platform.store.append(reading.frame, source=reading.source)
        now = platform.clock.now()
        counts = {**_by_row(reading, result), "version": result.version}
        with platform.ledger.change("ingest", now) as change:
            facts = {name: counts[name] for name in ("rows", "accepted", "version")}
            change.note("store.ingest", reading.source, {"file": file.name, **facts})
        return {**counts, "notes": notes}


def _with_interval(
    project: Project, folder: Path, file: Path, given: Mapping[str, Any]
) -> tuple[Project, timedelta | None]:
    """Return the project with its interval length, and that length if it is the file that first tells it."""
    if project.project.resolution_minutes is not None or (Layout(folder).store / TABLE_NAME).exists():
        return project, None
    step = usual_step(file, mapping_of(project, given))
    if step is None or not fits(project, step):
        return project, None
    return with_resolution(project, step), step


def _by_row(reading: Reading, result: AppendResult) -> dict[str, int]:
    """Return what became of the file's rows; the store counts values, and a row may hold several."""
    key = ["area", "quantity", "at", "available_at"]
    rows = reading.rows.n_unique()
    kept = (
        reading.frame.select(key).with_columns(reading.rows.alias("row")).unique(key, keep="first", maintain_order=True)
    )
    kept = kept.join(result.kept, on=key, how="inner") if result.accepted else kept.clear().with_columns(corrects=True)
    accepted = kept["row"].n_unique()
    return {
        "rows": rows,
        "accepted": accepted,
        "duplicates": rows - accepted,
        "corrected": kept.filter("corrects")["row"].n_unique(),
        "flagged": reading.flagged,
    }


def _local(project: Project, given: Mapping[str, Any]) -> bool:
    """Return whether stamps without an offset may well be local: the project's zone is, and nobody said UTC."""
    return "time_zone" not in given and project.project.time_zone not in {"UTC", "Etc/UTC"}


def _dated(reading: Reading, file: Path) -> None:
    """Refuse times that no grid data can have: a year misread, or a column that is no time."""
    at = pl.col("at")
    odd = reading.frame.filter(~at.is_between(pl.lit(FIRST), pl.lit(LAST)))
    if not odd.is_empty():
        raise InvalidInput(
            f"{odd.height} value(s) at times out of range",
            got=odd.select(at.dt.to_string("iso")).item(0, 0),
            expected="a year from 1900 to 2199",
            where=str(file),
            next_step="Correct the time column, or say its format. Nothing was stored.",
        )


def _strangers(project: Project, found: Sequence[str], file: Path) -> list[str]:
    """Return a note about areas that the project does not forecast.

    Raises:
        InvalidInput: none of the file's areas is one of the project's.
    """
    known = project.project.areas
    strangers = sorted(set(found) - set(known) - set(project.monitoring.groups))
    if strangers and not set(found) & set(known):
        guess = nearest(strangers[0], known)
        raise InvalidInput(
            "no area of this file is one of the project's",
            got=strangers[:5],
            expected="one of " + ", ".join(known),
            where=str(file),
            next_step=f"Did you mean {guess!r}?" if guess else "Add it to [project] areas, or map --area.",
        )
    return (
        [f"areas that the project does not forecast were stored too: {', '.join(strangers[:8])}"] if strangers else []
    )
