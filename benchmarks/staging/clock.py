"""The gate's check of the clock on simulated feeders: `python benchmarks/staging/clock.py [--grids 12] [--feeders 24]`.

Two years of half-hourly feeders, a third of them with much solar, grid by grid (seed 1, 2, ...). Counted are feeders
that look shifted for more than a quarter of their days though nothing is wrong, grids whose candidates the check
refuses for that, and shifts that are found after an hour, early or late, was put into each feeder for 40 to 100 days
or for good.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from recloser.core import LOAD
from recloser.simulation import GridPlan, SimulatedGrid
from recloser.staging.data.order import check_clock, shifted_shares
from recloser.staging.data.series import Grid, to_grid
from recloser.staging.policy import GatePolicy

START, DAYS, ZONE = datetime(2019, 1, 1, tzinfo=UTC), 731, "Europe/Amsterdam"
POLICY = GatePolicy()


def loads(seed: int, feeders: int) -> Grid:
    """Return the feeders' loads of a grid."""
    grid = SimulatedGrid(GridPlan(seed=seed, feeders=feeders, start=START, days=DAYS, zone=ZONE))
    frame = grid.frame().filter((pl.col("quantity") == LOAD) & pl.col("area").is_in(grid.areas)).sort("available_at")
    return to_grid(frame.select("area", "at", pl.col("value").alias(LOAD)), timedelta(minutes=30), ZoneInfo(ZONE))


def with_shifts(grid: Grid, rng: np.random.Generator) -> Grid:
    """Return the loads with an hour's shift in every feeder."""
    load, day = grid.load.copy(), grid.steps_per_day
    for row in range(len(load)):
        first = int(rng.integers(15, DAYS - 60))
        last = DAYS if rng.random() < 0.4 else first + int(rng.integers(40, 100))
        part = slice(first * day, last * day)
        load[row, part] = np.roll(load[row], int(rng.choice([-1, 1])) * day // 24)[part]
    return replace(grid, load=load)


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--grids", type=int, default=12)
    parser.add_argument("--feeders", type=int, default=24)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    rng = np.random.default_rng(3)
    counted = {"feeders": 0, "look_shifted": 0, "for_a_quarter": 0, "grids_refused": 0, "shifts_found": 0}
    for seed in range(1, asked.grids + 1):
        grid = loads(seed, asked.feeders)
        shares = shifted_shares(grid, POLICY)
        counted["feeders"] += len(shares)
        counted["look_shifted"] += int((shares > 0).sum())
        counted["for_a_quarter"] += int((shares > POLICY.max_shifted_area_share).sum())
        counted["grids_refused"] += check_clock(grid, None, POLICY).verdict != "pass"
        counted["shifts_found"] += int((shifted_shares(with_shifts(grid, rng), POLICY) > 0).sum())
    print(json.dumps(counted) if asked.json else "\n".join(f"{name:<16}{n:>6}" for name, n in counted.items()))


if __name__ == "__main__":
    main()
