"""Owns the faults put into real load, what the data checks say of them, and what is called what. Finds none itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import holidays
import numpy as np
import polars as pl
from scoring import wilson
from streams import ZONES, by_day

from recloser.core import LOAD, SAMPLE_SCHEMA, FloatArray, Panel
from recloser.monitoring import CheckPlan, Finding, check_data
from recloser.monitoring.detectors import ChannelDetector, Monitor, day_errors
from recloser.monitoring.detectors.stamps import StampLimits, stamp_matches, stamp_shift
from recloser.simulation import Event, Gap, LevelDrift, Lockdown, Scaled, StampShift, Stuck, apply

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
FOREVER = 40 * DAY
SEED = 20
FAULTS: dict[str, tuple[Callable[[datetime, int], Event], tuple[timedelta, ...]]] = {
    "missing": (lambda at, _k: Gap((), at, at + FOREVER), (3 * HOUR,)),
    "stuck": (lambda at, _k: Stuck((), at, at + FOREVER), (3 * HOUR,)),
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
    found.append(
        ("VIC", _samples(vic, "VIC", pl.col("utc"), "demand_mwh_per_30min", half), half, "Australia/Melbourne")
    )
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
    """Yield instants drawn once and for all, 40 days from either end, at full hours.

    An instant in a gap of the feed is passed over: nothing can be stuck where nothing is sent.
    """
    there = set(frame["at"].to_list())
    rng = np.random.default_rng(SEED)
    first, last = frame["at"].min(), frame["at"].max()
    assert isinstance(first, datetime)
    assert isinstance(last, datetime)
    hours = int((last - first) / HOUR) - 2 * 40 * 24
    for hour in sorted(rng.choice(max(hours, count), size=count, replace=False).tolist()):
        at = (first + 40 * DAY + hour * HOUR).astimezone(UTC)
        if all(at + k * HOUR in there for k in range(-1, 4)):
            yield at


def found_faults(data: Path, each: int = 24) -> str:
    """Return a table: share found in the right class and kind, per kind of fault and group of feeds."""
    groups: dict[tuple[str, str, timedelta], list[bool]] = {}
    other: Counter[tuple[str, str]] = Counter()
    for _, frame, resolution, zone in feeds(data):
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
    rows = ["| feeds | fault | within | found, right kind | of |", "|---|---|---|---|---|"]
    for (group, kind, wait), hits in groups.items():
        low, high = wilson(sum(hits), len(hits))
        text = f"{100 * np.mean(hits):.1f} % [{100 * low:.0f}-{100 * high:.0f}]"
        rows.append(f"| {group} | {kind} | {wait / HOUR:.0f} h | {text} | {len(hits)} |")
    told = ", ".join(f"{a} as {b}: {n}" for (a, b), n in other.most_common()) or "nothing"
    return "\n".join([*rows, "", f"Also said about them: {told}."])


EVENTS: dict[str, Callable[[datetime, str, int], list[Event]]] = {
    "nothing": lambda _at, _zone, _k: [],
    "lockdown": lambda at, zone, k: [
        Lockdown(at, depth=(0.08, 0.10, 0.12)[k % 3], onset=(3 * DAY, 14 * DAY)[k % 2], zone=zone)
    ],
    "level +-8 %": lambda at, _zone, k: [LevelDrift(at, (0.08, -0.08)[k % 2], onset=3 * DAY)],
    "actuals 15 % low": lambda at, _zone, _k: [Scaled((), at, at + 28 * DAY, factor=0.85)],
    "shift": lambda at, _zone, k: [StampShift((), at, at + 28 * DAY, hours=(1, -1)[k % 2])],
    "stuck": lambda at, _zone, _k: [Stuck((), at, at + 28 * DAY)],
    "unit": lambda at, _zone, _k: [Scaled((), at, at + 28 * DAY)],
}
PATIENCE = 3  # days in which a fault that is found takes back the change it explains


@dataclass(frozen=True, slots=True)
class Watched:
    """One US area with the operator's forecast, and what was learnt of both before 2017."""

    zone: str
    days: list[date]
    forecast: FloatArray
    level: float
    off: frozenset[date]
    monitor: Monitor
    in_time: FloatArray

    def errors(self, frame: pl.DataFrame) -> FloatArray:
        return _errors(frame, self.zone, (self.days, self.forecast, self.level))

    def matches(self, frame: pl.DataFrame) -> FloatArray:
        return stamp_matches(self.errors(frame) * self.level + self.forecast, self.forecast)


def watched(data: Path) -> list[tuple[pl.DataFrame, timedelta, Watched]]:
    """Return (samples from December 2016 on, resolution, what is watched) of the five US areas."""
    raw = pl.read_parquet(data / "eia930_load_dayahead_5areas_2015_2018.parquet")
    off = frozenset(holidays.country_holidays("US", years=range(2015, 2020)))
    found = []
    for area, frame, resolution, zone in feeds(data)[: len(ZONES)]:
        own = raw.filter(pl.col("ba").cast(pl.String) == area)
        given = own.select(pl.col("utc_hour_ending").alias("at") - HOUR, "forecast_da_mw")
        days, forecast = by_day(given, zone, "forecast_da_mw")
        level = float(np.nanmean(forecast[60:365]))
        forecast = np.where(np.abs(np.log(np.maximum(forecast, 1.0) / level)) < 1.2, forecast, np.nan)
        cut = datetime(2017, 1, 1, tzinfo=UTC)
        before = _errors(frame.filter(pl.col("at") < cut), zone, (days, forecast, level))
        matches = stamp_matches(before * level + forecast, forecast)
        matches = matches[np.isfinite(matches[:, 0, 0])]
        monitor = ChannelDetector().fit(day_errors(days, before, off))
        one = Watched(zone, days, forecast, level, off, monitor, matches)
        found.append((frame.filter(pl.col("at") >= cut - 31 * DAY), resolution, one))
    return found


def found_stamps(data: Path, each: int = 24) -> str:
    """Return how often a shift is found by the operators' forecast, and how often it is seen where there is none."""
    hits: dict[int, list[bool]] = {2: [], 3: [], 5: []}
    false, years = 0, 0.0
    for frame, _, one in watched(data):
        quiet = one.matches(frame)
        first = int(np.flatnonzero(np.isfinite(quiet[:, 0, 0]))[0]) + 5
        calls = [k for k in range(first, len(quiet)) if stamp_shift(one.in_time, quiet[: k + 1][-5:], StampLimits())]
        false += sum(not any(0 < k - other <= 28 for other in calls) for k in calls)
        years += (len(quiet) - first) / 365.25
        for k, at in enumerate(starts(frame, each)):
            hours = (1, -1)[k % 2]
            near = frame.filter(pl.col("at").is_between(at - 10 * DAY, at + 8 * DAY))
            spoilt = one.matches(apply(near, [StampShift((), at, at + FOREVER, hours=hours)]))
            for wait, found in hits.items():
                # Days that are over at the end of the wait, in local time.
                over = (at + wait * DAY).astimezone(ZoneInfo(one.zone)).date()
                last = (over - one.days[0]).days
                begun = (at.astimezone(ZoneInfo(one.zone)).date() - one.days[0]).days
                seen_so_far = [
                    stamp_shift(one.in_time, spoilt[:end][-5:], StampLimits()) for end in range(begun + 1, last + 1)
                ]
                found.append(hours in seen_so_far)
    rows = ["| shift by the operator's forecast, within | found, right direction | of |", "|---|---|---|"]
    for wait, found in hits.items():
        low, high = wilson(sum(found), len(found))
        rows.append(f"| {wait} d | {100 * np.mean(found):.1f} % [{100 * low:.0f}-{100 * high:.0f}] | {len(found)} |")
    return "\n".join([*rows, "", f"Called where there was none: {false} in {years:.1f} area-years."])


def confusion(data: Path, each: int = 8) -> str:
    """Return a table: what is said first of five US areas from 2017 on, by checks, stamps and operators' residuals.

    A change that a fault explains which is found within three days is taken back. Nothing else measures these areas,
    so actuals that are low for weeks look like a change of load: "drift, cause unknown".
    """
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in EVENTS}
    for frame, resolution, one in watched(data):
        for k, at in enumerate(starts(frame, each)):
            near = frame.filter(pl.col("at").is_between(at - 60 * DAY, at + 35 * DAY))
            for kind, make in EVENTS.items():
                counts[kind][_first(apply(near, make(at, one.zone, k)), at, resolution, one)] += 1
    columns = ("data fault", "drift, cause unknown", "nothing")
    rows = [f"| put in | {' | '.join(columns)} | of |", "|---|---|---|---|---|"]
    for kind, own in counts.items():
        total = sum(own.values())
        rows.append(f"| {kind} | {' | '.join(f'{100 * own[c] / total:.0f} %' for c in columns)} | {total} |")
    return "\n".join(rows)


def _errors(frame: pl.DataFrame, zone: str, what: tuple[list[date], FloatArray, float]) -> FloatArray:
    days, forecast, level = what
    own, load = by_day(frame.select("at", "value"), zone, "value")
    errors = np.full(forecast.shape, np.nan)
    first = (own[0] - days[0]).days
    low, high = max(0, first), min(len(days), first + len(own))
    errors[low:high] = (load[low - first : high - first] - forecast[low:high]) / level
    return np.where(np.abs(errors) < 5.0, errors, np.nan)


def _first(frame: pl.DataFrame, at: datetime, resolution: timedelta, one: Watched) -> str:
    """Return the class of the first signal from the onset on, looking once a day."""
    place = {day.day: day for day in day_errors(one.days, one.errors(frame), one.off)}
    matches = one.matches(frame)
    monitor, changed = one.monitor, None
    begin = at.date() - 55 * DAY
    for k in range(55 + 28):
        day = begin + k * DAY
        now = datetime(day.year, day.month, day.day, 18, tzinfo=UTC) + DAY
        if changed is not None and day > changed + PATIENCE * DAY:
            return "drift, cause unknown"
        if now > at:
            faults = [f for f in seen(frame, now, resolution, one.zone) if f.confidence != "unknown" and f.end > at]
            last = (day - one.days[0]).days + 1
            if faults or (day >= at.date() and stamp_shift(one.in_time, matches[:last][-5:], StampLimits())):
                return "data fault"
        if day in place:
            monitor, change = monitor.step(place[day])
            if change is not None and day >= at.date() and changed is None:
                changed = day
    return "nothing" if changed is None else "drift, cause unknown"
