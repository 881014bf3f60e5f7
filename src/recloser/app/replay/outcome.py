"""Owns what a replay found out and its scores by month. Does not run the replay or write files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from recloser.core import TIME, FloatArray
from recloser.core.scores import score_table

DOUBTED: dict[str, Any] = {"area": pl.String, "at": TIME, "quality": pl.Int64}
"""Samples that are not usable: which, and their bits of `Quality`."""
LEVELS = (0.1, 0.5, 0.9)
OF_A_BAND = ("rcrps", "coverage80")
METRICS = ("mape", "wmape", "rcrps", "rmae", "coverage80", "bias_pct", "n")


@dataclass(frozen=True, slots=True)
class PolicyResult:
    """What one policy did in a replay.

    Attributes:
        name: 'never', 'weekly', 'monthly' or 'recloser'.
        forecasts: area, at, issued_at, q10, q50, q90 (MW) as valid when each interval began.
        signals, runs, rollouts, trips, acts: rows of CONTRACT.md.
        counts: figures for the summary table (trips, refusals, retrainings, false alarms, ...).
        timeline: (instant, sentence) in order, for people.
        cpu_s: CPU time that living through it took.
        incumbent: what was found out about operators' forecasts (`incumbent_document`); None without any.
        corrector: what the last champion's bias correctors did at the end (`corrector_document`); None without any.
        doubted: area, at, quality of the loads that its store holds as not usable at the end.
    """

    name: str
    forecasts: pl.DataFrame
    signals: list[dict[str, Any]] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)
    rollouts: list[dict[str, Any]] = field(default_factory=list)
    trips: list[dict[str, Any]] = field(default_factory=list)
    acts: list[dict[str, Any]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    timeline: list[tuple[datetime, str]] = field(default_factory=list)
    cpu_s: float = 0.0
    incumbent: dict[str, Any] | None = None
    corrector: dict[str, Any] | None = None
    doubted: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=DOUBTED))


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """All that a replay found out; `document` is the content of report.json.

    Attributes:
        document: JSON-ready, as CONTRACT.md says.
        timeline: (instant, sentence) of the main policy.
        scored: policy -> area, at, load_mw, q10, q50, q90.
        notes: sentences for the page.
        cpu_s: policy -> CPU time of living through it.
    """

    document: dict[str, Any]
    timeline: list[tuple[datetime, str]]
    scored: Mapping[str, pl.DataFrame]
    notes: Sequence[str] = ()
    cpu_s: Mapping[str, float] = field(default_factory=dict)


def never_served(result: PolicyResult) -> str | None:
    """Return why no model of a policy ever served, or None where one did."""
    if not result.forecasts.is_empty():
        return None
    if not result.runs:
        return "no run was started"
    last = result.runs[-1]
    if last["verdict"] != "pass":
        return f"the last run did not pass staging ({last['verdict']}): {last['reason']}"
    moves = [move for move in result.rollouts if move["release"] == last["candidate"]]
    if not moves:
        return f"{last['candidate']} passed staging, and no rollout of it was begun"
    return f"{last['candidate']} passed staging, then {moves[-1]['to'].replace('_', ' ')}: {moves[-1]['reason']}"


def scored_section(frame: pl.DataFrame, zone: ZoneInfo, *, point: bool = False) -> dict[str, Any]:
    """Score forecasts by local month and area.

    Args:
        frame: area, at, load_mw (null where unknown), q10, q50, q90 in MW.
        zone: months are local months.
        point: the forecast is a number, not a distribution: what scores a band is null.

    Returns:
        {"months": [...], "total": {...}, "by_area": {...}}; percentages in percent. In the total, rcrps and rmae are
        the means over areas, since each is scaled by its area's own range; the other metrics pool all rows.
    """
    dated = frame.with_columns(pl.col("at").dt.convert_time_zone(zone.key).dt.strftime("%Y-%m").alias("month"))
    months = [
        {"month": str(month), "area": str(area), **_score(rows, point=point)}
        for (month, area), rows in sorted(
            dated.group_by("month", "area"), key=lambda pair: (str(pair[0][0]), str(pair[0][1]))
        )
    ]
    by_area = {
        str(area): _score(rows, point=point)
        for (area,), rows in sorted(dated.group_by("area"), key=lambda pair: str(pair[0][0]))
    }
    total = _score(dated, point=point)
    for name in ("rcrps", "rmae"):
        known = [row[name] for row in by_area.values() if row[name] is not None]
        total[name] = float(np.mean(known)) if known else None
    return {"months": months, "total": total, "by_area": by_area}


def all_areas_by_month(frame: pl.DataFrame, zone: ZoneInfo) -> list[tuple[str, dict[str, Any]]]:
    """Return (local month, metrics pooled over all areas) in order."""
    dated = frame.with_columns(pl.col("at").dt.convert_time_zone(zone.key).dt.strftime("%Y-%m").alias("month"))
    return [
        (str(month), _score(rows))
        for (month,), rows in sorted(dated.group_by("month"), key=lambda pair: str(pair[0][0]))
    ]


def _score(rows: pl.DataFrame, *, point: bool = False) -> dict[str, Any]:
    truth = rows["load_mw"].fill_null(float("nan")).to_numpy().astype(float)
    forecast: FloatArray = rows.select("q10", "q50", "q90").fill_null(float("nan")).to_numpy().astype(float)
    table = score_table(truth, forecast, LEVELS)
    return {name: None if point and name in OF_A_BAND else table[name] for name in METRICS}
