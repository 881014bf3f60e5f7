"""What is wrong with the operators' forecasts, by the product's own signals: `python benchmarks/drift/incumbent.py`.

Reads the five US areas as they are, watches the operators' day-ahead forecasts as if they were a model in service and
prints what the data checks, the stamp test, the drift detector and the naive floor say, month by month. `--data DIR`.
"""

from __future__ import annotations

import argparse
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import polars as pl
from faults import DAY, HOUR, _samples
from streams import ZONES, by_day, us_holidays

from recloser.core import Panel
from recloser.monitoring import CheckPlan, Finding, check_data, reconcile
from recloser.monitoring.detectors import ChannelDetector, day_errors
from recloser.monitoring.detectors.stamps import StampLimits, stamp_matches, stamp_shift

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
LEARNT_UNTIL = date(2016, 7, 1)


def main() -> None:
    """Print what was found, area by area."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--data", type=Path, default=DATA)
    asked = parser.parse_args()
    path = asked.data / "eia930_load_dayahead_5areas_2015_2018.parquet"
    if not path.exists():
        print(f"skipped: {path.name} is not there")
        return
    raw = pl.read_parquet(path).with_columns(pl.col("ba").cast(pl.String), at=pl.col("utc_hour_ending") - HOUR)
    for area, zone in ZONES.items():
        own = raw.filter(pl.col("ba") == area)
        print(f"\n## {area}")
        for feed, column in (("load", "demand_mw"), ("operator's forecast", "forecast_da_mw")):
            for finding in faults(own, column, zone):
                span = f"{finding.start:%Y-%m-%d %H:%M} to {finding.end:%Y-%m-%d %H:%M}"
                print(f"- {feed}: {finding.kind} ({finding.confidence}), {span}")
        for line in relation(own, zone):
            print(f"- {line}")


def faults(own: pl.DataFrame, column: str, zone: str) -> list[Finding]:
    """Return the faults of one feed as daily checks over its history find them, each once."""
    frame = _samples(own, "A", pl.col("at"), column, HOUR)
    first, last = own["at"].min(), own["at"].max()
    assert isinstance(first, datetime)
    assert isinstance(last, datetime)
    now = first.astimezone(UTC).replace(hour=12) + 20 * DAY
    known: list[Finding] = []
    told: list[Finding] = []
    while now < last:
        near = frame.filter((pl.col("at") >= now - 36 * DAY) & (pl.col("available_at") <= now))
        seen = check_data(Panel(near, HOUR, now), now, CheckPlan(zone=zone, areas=("A",)))
        change = reconcile(known, seen)
        told += [f for f in change.closed if not any(f.same_as(t) for t in told)]
        told += [f for f in change.opened if not f.active and not any(f.same_as(t) for t in told)]
        known = [f for f in (*change.lasting, *change.opened) if f.active]
        now += DAY
    return sorted([*told, *known], key=lambda f: f.start)


def relation(own: pl.DataFrame, zone: str) -> list[str]:
    """Return what the detector, the stamp test and the naive floor say, from half a year of history on."""
    okay = own.with_columns(load=pl.when(pl.col("category").cast(pl.String) == "OKAY").then("demand_mw"))
    days, load = by_day(okay.select("at", "load"), zone, "load")
    begin, given = by_day(own.select("at", "forecast_da_mw"), zone, "forecast_da_mw")
    forecast = np.full(load.shape, np.nan)
    first = (begin[0] - days[0]).days
    forecast[max(0, first) : first + len(given)] = given[max(0, -first) : len(days) - first]
    level = float(np.nanmean(load))
    wrong = np.abs(np.log(np.maximum(forecast, 1.0) / level)) > 1.2
    lines = []
    if wrong.any():
        bad = sorted({days[k].isoformat() for k in np.flatnonzero(wrong.any(axis=1))})
        lines.append(f"forecast beyond any sense in {int(wrong.sum())} hours of {len(bad)} days: {', '.join(bad[:6])}")
    errors = np.where(wrong, np.nan, (load - forecast) / level)
    off = us_holidays(range(2015, 2020))
    cut = (LEARNT_UNTIL - days[0]).days
    history = day_errors(days[:cut], errors[:cut], off)
    monitor = ChannelDetector().fit(history)
    for day in day_errors(days[cut:], errors[cut:], off):
        monitor, change = monitor.step(day)
        if change is not None:
            size = "" if np.isnan(change.change) else f", {change.change:+.1%}"
            lines.append(f"drift: {change.channel} {change.direction}{size}, since {change.since}, said {change.day}")
    matches = stamp_matches(load, forecast)
    known = matches[:cut][np.isfinite(matches[:cut, 0, 0])]
    last = -99
    for k in range(cut, len(days)):
        hours = stamp_shift(known, matches[: k + 1], StampLimits())
        if hours and k - last > 3:
            lines.append(f"stamps {'late' if hours > 0 else 'early'} by an hour against the forecast, {days[k]}")
        last = k if hours else last
    return lines + _skill(days, load, errors, level)


def _skill(days: list[date], load: np.ndarray, errors: np.ndarray, level: float) -> list[str]:
    naive = np.full(load.shape, np.nan)
    naive[7:] = (load[7:] - load[:-7]) / level
    lines = []
    months = np.array([day.year * 12 + day.month - 1 for day in days])
    for month in np.unique(months):
        rows = months == month
        both = rows[:, None] & np.isfinite(errors) & np.isfinite(naive)
        if both.sum() < 200:
            continue
        own, floor = float(np.abs(errors[both]).mean()), float(np.abs(naive[both]).mean())
        bias = float(errors[both].mean())
        if own > 0.8 * floor or abs(bias) > 0.03:
            text = f"{month // 12}-{month % 12 + 1:02d}"
            lines.append(f"{text}: error {own:.1%}, naive floor {floor:.1%}, load over forecast {bias:+.1%}")
    return lines


if __name__ == "__main__":
    main()
