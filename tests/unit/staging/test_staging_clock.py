"""Load shifted in time: the sun on a feeder's roofs is not taken for a wrong clock, a wrong clock still is found."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest

from recloser.core import LOAD
from recloser.simulation import GridPlan, SimulatedGrid
from recloser.staging.data.order import check_clock, shifted_shares
from recloser.staging.data.series import Grid, to_grid
from recloser.staging.policy import GatePolicy

POLICY = GatePolicy()
ZONE = "Europe/Amsterdam"
START = datetime(2019, 1, 1, tzinfo=UTC)
DAYS = 731


def feeders(seed: int, count: int = 4, first: int = 0) -> Grid:
    """Two years of half-hourly feeders, from day `first` on; the second and every third after it has much solar."""
    grid = SimulatedGrid(GridPlan(seed=seed, feeders=count, start=START, days=DAYS, zone=ZONE))
    frame = grid.frame().filter((pl.col("quantity") == LOAD) & pl.col("area").is_in(grid.areas))
    frame = frame.filter(pl.col("at") >= START + timedelta(days=first))
    loads = frame.sort("available_at").select("area", "at", pl.col("value").alias(LOAD))
    return to_grid(loads, timedelta(minutes=30), ZoneInfo(ZONE))


def until(grid: Grid, days: int) -> Grid:
    count = days * grid.steps_per_day
    return replace(grid, load=grid.load[:, :count], day=grid.day[:count], slot=grid.slot[:count])


def moved(grid: Grid, first: int, last: int, hours: float) -> Grid:
    """All areas told `hours` too late in the days [first, last)."""
    load, day = grid.load.copy(), grid.steps_per_day
    load[:, first * day : last * day] = np.roll(grid.load, round(hours * day / 24), axis=1)[:, first * day : last * day]
    return replace(grid, load=load)


def test_what_the_sun_does_to_a_feeder_is_no_wrong_clock() -> None:
    """The demo with four feeders: each of these was refused when one step between fortnights was believed for ever."""
    grid = feeders(7)
    for days in (350, 400, 480, 630, DAYS):
        found = check_clock(until(grid, days), None, POLICY)
        assert found.verdict == "pass", (days, found.reason)


@pytest.mark.parametrize("seed", [5, 17, 18])
def test_what_the_sun_does_to_a_feeder_each_year_is_no_wrong_clock(seed: int) -> None:
    """Each had a feeder whose profile moves by an hour for months of a year, and every candidate was refused."""
    found = check_clock(feeders(seed), None, POLICY)
    assert found.verdict == "pass", found.reason


SPANS = {
    "for a quarter": (60, 150),
    "for longer": (60, 250),
    "for more than a year": (60, 480),
    "for good": (550, DAYS),
}


@pytest.mark.parametrize(("first", "last"), SPANS.values(), ids=SPANS)
@pytest.mark.parametrize("hours", [-1.0, 1.0, 3.0])
@pytest.mark.parametrize("seed", [7, 13])
def test_a_clock_that_was_set_wrong_is_found(seed: int, hours: float, first: int, last: int) -> None:
    found = check_clock(moved(feeders(seed), first, last, hours), None, POLICY)
    assert found.verdict == "refuse"
    assert "shifted load" in found.reason


def test_a_flat_feeder_and_one_without_data_have_no_phase() -> None:
    grid = feeders(7)
    load = grid.load.copy()
    load[0], load[1] = 5.1, np.nan
    shares = shifted_shares(replace(grid, load=load), POLICY)
    assert shares.tolist()[:2] == [0.0, 0.0]
