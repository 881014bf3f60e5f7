"""Owns the replay: recorded history through the whole loop in virtual time, one scratch project per policy."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from recloser import __version__
from recloser.app.platform import Platform
from recloser.app.project.settings import FILE_NAME, Project
from recloser.app.replay.happening import Surroundings
from recloser.app.replay.living import Task, live_all, write_recorded
from recloser.app.replay.outcome import PolicyResult, ReplayReport, never_served, scored_section
from recloser.app.replay.policies.comparing import human_actions
from recloser.app.replay.scenario import Scenario, load_scenario, must_fit
from recloser.app.replay.scoring import (
    AHEAD,
    common_rows,
    faults_of_its_own,
    incumbent_frame,
    left_out_section,
    on_rows,
    truth_frame,
)
from recloser.app.replay.telling.report import write_report
from recloser.app.replay.telling.summary import summary_table
from recloser.core import LOAD, InvalidInput, Panel, VirtualClock, format_utc
from recloser.features.calendar import holiday_dates
from recloser.models import SeasonalNaive
from recloser.monitoring.accuracy import accuracy_detail
from recloser.simulation import apply

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """What to replay.

    Attributes:
        start, end: first instant and end (exclusive, aware UTC).
        policies: never, weekly, monthly, recloser.
        scenario: TOML file with events and bad candidates, or None.
        out: folder for the report.
    """

    start: datetime
    end: datetime
    policies: tuple[str, ...]
    scenario: Path | None
    out: Path


def replay_project(folder: Path, options: ReplayOptions, say: Say) -> dict[str, Any]:
    """Replay a project's recorded history; the project itself is only read.

    Returns:
        {"report_json", "report_html", "table", "totals", "never_served"}.

    Raises:
        InvalidInput: no data, an empty window, an unreadable scenario, or one that the project cannot live through.
    """
    with Platform.open(folder) as platform:
        _require_window(platform, options)
        panel = platform.store.read(list(platform.watched), as_of=options.end + timedelta(days=10))
        text = (folder / FILE_NAME).read_text(encoding="utf-8")
        pipeline = platform.layout.pipeline_file
        code = pipeline.read_text(encoding="utf-8") if pipeline.exists() else None
        project = platform.project
    scenario = Scenario()
    if options.scenario is not None:
        around = Surroundings(platform.watched, panel.frame["quantity"].unique().sort().to_list(), project.zone.key)
        scenario = load_scenario(options.scenario, platform.watched, around)
        must_fit(scenario, options.scenario, panel.frame, (options.start, options.end))
    if any(candidate.sabotage == "creeping" for candidate in scenario.candidates) and not project.model.allow_code:
        raise InvalidInput(
            "a creeping candidate is a model with code of its own, which this project does not open",
            where=str(options.scenario),
            next_step=f"Set allow_code = true under [model] in {FILE_NAME}, or leave the candidate out.",
        )
    report = run_replay(project, (text, code), panel, scenario, options, say)
    return finish(report, options.out, project, f"Replay of {project.project.name}", say)


def _require_window(platform: Platform, options: ReplayOptions) -> None:
    """Raise InvalidInput where the recorded history does not hold what is to be replayed."""
    extent = platform.store.extent(LOAD)
    if extent is None:
        raise InvalidInput(
            "no load data to replay", where=str(platform.layout.root), next_step="Run: recloser ingest FILE ..."
        )
    if options.start >= options.end:
        raise InvalidInput("an empty replay", got=f"{format_utc(options.start)} .. {format_utc(options.end)}")
    if options.start < extent[0] + timedelta(days=60):
        raise InvalidInput(
            "the replay starts before there is enough history to train on",
            got=format_utc(options.start),
            expected=f">= {format_utc(extent[0] + timedelta(days=60))}",
            where="--from",
        )
    if options.start > extent[1]:
        raise InvalidInput(
            "the replay starts after the recorded history ends",
            got=format_utc(options.start),
            expected=f"<= {format_utc(extent[1])}",
            where="--from",
        )
    if options.end > extent[1] + AHEAD:
        raise InvalidInput(
            "the replay ends long after the recorded history does",
            got=format_utc(options.end),
            expected=f"<= {format_utc(extent[1] + AHEAD)}",
            where="--to",
        )
    if next(platform.horizon.issues(options.start, options.end), None) is None:
        raise InvalidInput(
            "no forecast is issued in this window",
            got=f"{format_utc(options.start)} .. {format_utc(options.end)}",
            expected=f"at least one local {platform.horizon.issue_time:%H:%M}",
            where="--from, --to",
        )


def finish(report: ReplayReport, out: Path, project: Project, title: str, say: Say) -> dict[str, Any]:
    """Write both files and return where they are, with the table for people."""
    json_path, html_path = write_report(report, out, project.zone, title)
    say(f"wrote {json_path} and {html_path}")
    policies = report.document["policies"]
    totals = {name: policy["total"] for name, policy in policies.items()}
    return {
        "report_json": str(json_path),
        "report_html": str(html_path),
        "table": summary_table(report.document),
        "never_served": {name: one["never_served"] for name, one in policies.items() if one["never_served"]},
        "totals": totals | {"naive": report.document["naive"]["total"]},
    }


def run_replay(
    project: Project,
    files: tuple[str, str | None],
    panel: Panel,
    scenario: Scenario,
    options: ReplayOptions,
    say: Say,
) -> ReplayReport:
    """Run every policy on the panel and score it against what really happened.

    Args:
        project: settings.
        files: texts of recloser.toml and pipeline.py (or None).
        panel: all recorded revisions; the scenario's events are applied to a copy.
        scenario: events, bad candidates, seed.
        options: window and policies.
        say: told of progress.
    """
    began, cpu = time.perf_counter(), _cpu_s()
    frame = apply(panel.frame, scenario.events) if scenario.events else panel.frame
    recorded = Panel(frame, panel.resolution, max(panel.as_of, _latest(frame, panel.as_of)))
    work = options.out / "work"
    work.mkdir(parents=True, exist_ok=True)
    write_recorded(work, recorded)
    task = Task(work, files, scenario, options.start, options.end)
    results = live_all(task, options.policies, say)
    with Platform.open(work / options.policies[0], clock=VirtualClock(options.end), isolated=True) as platform:
        naive = naive_forecasts(platform, options)
    real = _with_drifts(panel, scenario) if scenario.events else recorded
    document: dict[str, Any] = {
        "from": options.start,
        "to": options.end,
        "areas": list(project.project.areas),
        "policies": {},
        "seed": scenario.seed,
        "version": __version__,
    }
    window = options.start, options.end
    forecasts, truth = [*(result.forecasts for result in results.values()), naive], truth_frame(real, window)
    faults = faults_of_its_own([result.doubted for result in results.values()], real, recorded)
    keys = common_rows(forecasts)
    document["left_out"] = left_out_section(faults, keys, truth)
    scored: dict[str, pl.DataFrame] = {}
    common = on_rows(keys, truth, faults)
    for name, result in results.items():
        scored[name] = common(result.forecasts)
        told = {"accuracy": detail_of(scored[name], result, project), "never_served": never_served(result)}
        document["policies"][name] = scored_section(scored[name], project.zone) | lived_section(result, project) | told
    scored["naive"] = common(naive)
    document["naive"] = scored_section(scored["naive"], project.zone)
    main = results.get("recloser") or next(iter(results.values()))
    incumbent = incumbent_frame(panel, window)
    if incumbent is not None:
        scored["incumbent"] = common(incumbent)
        document["incumbent"] = scored_section(scored["incumbent"], project.zone, point=True) | (main.incumbent or {})
    document["wall_s"] = round(time.perf_counter() - began, 1)
    spent = {name: result.cpu_s for name, result in results.items()}
    document["cpu_s"] = round(max(_cpu_s() - cpu, sum(spent.values())), 1)  # what was lived before a restart counts too
    return ReplayReport(document, main.timeline, scored, scenario.notes, spent)


def _with_drifts(panel: Panel, scenario: Scenario) -> Panel:
    """Return what the load really was: the scenario's drifts are true, its faults are not."""
    return Panel(apply(panel.frame, scenario.drifts()), panel.resolution, panel.as_of)


def lived_section(result: PolicyResult, project: Project) -> dict[str, Any]:
    """Return what a policy lived through, as report.json tells it."""
    lived = {name: getattr(result, name) for name in ("signals", "runs", "rollouts", "trips", "acts")}
    told = {**result.counts, "human_actions": human_actions(result, project)}
    return {**lived, "counts": told, "corrector": result.corrector}


def detail_of(scored: pl.DataFrame, result: PolicyResult, project: Project) -> dict[str, Any]:
    """Return a policy's accuracy by area, lead time, kind of day and hour; each area's scale is its mean load."""
    issued = result.forecasts.select("area", "at", "issued_at")
    rows = scored.join(issued, on=["area", "at"], how="left", maintain_order="left")
    rows = rows.with_columns(truth_mw=pl.col(LOAD), scale_mw=pl.col(LOAD).abs().mean().over("area"))
    region = project.project.country, project.project.subdivision
    years = range(rows["at"].dt.year().min() or 0, (rows["at"].dt.year().max() or -1) + 1)  # type: ignore[operator,arg-type]
    holidays = frozenset(
        day for year in years for day in (() if region[0] is None else holiday_dates(region[0], region[1], year))
    )
    return accuracy_detail(rows, {0.1: "q10", 0.5: "q50", 0.9: "q90"}, project.zone.key, holidays)


def naive_forecasts(platform: Platform, options: ReplayOptions) -> pl.DataFrame:
    """Return the seasonal naive's forecasts of every issue of the window, spread learned before it."""
    features, horizon = platform.features, platform.horizon
    issues = list(horizon.issues(options.start, options.end))
    before = list(horizon.issues(options.start - timedelta(days=90), options.start - timedelta(days=2)))
    panel = platform.store.read(list(platform.areas), as_of=issues[-1])
    from_start = Panel(
        panel.frame.filter(pl.col("at") >= before[0] - features.memory - timedelta(days=2)),
        panel.resolution,
        panel.as_of,
    )
    rows = features.compute(from_start, [*before, *issues], platform.areas)
    truth = truth_frame(panel, (before[0], options.start))
    past = rows.filter(pl.col("issued_at") < options.start).join(truth, on=["area", "at"], how="left")
    model = SeasonalNaive.of(features.names).fitted(past.filter(pl.col(LOAD).is_not_null()))
    ahead = rows.filter(pl.col("issued_at") >= options.start)
    return with_quantiles(ahead.select("area", "at", "issued_at"), model.predict(ahead))


def with_quantiles(keys: pl.DataFrame, answer: Any) -> pl.DataFrame:
    """Return keys with columns q10, q50, q90 in MW."""
    return keys.with_columns(
        **{name: pl.Series(np.ascontiguousarray(answer[:, k])) for k, name in enumerate(("q10", "q50", "q90"))}
    )


def _cpu_s() -> float:
    usages = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _latest(frame: pl.DataFrame, otherwise: datetime) -> datetime:
    latest = frame["available_at"].max()
    return latest if isinstance(latest, datetime) else otherwise
