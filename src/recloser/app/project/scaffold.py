"""Owns the files that `recloser init` writes. Does not touch an existing project."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from recloser.app.project.files import replace_file
from recloser.app.project.settings import FILE_NAME, parse_project
from recloser.core import InvalidInput
from recloser.features.calendar import holiday_dates

PIPELINE = '''"""The pipeline of this project, in plain Python: change what you need, delete what you do not.

`recloser` calls these three functions; without this file it uses the same defaults.
"""

from recloser.features import FeatureSet
from recloser.models import Model, TrainingPlan, train_lightgbm
from recloser.pipelines import Pipeline, candidate_pipeline


def build_features(standard: FeatureSet) -> FeatureSet:
    """Return the features of this project; `standard` holds lags, weather, calendar and holidays."""
    return standard


def train(rows, feature_names: tuple[str, ...], plan: TrainingPlan) -> Model:
    """Return a model trained on `rows` (one per area, issue and target; truth in `load_mw`, scale in `scale_mw`)."""
    return train_lightgbm(rows, feature_names, plan)


def build_pipeline() -> Pipeline:
    """Return the steps from data to a judged candidate."""
    return candidate_pipeline()
'''

TEMPLATE = """# Recloser project. Every key has a default but those of [project]; a misspelt key is an error.

[project]
name = {name}
areas = {areas}
time_zone = {time_zone}
{holidays}{resolution}

[data]              # how `recloser ingest` reads your files; flags win over this
# time = "utc"      # column with the time stamp
# load = "load"     # column with the load
load_unit = "MW"
# area = "area"     # column that names the area, or "=NAME"
# temperature = "temperature"      # forecast, or actual used as forecast (say which in your reports)
# incumbent = "forecast"           # the operator's own day-ahead forecast
time_zone = "UTC"   # of stamps without an offset
stamp = "start"     # a stamp marks the start or the end of its interval

[horizon]
issue_time = "09:00"   # local; the forecast is for the next local day
days = 1

[staging]
holdout_days = 56

[rollout]
shadow_days = 7
canary_steps = [[0.25, 7], [0.5, 7]]   # share of areas, minimum days
promotion = "evidence"                 # or "no_evidence_of_harm", the weaker policy

[triggers]
schedule = "monthly"   # never, weekly, monthly
on_drift = true
"""


def country_of(time_zone: str) -> str | None:
    """Return the country whose only zone table entry this is and whose public holidays are known, else None."""
    table = (files("tzdata") / "zoneinfo" / "zone.tab").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in table.splitlines() if line and not line.startswith("#")]
    codes = {row[0] for row in rows if row[2] == time_zone}
    if len(codes) != 1:
        return None
    try:
        holiday_dates(*codes, None, 2024)
    except InvalidInput:
        return None
    return codes.pop()


def scaffold(
    folder: Path,
    *,
    areas: Sequence[str],
    time_zone: str,
    country: str | None = None,
    subdivision: str | None = None,
    resolution_minutes: int | None = None,
) -> dict[str, Any]:
    """Write recloser.toml and pipeline.py into `folder`.

    Returns:
        {"folder", "written": [paths], "next_step"}.

    Raises:
        InvalidInput: a project is already there, or a value is not valid (unknown zone, no area, ...).
    """
    target = folder / FILE_NAME
    if target.exists():
        raise InvalidInput("a project is already here", where=str(target), next_step="Choose another folder.")
    told = country or (None if subdivision else country_of(time_zone))
    region = (("country", told), ("subdivision", subdivision))
    holidays = "".join(f"{key} = {json.dumps(value)}\n" for key, value in region if value)
    if told and not country:
        holidays = holidays.replace("\n", "   # of the time zone, for public holidays; a subdivision may be added\n", 1)
    text = TEMPLATE.format(
        name=json.dumps(folder.resolve().name, ensure_ascii=False),
        areas=json.dumps(list(areas), ensure_ascii=False),
        time_zone=json.dumps(time_zone),
        holidays=holidays,
        resolution="# resolution_minutes = 60   # length of an interval; taken from the first file that is ingested"
        if resolution_minutes is None
        else f"resolution_minutes = {resolution_minutes}",
    )
    parse_project(text, str(target))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        written = [replace_file(target, text.encode())]
        if not (folder / "pipeline.py").exists():
            written.append(replace_file(folder / "pipeline.py", PIPELINE.encode()))
    except OSError as error:
        raise InvalidInput("cannot write the project", got=str(error), where=str(folder)) from error
    return {
        "folder": str(folder),
        "written": [str(path) for path in written],
        "next_step": f"Next: recloser ingest FILE.csv --project {folder} --area =NAME --time COL --load COL",
    }
