"""EIA: hourly load of five areas without weather, 2018, beside weekly naive and the operators' own forecasts."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
from data import eia
from ours import run_ours
from protocol import Costs, Q, Schedule, answered, show, table_row

from recloser.core import Horizon, Panel
from recloser.features import FeatureSet, attach_truth
from recloser.models import SeasonalNaive

ZONES = {
    "America/New_York": ("PJM", "NYIS"),
    "America/Chicago": ("MISO", "TVA"),
    "America/Los_Angeles": ("BPAT",),
}
LOW, HIGH = 0.4, 2.0


def run_eia(year: int = 2018) -> None:
    """Print the tables for every day of the year; the issue of 31 December of the year before is the first."""
    panel = eia()
    table: list[dict[str, object]] = []
    costs, answered_days = Costs(), 0
    for zone, areas in ZONES.items():
        own = Panel(panel.frame.filter(pl.col("area").is_in(areas)), panel.resolution, panel.as_of)
        rows, mine = _zone(own, ZoneInfo(zone), year, table)
        costs.fit, costs.fits = costs.fit + mine.fit, costs.fits + mine.fits
        answered_days += rows
    cleaned = (
        f"operator, as is: no cleaning; operator, cleaned: hours outside {LOW} to {HIGH} times the area's mean of "
        "the last 28 days are left out, and the last row of an area is ours on the same hours"
    )
    notes = [
        "one model per time zone, refit each quarter on up to 730 days of OKAY rows; truth: OKAY rows only",
        cleaned,
        f"fit CPU of all {costs.fits} fits {costs.fit:.1f} s; {answered_days} rows answered",
        "the operators know tomorrow's weather; our rows do not",
    ]
    show(f"EIA {year}, every day, hourly, no weather", table, notes)


def _zone(panel: Panel, zone: ZoneInfo, year: int, table: list[dict[str, object]]) -> tuple[int, Costs]:
    horizon = Horizon(zone, timedelta(hours=1))
    eve = [date(year - 1, 9, 30), date(year - 1, 12, 31), *(date(year, m, d) for m, d in ((3, 31), (6, 30), (9, 30)))]
    starts = tuple(horizon.issue_on(day) for day in [*eve, date(year, 12, 31)])
    schedule = Schedule(horizon, starts, timedelta(days=730))
    features = FeatureSet.standard(horizon, "US", weather=False)
    issues = list(horizon.issues(datetime(2015, 8, 15, tzinfo=UTC), starts[-1]))
    rows = attach_truth(features.compute(panel, issues), panel)
    final, _raw, costs = run_ours(schedule, features, rows, panel, set())
    naive = SeasonalNaive.of(features.names).fitted(schedule.training(rows, starts[1]))
    for (area,), mine in final.filter(pl.col("issued_at") >= starts[1]).group_by(["area"], maintain_order=True):
        weekly = rows.filter((pl.col("area") == area) & (pl.col("issued_at") >= starts[1]))
        table.extend(_area_rows(str(area), mine, answered(weekly, naive.predict(weekly))))
    return final.height, costs


def _area_rows(area: str, ours: pl.DataFrame, weekly: pl.DataFrame) -> list[dict[str, object]]:
    operator = ours.with_columns(pl.col("incumbent_mw").fill_null(float("nan")).alias(name) for name in Q)
    sane = (pl.col("incumbent_mw") > LOW * pl.col("scale_mw")) & (pl.col("incumbent_mw") < HIGH * pl.col("scale_mw"))
    result = [
        table_row(f"{area} recloser", ours),
        table_row(f"{area} weekly naive", weekly),
        table_row(f"{area} operator, as is", operator),
        table_row(f"{area} operator, cleaned", operator.filter(sane)),
        table_row(f"{area} recloser, those hours", ours.filter(sane)),
    ]
    for row in result[2:4]:
        row["coverage80"] = None
        row["rcrps"] = None
    return result
