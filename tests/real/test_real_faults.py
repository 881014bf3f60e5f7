"""Data checks on real series: the dead Dutch substation is found, cleaned US load is quiet, faults put in are seen."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from recloser.core import LOAD, SAMPLE_SCHEMA, Panel
from recloser.monitoring import CheckPlan, Finding, check_data
from recloser.simulation import Gap, Scaled, StampShift, Stuck, apply

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ZONES = {
    "PJM": "America/New_York",
    "MISO": "America/Chicago",
    "NYIS": "America/New_York",
    "TVA": "America/Chicago",
    "BPAT": "America/Los_Angeles",
}

pytestmark = pytest.mark.real


def read(name: str) -> pl.DataFrame:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"real data are not here: {path}")
    return pl.read_parquet(path)


def samples(rows: pl.DataFrame, area: str, at: pl.Expr, load: str, resolution: timedelta) -> pl.DataFrame:
    made = rows.select(
        pl.col(area).cast(pl.String).alias("area"),
        pl.lit(LOAD).alias("quantity"),
        at.alias("at"),
        (at + resolution + timedelta(minutes=30)).alias("available_at"),
        pl.col(load).cast(pl.Float64).alias("value"),
        pl.lit(0, pl.Int32).alias("quality"),
        pl.lit("file").alias("source"),
    )
    return made.drop_nulls("value").select(list(SAMPLE_SCHEMA)).sort("area", "quantity", "at")


def seen(frame: pl.DataFrame, now: datetime, resolution: timedelta, zone: str) -> list[Finding]:
    known = frame.filter((pl.col("at") >= now - 36 * DAY) & (pl.col("available_at") <= now))
    return check_data(Panel(known, resolution, now), now, CheckPlan(zone=zone))


def substations() -> pl.DataFrame:
    rows = read("substations_15min_2021.parquet")
    quarter = timedelta(minutes=15)
    return samples(rows, "station", pl.col("utc") - quarter, "net_load_mw", quarter)


def balancing_area(name: str) -> pl.DataFrame:
    rows = read("eia930_load_dayahead_5areas_2015_2018.parquet").filter(pl.col("ba") == name)
    return samples(rows, "ba", pl.col("utc_hour_ending") - HOUR, "demand_mw", HOUR)


@pytest.mark.parametrize("day", [14, 16, 18])
def test_the_dead_substation_is_stuck_and_said_once(day: int) -> None:
    findings = seen(substations(), datetime(2021, 8, day, 7, tzinfo=UTC), timedelta(minutes=15), "Europe/Amsterdam")
    stuck = [f for f in findings if f.kind == "stuck"]
    assert [f.areas for f in stuck] == [("WLS",)]
    assert stuck[0].active
    assert [f for f in findings if f is not stuck[0] and "WLS" in f.areas] == []


def test_ten_net_load_substations_of_wind_and_sun_raise_few_false_faults() -> None:
    frame = substations()
    days = [datetime(2021, 9, 1, 7, tzinfo=UTC) + 3 * k * DAY for k in range(19)]
    false = [
        (now.date(), f.kind, f.areas)
        for now in days
        for f in seen(frame, now, timedelta(minutes=15), "Europe/Amsterdam")
        if f.confidence != "unknown" and f.areas != ("WLS",)
    ]
    assert len(false) <= 2, false


@pytest.mark.parametrize("name", sorted(ZONES))
def test_cleaned_load_of_a_balancing_area_is_quiet(name: str) -> None:
    frame = balancing_area(name)
    for month in range(1, 13, 2):
        now = datetime(2017, month, 20, 12, tzinfo=UTC)
        assert seen(frame, now, HOUR, ZONES[name]) == []


@pytest.mark.parametrize("name", sorted(ZONES))
def test_faults_put_into_real_load_are_named(name: str) -> None:
    frame = balancing_area(name).filter(
        pl.col("at").is_between(datetime(2017, 3, 1, tzinfo=UTC), datetime(2017, 6, 30, tzinfo=UTC))
    )
    start = datetime(2017, 5, 9, 12, tzinfo=UTC)
    events = {
        "missing": Gap((), start, start + 9 * DAY),
        "stuck": Stuck((), start, start + 9 * DAY),
        "unit": Scaled((), start, start + 9 * DAY),
    }
    for kind, event in events.items():
        found = seen(apply(frame, [event]), start + 5 * HOUR, HOUR, ZONES[name])
        assert [(f.kind, f.areas) for f in found] == [(kind, (name,))], name
    shifted = apply(frame, [StampShift((), start, start + 9 * DAY)])
    kinds = {f.kind for f in seen(shifted, start + 5 * DAY, HOUR, ZONES[name])}
    assert kinds in ({"shift"}, set()), kinds


def test_a_shift_put_into_real_load_is_found_in_most_areas() -> None:
    start = datetime(2017, 5, 9, 5, tzinfo=UTC)
    hits = [
        any(
            f.kind == "shift"
            for f in seen(
                apply(balancing_area(name), [StampShift((), start, start + 9 * DAY)]), start + 6 * DAY, HOUR, zone
            )
        )
        for name, zone in ZONES.items()
    ]
    assert sum(hits) >= 3, dict(zip(ZONES, hits, strict=True))
