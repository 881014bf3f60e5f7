"""A simulated year that the monitoring tests share, and the panel of an instant in it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from recloser.core import Panel
from recloser.monitoring import CheckPlan
from recloser.simulation import GridPlan, SimulatedGrid

RESOLUTION = timedelta(minutes=30)


@pytest.fixture(scope="session")
def grid() -> SimulatedGrid:
    return SimulatedGrid(GridPlan(seed=1, feeders=24, days=400))


@pytest.fixture(scope="session")
def year(grid: SimulatedGrid) -> pl.DataFrame:
    return grid.frame()


@pytest.fixture(scope="session")
def plan(grid: SimulatedGrid) -> CheckPlan:
    return CheckPlan(zone=grid.plan.zone, areas=grid.areas, groups=grid.topology)


@pytest.fixture(scope="session")
def spring(year: pl.DataFrame) -> pl.DataFrame:
    """Samples of February to April 2019, with the change to summer time in them."""
    return year.filter(pl.col("at").is_between(datetime(2019, 1, 25, tzinfo=UTC), datetime(2019, 5, 1, tzinfo=UTC)))


@pytest.fixture(scope="session")
def panel_at() -> Callable[[pl.DataFrame, datetime], Panel]:
    def cut(frame: pl.DataFrame, now: datetime) -> Panel:
        near = pl.col("at").is_between(now - timedelta(days=36), now + timedelta(days=4))
        known = frame.filter(near & (pl.col("available_at") <= now))
        return Panel(known, RESOLUTION, now)

    return cut
