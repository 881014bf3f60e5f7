"""Owns the faults put into real load, what the data checks say of them, and what is called what. Finds none itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import holidays
import numpy as np
import polars as pl
from scoring import wilson
from streams import ZONES, by_day

from recloser.core import LOAD, SAMPLE_SCHEMA, Panel
from recloser.monitoring import CheckPlan, Finding, check_data
from recloser.monitoring.detectors import ChannelDetector, day_errors
from recloser.simulation import Event, Gap, LevelDrift, Lockdown, Scaled, StampShift, Stuck, apply

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
FOREVER = 40 * DAY
SEED = 20
FAULTS: dict[str, tuple[Callable[[datetime, int], Event], tuple[timedelta, ...]]] = {
    "missing": (lambda at, k: Gap((), at, at + FOREVER), (3 * HOUR,)),
    "stuck": (lambda at, k: Stuck((), at, at + FOREVER), (3 * HOUR,)),
    "unit": (lambda at, k: Scaled((), at, at + FOREVER, factor=(1000.0, 0.001)[k % 2]), (3 * HOUR,)),
    "shift": (lambda at, k: StampShift((), at, at + FOREVER, hours=(1, -1)[k % 2]), (2 * DAY, 3 * DAY, 5 * DAY)),
}


def feeds(data: Path) -> list[tuple[str, pl.DataFrame, timedelta, str]]:
    """Return (name, samples, resolution, zone) of real loads: five US areas, Victoria, the Dutch substations."""
    raw = pl.read_parquet(data / "eia930_load_dayahead_5areas_2015_2018.parquet")
    found = []
    for area, zone in ZONES.items():
        own = raw.filter((pl.col("ba").cast(pl.String) == area) & (pl.col("category").cast(pl.String) == "OKAY"))
        found.append((area, _samples(own, area, pl.col("utc_hour_ending") - HOUR, "demand_mw", HOUR), HOUR, zone))
    vic = pl.read_parquet(data / "vic_elec_2012_2014.parquet")
    half = timedelta(minutes=30)
    found.append(("VIC", _samples(vic, "VIC", pl.col("utc"), "demand_mwh_per_30min", half), half, "Australia/Melbourne"))
    dutch = pl.read_parquet(data / "substations_15min_2021.parquet")
    quarter = timedelta(minutes=15)
    for name in sorted(dutch["station"].cast(pl.String).unique()):
        own = dutch.filter(pl.col("station").cast(pl.String) == name)
        if own["net_load_mw"].n_unique() > 100:  # one station is a dead channel
            rows = _samples(own, name, pl.col("utc") - quarter, "net_load_mw", quarter)
            found.append((name, rows, quarter, "Europe/Amsterdam"))
    return found


def _samples(rows: pl.DataFrame, area: str, at: pl.Expr, value: str, step: timedelta) -> pl.DataFrame:
    made = rows.select(
        area=pl.lit(area),
        quantity=pl.lit(LOAD),
        at=at,
        available_at=at + step + timedelta(minutes=30),
        value=pl.col(value).cast(pl.Float64),
        quality=pl.lit(0, pl.Int32),
        source=pl.lit("file"),
    )
    return made.drop_nulls("value").select(list(SAMPLE_SCHEMA)).sort("at")


def seen(frame: pl.DataFrame, now: datetime, resolution: timedelta, zone: str) -> list[Finding]:
    """Return what the checks find as of `now` in one feed."""
    near = frame.filter((pl.col("at") >= now - 36 * DAY) & (pl.col("available_at") <= now))
    return check_data(Panel(near, resolution, now), now, CheckPlan(zone=zone))


def starts(frame: pl.DataFrame, count: int) -> Iterator[datetime]:
    """Yield instants drawn once and for all, 40 days from either end, at full hours."""
    rng = np.random.default_rng(SEED)
    first, last = frame["at"].min(), frame["at"].max()
    assert isinstance(first, datetime)
    assert isinstance(last, datetime)
    hours = int((last - first) / HOUR) - 2 * 40 * 24
    for hour in sorted(rng.choice(max(hours, count), size=count, replace=False).tolist()):
        yield (first + 40 * DAY + hour * HOUR).astimezone(UTC)


def found_faults(data: Path, each: int = 24) -> str:
    """Return a table: share found in the right class and kind, per kind of fault and group of feeds."""
    groups: dict[tuple[str, str, timedelta], list[bool]] = {}
    other: Counter[tuple[str, str]] = Counter()
    for name, frame, resolution, zone in feeds(data):
        group = "net load of Dutch substations" if zone.endswith("Amsterdam") else "load of US areas and Victoria"
        for k, at in enumerate(starts(frame, each if group.startswith("load") else each // 4)):
            # A due sample comes one step and half an hour after its time: so much later counts as hour zero.
            near = frame.filter(pl.col("at").is_between(at - 40 * DAY, at + 8 * DAY))
            for kind, (make, waits) in FAULTS.items():
                spoilt = apply(near, [make(at, k)])
                for wait in waits:
                    now = at + wait + resolution + timedelta(minutes=30)
                    findings = [f for f in seen(spoilt, now, resolution, zone) if f.end > at]
                    hit = any(f.kind == kind and f.confidence != "unknown" for f in findings)
                    groups.setdefault((group, kind, wait), []).append(hit)
                    other.update((kind, f.kind) for f in findings if f.kind != kind)
        del name
    rows = ["| feeds | fault | within | found, right kind | of |", "|---|---|---|---|---|"]
    for (group, kind, wait), hits in groups.items():
        low, high = wilson(sum(hits), len(hits))
        text = f"{100 * np.mean(hits):.1f} % [{100 * low:.0f}-{100 * high:.0f}]"
        rows.append(f"| {group} | {kind} | {wait / HOUR:.0f} h | {text} | {len(hits)} |")
    told = ", ".join(f"{a} as {b}: {n}" for (a, b), n in other.most_common()) or "nothing"
    return "\n".join([*rows, "", f"Also said about them: {told}."])


EVENTS: dict[str, Callable[[datetime, str, int], list[Event]]] = {
    "nothing": lambda at, zone, k: [],
    "lockdown": lambda at, zone, k: [Lockdown(at, depth=(0.08, 0.10, 0.12)[k % 3], onset=(3 * DAY, 14 * DAY)[k % 2], zone=zone)],
    "level +-8 %": lambda at, zone, k: [LevelDrift(at, (0.08, -0.08)[k % 2], onset=3 * DAY)],
    "actuals 15 % low": lambda at, zone, k: [Scaled((), at, at + 28 * DAY, factor=0.85)],
    "shift": lambda at, zone, k: [StampShift((), at, at + 28 * DAY, hours=(1, -1)[k % 2])],
    "stuck": lambda at, zone, k: [Stuck((), at, at + 28 * DAY)],
    "unit": lambda at, zone, k: [Scaled((), at, at + 28 * DAY)],
}


def confusion(data: Path, each: int = 8) -> str:
    """Return a table: what checks (daily) and the operators' residuals say first, at five US areas from 2017 on.

    Days on which the checks find a fault are not shown to the drift detector.
    """
    raw = pl.read_parquet(data / "eia930_load_dayahead_5areas_2015_2018.parquet")
    off = frozenset(holidays.country_holidays("US", years=range(2015, 2020)))
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in EVENTS}
    for area, frame, resolution, zone in feeds(data)[: len(ZONES)]:
        own = raw.filter(pl.col("ba").cast(pl.String) == area)
        days, forecast = by_day(own.select(pl.col("utc_hour_ending").alias("at") - HOUR, "forecast_da_mw"), zone, "forecast_da_mw")
        level = float(np.nanmean(forecast[:365]))
        before = _errors(frame.filter(pl.col("at") < datetime(2017, 1, 1, tzinfo=UTC)), zone, days, forecast, level)
        monitor = ChannelDetector().fit(day_errors(days, before, off))
        later = frame.filter(pl.col("at") >= datetime(2016, 12, 1, tzinfo=UTC))
        for k, at in enumerate(starts(later, each)):
            near = later.filter(pl.col("at").is_between(at - 60 * DAY, at + 32 * DAY))
            for kind, make in EVENTS.items():
                spoilt = apply(near, make(at, zone, k))
                counts[kind][_first(spoilt, at, (resolution, zone), (days, forecast, level, off), monitor)] += 1
    columns = ("data fault", "concept drift", "nothing")
    rows = [f"| put in | {' | '.join(columns)} | of |", "|---|---|---|---|---|"]
    for kind, own in counts.items():
        total = sum(own.values())
        rows.append(f"| {kind} | {' | '.join(f'{100 * own[c] / total:.0f} %' for c in columns)} | {total} |")
    return "\n".join(rows)


def _errors(frame: pl.DataFrame, zone: str, days: list[date], forecast: np.ndarray, level: float) -> np.ndarray:  # type: ignore[type-arg]
    own, load = by_day(frame.select("at", "value"), zone, "value")
    errors = np.full(forecast.shape, np.nan)
    first = (own[0] - days[0]).days
    low, high = max(0, first), min(len(days), first + len(own))
    errors[low:high] = (load[low - first : high - first] - forecast[low:high]) / level
    return np.where(np.abs(errors) < 5.0, errors, np.nan)


def _first(frame, at, how, forecasts, monitor) -> str:  # type: ignore[no-untyped-def]
    """Return the class of the first signal from the onset on, looking once a day."""
    days, forecast, level, off = forecasts
    errors = _errors(frame, how[1], days, forecast, level)
    place = {day.day: day for day in day_errors(days, errors, off)}
    begin = at.date() - 55 * DAY
    for k in range(55 + 28):
        day = begin + k * DAY
        now = datetime(day.year, day.month, day.day, 18, tzinfo=UTC) + DAY
        if now > at:
            faults = [f for f in seen(frame, now, *how) if f.confidence != "unknown" and f.end > at]
            if faults:
                return "data fault"
        if day in place:
            monitor, change = monitor.step(place[day])
            if change is not None and day >= at.date():
                return "concept drift"
    return "nothing"
