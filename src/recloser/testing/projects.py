"""Owns small whole projects for tests: simulated history in a file, a scaffolded project, ingested. Trains nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from recloser.app import ingest_file, scaffold
from recloser.core import LOAD, TEMPERATURE
from recloser.simulation import GridPlan, SimulatedGrid

ZONE = "Europe/Amsterdam"
FIRST = datetime(2020, 1, 1, tzinfo=UTC)
COLUMNS = {"area": "area", "time": "at", "load": LOAD, "temperature": TEMPERATURE, "weather": "forecast"}
QUICK = """
[model]
trees = 20
leaves = 7
learning_rate = 0.2
max_rows = 5000
calibration_days = 14

[registry]
kind = "folder"
"""
"""Settings for models that train in a second and are still far better than the seasonal naive on `small_grid`."""

SHORT = 'holdout_days = 28\nprocess = "own"'
"""Settings of `[staging]`: a short hold-out, and no gateway process for every candidate."""


def small_grid(days: int = 120, *, feeders: int = 2, seed: int = 3) -> SimulatedGrid:
    """Return an hourly simulated grid of a few feeders (F01, F02, ...) that begins on 2020-01-01 UTC."""
    plan = GridPlan(
        seed=seed, feeders=feeders, start=FIRST, days=days, resolution=timedelta(hours=1), zone=ZONE, substations=0
    )
    return SimulatedGrid(plan)


def load_file(path: Path, frame: pl.DataFrame) -> Path:
    """Write samples as a table area, at (ISO 8601 UTC), load_mw, temperature_c; CSV, or Parquet by the suffix.

    Args:
        path: file to write.
        frame: samples in core.SAMPLE_SCHEMA, one revision each.
    """
    wide = frame.pivot(on="quantity", index=["area", "at"], values="value").sort("area", "at")
    wide = wide.filter(pl.col(LOAD).is_not_null())
    if path.suffix == ".parquet":
        wide.write_parquet(path)
    else:
        wide.with_columns(pl.col("at").dt.strftime("%Y-%m-%dT%H:%M:%SZ")).write_csv(path)
    return path


def empty_project(folder: Path, areas: Sequence[str] = ("F01", "F02"), settings: str = QUICK) -> Path:
    """Scaffold a project with short windows and these further settings (TOML tables); return its folder."""
    scaffold(folder, areas=areas, time_zone=ZONE, country="NL")
    file = folder / "recloser.toml"
    text = file.read_text(encoding="utf-8").replace("holdout_days = 56", SHORT)
    file.write_text(text + settings, encoding="utf-8")
    return folder


def small_project(folder: Path, *, days: int = 120, frame: pl.DataFrame | None = None, settings: str = QUICK) -> Path:
    """Make a project with the history of `small_grid` (or of `frame`) ingested, ready for `recloser run`.

    Args:
        folder: where to make it.
        days: length of the history.
        frame: other samples in core.SAMPLE_SCHEMA with load_mw and temperature_c.
        settings: further TOML tables.
    """
    samples = small_grid(days).frame() if frame is None else frame
    areas = samples.filter(pl.col("quantity") == LOAD)["area"].unique().sort().to_list()
    empty_project(folder, areas, settings)
    ingest_file(folder, load_file(folder / "history.parquet", samples), COLUMNS)
    return folder
