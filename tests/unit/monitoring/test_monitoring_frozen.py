"""The frozen reference by area and block of the day: what it learns, what it leaves out, what it says of later days."""

from datetime import UTC, date, datetime, timedelta

import holidays
import numpy as np
import polars as pl
import pytest

from recloser.core import LOAD, InvalidInput, Panel, Quality
from recloser.monitoring.detectors import BLOCKS
from recloser.monitoring.detectors.frozen import FrozenReference, block_load, freeze, frozen_days
from recloser.simulation import GridPlan, SimulatedGrid

ZONE = "Europe/Amsterdam"
START = datetime(2019, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
OFF = frozenset(holidays.country_holidays("NL", years=range(2018, 2021)))


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    plan = GridPlan(seed=2, feeders=2, start=START, days=330, zone=ZONE, resolution=timedelta(hours=1), substations=0)
    return SimulatedGrid(plan).frame()


def panel(frame: pl.DataFrame) -> Panel:
    latest = frame["available_at"].max()
    assert isinstance(latest, datetime)
    return Panel(frame, timedelta(hours=1), latest)


def test_blocks_are_means_of_three_local_hours(frame: pl.DataFrame) -> None:
    daily = block_load(panel(frame), START + 10 * DAY, START + 14 * DAY, ZONE)
    assert daily.areas == tuple(f"{area}/{block}" for area in ("F01", "F02") for block in range(BLOCKS))
    assert daily.days[0] == date(2019, 1, 12)  # the first whole local day
    own = frame.filter((pl.col("area") == "F02") & (pl.col("quantity") == LOAD))
    begin = datetime(2019, 1, 12, 14, tzinfo=UTC)  # 15:00 local
    mean = own.filter(pl.col("at").is_between(begin, begin + timedelta(hours=2)))["value"].mean()
    assert daily.load_mw[daily.areas.index("F02/5"), 0] == pytest.approx(mean)


def test_flagged_samples_are_left_out(frame: pl.DataFrame) -> None:
    spoilt = (pl.col("area") == "F01") & (pl.col("quantity") == LOAD) & (pl.col("at").dt.date() == date(2019, 1, 13))
    flagged = frame.with_columns(quality=pl.when(spoilt).then(int(Quality.STUCK)).otherwise(pl.col("quality")))
    daily = block_load(panel(flagged.cast(frame.schema)), START + 10 * DAY, START + 14 * DAY, ZONE)
    column = daily.days.index(date(2019, 1, 13))
    first = [daily.areas.index(f"F01/{block}") for block in range(1, BLOCKS)]
    assert np.isnan(daily.load_mw[first, column]).all()
    assert np.isfinite(daily.load_mw[[k + BLOCKS for k in first], column]).all()


def test_load_off_the_reference_shows_in_its_area_alone(frame: pl.DataFrame) -> None:
    learned = block_load(panel(frame), START, START + 300 * DAY, ZONE)
    frozen, history = freeze(learned, OFF, OFF)
    assert {area: len(days) for area, days in history.items()} == {"F01": 299, "F02": 299}
    again = FrozenReference.from_dict(frozen.to_dict())
    low = (pl.col("area") == "F01") & (pl.col("quantity") == LOAD) & (pl.col("at") >= START + 315 * DAY)
    moved = frame.with_columns(value=pl.when(low).then(0.8 * pl.col("value")).otherwise(pl.col("value")))
    found = {}
    for name, what in (("as it was", frame), ("lower", moved)):
        seen = block_load(panel(what), START + 300 * DAY, START + 329 * DAY, ZONE)
        days = frozen_days(again, seen, OFF, OFF)
        found[name] = {
            a: np.mean([np.mean(d.blocks) for d in own if d.day >= date(2019, 11, 14)]) for a, own in days.items()
        }
    assert found["lower"]["F01"] - found["as it was"]["F01"] == pytest.approx(-0.2, abs=0.04)
    assert found["lower"]["F02"] == pytest.approx(found["as it was"]["F02"])


def test_too_few_days_and_foreign_data_are_refused(frame: pl.DataFrame) -> None:
    with pytest.raises(InvalidInput):
        freeze(block_load(panel(frame), START, START + 90 * DAY, ZONE), OFF, OFF)
    with pytest.raises(InvalidInput):
        FrozenReference.from_dict({"blocks": {}})
