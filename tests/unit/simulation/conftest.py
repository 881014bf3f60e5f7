"""Grids that the tests of the simulation share; drawn once."""

import polars as pl
import pytest

from recloser.simulation import GridPlan, SimulatedGrid


@pytest.fixture(scope="session")
def small() -> SimulatedGrid:
    return SimulatedGrid(GridPlan(seed=3, feeders=6, days=120, substations=2))


@pytest.fixture(scope="session")
def small_frame(small: SimulatedGrid) -> pl.DataFrame:
    return small.frame()
