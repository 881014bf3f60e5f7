"""Owns checking a project's settings and code without its data, on simulated history: what CI can do. Keeps nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from recloser.app.loop.control_loop import ControlLoop, LoopOptions
from recloser.app.loop.retraining import RunOrder
from recloser.app.platform import Platform
from recloser.app.project.settings import MonitoringSection
from recloser.core import InvalidInput, RecloserError, VirtualClock
from recloser.simulation import GridPlan, SimulatedGrid

FIRST = datetime(2022, 1, 1, tzinfo=UTC)
MOST_AREAS = 3
SPARE_DAYS = 120
"""Days of training besides the hold-out and the calibration."""
ASKED = ("formats", "leak", "parity", "safety")
"""Groups of the gate's checks that judge code and not data; the others tell nothing on simulated history."""
LEFT_OUT = frozenset({"state", ".git", ".venv", "venv"})

Check = dict[str, str]


def check_project(folder: Path, *, train: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """Check `recloser.toml` and `pipeline.py`; with `train` also run the pipeline on simulated history.

    Nothing outside a temporary folder is written, no network, ledger, registry or key of the project is used. Training
    is on at most three areas, with the project's own settings.

    Args:
        folder: project.
        train: run the pipeline too, and the gate's checks of code: look-ahead, formats, parity, safe answers.
        say: told of progress.

    Returns:
        {"ok", "checks": [{"name", "state": ok|note|FAIL, "detail"}]}.

    Raises:
        InvalidInput: the project file does not validate, or the project's code does not load.
    """
    with _scratch(folder) as scratch, Platform.open(scratch, isolated=True) as platform:
        checks = [
            _check("settings", "ok", f"{platform.project.project.name}, {len(platform.areas)} areas"),
            _check("features", "ok", f"{len(platform.features.names)} columns, digest {platform.features.digest[:12]}"),
            _pipeline(platform),
        ]
        if train:
            say("training on simulated history")
            checks += _rehearsed(platform)
    return {"ok": all(check["state"] != "FAIL" for check in checks), "checks": checks}


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """Hold a folder in the block that shows the project's files, and has a state of its own."""
    if not folder.is_dir():
        raise InvalidInput("there is no such folder", where=str(folder), next_step="Check --project.")
    with tempfile.TemporaryDirectory(prefix="recloser-check-") as place:
        scratch = Path(place) / "project"
        scratch.mkdir()
        for path in folder.resolve().iterdir():
            if path.name not in LEFT_OUT:
                (scratch / path.name).symlink_to(path)
        yield scratch


def _check(name: str, state: str, detail: str) -> Check:
    return {"name": name, "state": state, "detail": detail}


def _pipeline(platform: Platform) -> Check:
    steps = platform.hooks.pipeline().steps
    return _check("pipeline", "ok", f"{len(steps)} steps: {', '.join(step.name for step in steps)}")


def _rehearsed(platform: Platform) -> list[Check]:
    try:
        until = _simulated(platform)
    except InvalidInput as error:
        return [_check("history", "note", f"this project's data cannot be simulated: {error.explain()}")]
    platform.clock = VirtualClock(until)
    loop = ControlLoop(platform, LoopOptions())
    try:
        outcome = loop.retraining.make(RunOrder("run-check", until, "api", "recloser check", {}))
    except RecloserError as error:
        return [_check("run", "FAIL", error.explain())]
    checks = [_check("run", "ok", f"{outcome.candidate} was trained, packaged and judged")]
    for row in outcome.results["judge"]["checks"]:
        if row["name"].partition(".")[0] in ASKED:
            state = "FAIL" if row["verdict"] == "refuse" else "ok" if row["verdict"] == "pass" else "note"
            checks.append(_check(str(row["name"]), state, str(row["reason"])))
    return checks


def _simulated(platform: Platform) -> datetime:
    """Fill the store with simulated history of the first areas and let the project be theirs; return its end."""
    project = platform.project
    days = project.staging.holdout_days + project.model.calibration_days + SPARE_DAYS
    areas = platform.areas[:MOST_AREAS]
    plan = GridPlan(
        feeders=len(areas),
        start=FIRST,
        days=days + platform.features.memory.days,
        resolution=project.resolution,
        zone=project.project.time_zone,
        substations=0,
    )
    if project.project.country is not None:
        plan = replace(plan, country=project.project.country, subdivision=project.project.subdivision)
    grid = SimulatedGrid(plan)
    names = dict(zip(grid.areas, areas, strict=True))
    platform.store.append(grid.frame().with_columns(pl.col("area").replace(names)), source="recloser check")
    fewer = project.project.model_copy(update={"areas": areas})
    platform.project = project.model_copy(update={"project": fewer, "monitoring": MonitoringSection()})
    platform.features = platform.wanted_features()
    return plan.start + timedelta(days=plan.days)
