"""Owns the files of a project that detects events in phasors: `recloser init --template pmu`. Runs nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recloser.app.project.files import replace_file
from recloser.app.project.settings import FILE_NAME, parse_project
from recloser.app.project.tables.events import KINDS
from recloser.core import InvalidInput

TEMPLATE = """# Recloser project that detects events in phasors. A misspelt key is an error.

[project]
name = {name}
areas = {kinds}   # kinds of event
time_zone = {time_zone}
resolution_minutes = 1   # of series that the links make

[events]
device = "pdc"            # of [[links.devices]] below
nominal_hz = 50
window_seconds = 10.0
step_seconds = 1.0
# rated_kv = 110.0        # line to ground; without it a voltage is told per unit of its own median
train_scenes = 40         # simulated scenes of each kind to learn from; no licensed set of real events is public
begin_windows = 3         # windows in a row above the threshold that begin an event
drills_per_day = 12       # simulated events of each kind laid over live windows every day: evidence for canaries

[[links.devices]]
name = "pdc"
protocol = "c37118"
host = "127.0.0.1"
port = 4712
idcode = 7
points = "points/pdc.csv"

[rollout]
shadow_days = 2
canary_steps = [[0.4, 3], [0.7, 3]]    # share of kinds, minimum days
probation_days = 7
promotion = "no_evidence_of_harm"      # or "evidence": events are rare, and it takes weeks
harmless_days = 7

[triggers]
schedule = "never"   # weekly, monthly: worth it once own windows are labelled
on_drift = false
"""


def scaffold_events(folder: Path, *, kinds: Sequence[str], time_zone: str) -> dict[str, Any]:
    """Write recloser.toml of a project that detects events.

    Args:
        folder: where to.
        kinds: kinds of event; empty for all that can be simulated.
        time_zone: IANA name.

    Returns:
        {"folder", "written": [paths], "next_step"}.

    Raises:
        InvalidInput: a project is already there, an unknown zone, or a kind that cannot be simulated.
    """
    target = folder / FILE_NAME
    if target.exists():
        raise InvalidInput("a project is already here", where=str(target), next_step="Choose another folder.")
    text = TEMPLATE.format(
        name=json.dumps(folder.resolve().name, ensure_ascii=False),
        kinds=json.dumps(list(kinds or KINDS)),
        time_zone=json.dumps(time_zone),
    )
    parse_project(text, str(target))
    try:
        (folder / "points").mkdir(parents=True, exist_ok=True)
        written = [replace_file(target, text.encode())]
    except OSError as error:
        raise InvalidInput("cannot write the project", got=str(error), where=str(folder)) from error
    return {
        "folder": str(folder),
        "written": [str(path) for path in written],
        "next_step": f"Next: recloser run --project {folder}",
    }
