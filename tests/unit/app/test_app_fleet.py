"""What is done for a whole fleet at once is what was done area by area."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest

from recloser.app.loop.book import ClosedDay
from recloser.app.loop.evidence import area_days
from recloser.app.loop.upstream.stamps import _matched
from recloser.monitoring.detectors.stamps import stamp_matches


@pytest.mark.parametrize("seed", range(5))
def test_stamps_of_a_fleet_are_those_of_each_area(seed: int) -> None:
    random = np.random.default_rng(seed)
    shape = 1.0 + 0.3 * np.sin(2 * np.pi * np.arange(24) / 24)
    load = 10.0 * shape + random.normal(0, 0.5, (17, 2, 24))
    forecast = 10.0 * np.roll(shape, 1) + random.normal(0, 0.2, (17, 2, 24))
    load[random.random(load.shape) < 0.1] = np.nan
    forecast[3], load[5, 0], forecast[0, 0, 0], load[16, 1, 23] = np.nan, np.nan, np.nan, np.nan
    alone = np.stack([stamp_matches(load[k], forecast[k])[-1] for k in range(17)])
    assert np.array_equal(_matched(load, forecast), alone, equal_nan=True)


def test_the_areas_of_a_day_are_told_apart_in_any_order_of_rows() -> None:
    random = np.random.default_rng(1)
    areas = random.permutation(np.repeat(["A", "B", "C", "D"], 24))
    truth, ours = random.random(96), random.random((96, 3))
    ours[areas == "C"] = np.nan
    rows = pl.DataFrame({"area": areas, "load_mw": truth})
    closed = ClosedDay(date(2020, 1, 1), rows, {"new": ours, "old": ours + 1.0}, {})
    found = area_days(closed, "new", "old", {"A": 2.0, "B": 3.0, "C": 4.0})
    assert [item.area for item in found] == [name for name in dict.fromkeys(areas.tolist()) if name in {"A", "B"}]
    for item in found:
        mine = areas == item.area
        assert np.array_equal(item.truth, truth[mine])
        assert np.array_equal(item.candidate, ours[mine])
        assert np.array_equal(item.champion, ours[mine] + 1.0)
    assert area_days(closed, "new", "gone", {"A": 2.0}) == []
