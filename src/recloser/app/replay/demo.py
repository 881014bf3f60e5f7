"""Owns the demo: a simulated distribution area, what happens to it, and the story told at the end."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from recloser.app.clock import SystemClock
from recloser.app.processes.supervisor import run_up
from recloser.app.project.settings import Project, parse_project
from recloser.app.replay.answering import Answer
from recloser.app.replay.live_feed import over_a_socket
from recloser.app.replay.outcome import ReplayReport, all_areas_by_month
from recloser.app.replay.run import ReplayOptions, run_replay
from recloser.app.replay.scenario import Candidate, Scenario
from recloser.app.replay.telling.report import write_report
from recloser.app.replay.telling.shown import STAGES, missing, shown
from recloser.app.replay.telling.summary import counts_line, in_local_time, month_table, summary_table
from recloser.app.security.accounts import add_account, list_accounts, set_password
from recloser.core import Panel
from recloser.simulation import Fahrenheit, GridPlan, Lockdown, Scaled, SimulatedGrid, Stuck

START = datetime(2019, 1, 1, tzinfo=UTC)
DAYS = 731
ZONE = "Europe/Amsterdam"
FIRST_ISSUE = datetime(2019, 11, 25, tzinfo=UTC)
FIRST_HISTORY_DAYS = 120
UNWANTED = datetime(2020, 2, 10, 8, tzinfo=UTC)

VISITOR = "visitor"
"""Account of whoever looks at a demo's pages."""

SETTINGS = """
[horizon]
issue_time = "09:00"

[model]
history_days = 730
trees = 100
leaves = 31
learning_rate = 0.1
max_rows = 60000
calibration_days = 28
threads = 1
allow_code = true

[staging]
holdout_days = 56

[rollout]
shadow_days = 4
canary_steps = [["pilot", 4], [0.5, 4]]
probation_days = 7
promotion = "evidence"
margin = 0.10
deadline_days = 45

[triggers]
schedule = "never"
cooldown_days = 10
budget_per_90_days = 8

[registry]
kind = "folder"
"""


PEOPLE = {"shift_lead": "ann", "forecasting": "ben"}
APPROVAL = """
[rollout.approval]
before = ["traffic", "promotion"]
people = 2
required = ["shift_lead"]
"""


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """How the demo runs: folder for the report, seed, number of feeders, and a port to serve on afterwards or None.

    With `live` the loads come over a real socket before they are lived through.
    """

    out: Path
    seed: int = 7
    feeders: int = 24
    serve_port: int | None = None
    live: bool = False


def demo_project(grid: SimulatedGrid) -> tuple[Project, str]:
    """Return the demo's project and the text of its file."""
    groups = "\n".join(f"{name} = {json.dumps(list(members))}" for name, members in grid.topology.items())
    head = "\n".join(
        [
            "[project]",
            'name = "demo"',
            f"areas = {json.dumps(list(grid.areas))}",
            f'time_zone = "{ZONE}"',
            'country = "NL"',
            "resolution_minutes = 30",
        ]
    )
    pilot = grid.areas[: max(1, len(grid.areas) // 4)]
    people = "\n".join(f"{role} = {json.dumps([name])}" for role, name in PEOPLE.items())
    text = (
        f"{head}\n{SETTINGS}\n[rollout.cohorts]\npilot = {json.dumps(list(pilot))}\n"
        f"{APPROVAL}\n[rollout.approval.roles]\n{people}\n\n[monitoring.groups]\n{groups}\n"
    )
    return parse_project(text, "demo"), text


def demo_scenario(grid: SimulatedGrid, seed: int) -> Scenario:
    """Return what happens: telemetry faults, a lockdown, four candidates by API and what people say to them.

    Staging refuses one, people turn one down, one goes wrong in use; who is asked approves the others.
    """
    feeders = grid.areas
    wrong_unit = feeders[8 % len(feeders)]
    day = timedelta(days=1)
    spring = datetime(2020, 3, 9, tzinfo=UTC)
    creeping = datetime(2020, 9, 21, tzinfo=UTC)
    return Scenario(
        events=(
            Stuck(
                areas=(feeders[3 % len(feeders)],),
                start=datetime(2020, 1, 14, 7, tzinfo=UTC),
                end=datetime(2020, 1, 17, 12, tzinfo=UTC),
            ),
            Scaled(
                areas=(wrong_unit,),
                start=datetime(2020, 2, 4, 10, tzinfo=UTC),
                end=datetime(2020, 2, 6, 15, tzinfo=UTC),
            ),
            Fahrenheit(areas=(), start=datetime(2020, 7, 14, tzinfo=UTC), end=datetime(2020, 7, 16, tzinfo=UTC)),
            Lockdown(start=spring, zone=ZONE),
        ),
        candidates=(
            Candidate(datetime(2020, 1, 7, 8, tzinfo=UTC), "a full year of data, winter included"),
            Candidate(datetime(2019, 12, 16, 8, tzinfo=UTC), "trained on an unchecked export", "corrupted"),
            Candidate(creeping - 9 * day, "a vendor's model with an adaptive gain", "creeping"),
            Candidate(UNWANTED, "the same recipe on newer data"),
        ),
        answers=(
            Answer(
                "ben",
                f"{wrong_unit} reported kW as MW while it learned; train again without those days",
                reject=True,
                about="newer data",
                after=timedelta(hours=3),
            ),
            Answer("ann", "read the evidence; no work on the feeders planned", after=timedelta(hours=2)),
            Answer("ben", "the error by hour and day looks right", after=timedelta(hours=5)),
        ),
        creeping=(creeping, 6.0),
        first_history_days=FIRST_HISTORY_DAYS,
        seed=seed,
        notes=(
            "A simulated distribution area: all synthetic, calibrated to the ranges of real load.",
            f"The first model, which 'never retrained' keeps, knew {FIRST_HISTORY_DAYS} days, as when a feed is new.",
            "Promotion needs evidence that the candidate is less than 10 % worse; undecided after 45 days rolls back.",
        ),
    )


def run_demo(options: DemoOptions, say: Callable[[str], None]) -> dict[str, Any]:
    """Live through two years and tell the story.

    Returns:
        {"story", "report_json", "report_html", "counts", "shown", "wall_s"}.
    """
    say(f"simulating {options.feeders} feeders, half-hourly, two years (seed {options.seed})")
    grid = SimulatedGrid(GridPlan(seed=options.seed, feeders=options.feeders, start=START, days=DAYS, zone=ZONE))
    frame = grid.frame()
    if options.live:
        spool = options.out / "spool"
        shutil.rmtree(spool, ignore_errors=True)  # of an earlier demo, told already
        frame = over_a_socket(frame, spool, SystemClock(), say)
    project, text = demo_project(grid)
    scenario = demo_scenario(grid, options.seed)
    latest = frame["available_at"].max()
    assert isinstance(latest, datetime)
    end = START + timedelta(days=DAYS - 2)
    window = ReplayOptions(FIRST_ISSUE, end, ("recloser", "never"), None, options.out)
    report = run_replay(project, (text, None), Panel(frame, project.resolution, latest), scenario, window, say)
    json_path, html_path = write_report(report, options.out, project.zone, "Recloser demo: a year of a simulated grid")
    result = {
        "story": story(report, project, html_path),
        "report_json": str(json_path),
        "report_html": str(html_path),
        "counts": report.document["policies"]["recloser"]["counts"],
        "shown": shown(report.document["policies"]["recloser"], project.zone),
        "wall_s": report.document["wall_s"],
    }
    if options.serve_port is not None:
        say(str(result["story"]))
        say(visitor(options.out / "work" / "recloser"))
        run_up(options.out / "work" / "recloser", host=None, port=options.serve_port, say=say, at=end)
    return result


def visitor(folder: Path) -> str:
    """Give the demo's project an account for whoever looks at it; return the sentence that says how to sign in."""
    known = {row["name"] for row in list_accounts(folder)["accounts"]}
    if VISITOR in known:
        made = set_password(folder, name=VISITOR)
    else:
        made = add_account(folder, name=VISITOR, roles=("operator", "engineer", "approver"))
    return f"Sign in to the pages as {VISITOR} with the password {made['password']}"


def story(report: ReplayReport, project: Project, page: Path) -> str:
    """Return timeline and tables as text for a terminal."""
    zone = project.zone
    lines = ["", "What happened (local time)", "-" * 26]
    lines += [
        f"{instant.astimezone(zone):%Y-%m-%d %H:%M}  {in_local_time(sentence, zone)}"
        for instant, sentence in report.timeline
    ]
    by_month = {name: all_areas_by_month(frame, zone) for name, frame in report.scored.items()}
    lines += ["", "Error by month", "-" * 14, month_table(by_month)]
    lines += ["", "In all", "-" * 6, summary_table(report.document)]
    lived = report.document["policies"]["recloser"]
    told = shown(lived, zone) | missing(lived)
    lines += ["", "Shown", "-" * 5, *(f"{name:<10}{told[name]}" for name in STAGES if name in told)]
    counts = lived["counts"]
    lines += ["", f"The loop: {counts_line(counts)}."]
    lines += [f"Took {report.document['wall_s']:.0f} s, {report.document['cpu_s']:.0f} CPU s.", ""]
    lines += [f"The same with plots: {page} (open it in any browser: xdg-open {page})", ""]
    return "\n".join(lines)
