"""The simulated grid: its shape against the ranges measured on real load (FINDINGS section 2), and its promises."""

from datetime import UTC, datetime, time, timedelta
from statistics import median

import numpy as np
import polars as pl
import pytest

from recloser.core import LOAD, SAMPLE_SCHEMA, TEMPERATURE, InvalidInput
from recloser.simulation import SUBSTATION, FeedStatistics, GridPlan, SimulatedGrid, feed_statistics

# Measured on real load; of one seed's two years each may miss by a tenth of the range's width, the median may not.
RANGES: dict[str, tuple[float, float]] = {
    "load_factor": (0.50, 0.60),
    "variation": (0.16, 0.19),
    "weekend_ratio": (0.86, 0.92),
    "trough_h": (3, 4),
    "trough": (0.75, 0.85),
    "peak_h": (17, 18),
    "peak": (1.11, 1.18),
    "ramp_median": (0.022, 0.036),
    "ramp_p99": (0.09, 0.18),
    "day_correlation": (0.80, 0.90),
    "week_correlation": (0.75, 0.80),
    "naive_sd": (0.09, 0.12),
    "naive_step_correlation": (0.985, 0.999),
    "naive_day_correlation": (0.60, 0.75),
    "temperature_mean_c": (15.0, 17.0),
    "temperature_sd_c": (5.4, 6.6),
    "temperature_day_correlation": (0.70, 0.80),
}
SEEDS = (1, 2, 4, 7)


@pytest.fixture(scope="module")
def statistics() -> list[FeedStatistics]:
    plans = [GridPlan(seed=seed, substations=0) for seed in SEEDS]
    return [feed_statistics(SimulatedGrid(plan).frame(), plan.zone) for plan in plans]


@pytest.mark.parametrize("name", sorted(RANGES))
def test_the_area_total_lies_where_real_load_lies(statistics: list[FeedStatistics], name: str) -> None:
    low, high = RANGES[name]
    slack = 0.1 * (high - low)
    values = [float(getattr(s, name)) for s in statistics]
    assert low <= median(values) <= high, values
    assert all(low - slack <= v <= high + slack for v in values), values


def test_load_answers_temperature_in_a_v(statistics: list[FeedStatistics]) -> None:
    tables = [{low: ratio for low, _, ratio, days in s.response if days >= 8} for s in statistics]
    for table in tables:
        assert min(table, key=table.__getitem__) in {14.0, 17.0}, "the floor lies at 17-20 degC"
    assert 1.06 <= median(t[3.0] for t in tables) <= 1.13
    assert 1.15 <= median(t[26.0] for t in tables) <= 1.28


def test_equal_plans_give_equal_bytes_and_other_seeds_do_not() -> None:
    plan = GridPlan(seed=5, feeders=3, days=20, substations=1)
    first, again = SimulatedGrid(plan).frame(), SimulatedGrid(plan).frame()
    assert first.equals(again)
    other = SimulatedGrid(GridPlan(seed=6, feeders=3, days=20, substations=1)).frame()
    assert not first["value"].equals(other["value"])


def test_the_frame_is_in_the_sample_schema_sorted_and_complete(small_frame: pl.DataFrame) -> None:
    assert dict(small_frame.schema) == {name: pl.Schema(SAMPLE_SCHEMA)[name] for name in SAMPLE_SCHEMA}
    assert small_frame.equals(small_frame.sort("area", "quantity", "at"))
    counts = dict(small_frame.group_by("quantity").len().rows())
    assert counts == {LOAD: 6 * 120 * 48, TEMPERATURE: 6 * 122 * 48, SUBSTATION: 2 * 120 * 48}
    assert small_frame["value"].is_finite().all()


def test_load_is_known_late_and_weather_is_known_before_the_day_ahead_issue(
    small: SimulatedGrid, small_frame: pl.DataFrame
) -> None:
    load = small_frame.filter(pl.col("quantity") == LOAD)
    assert (load["available_at"] - load["at"]).unique().to_list() == [timedelta(minutes=40)]
    local = pl.col("at").dt.convert_time_zone(small.plan.zone)
    issue = (local.dt.date() - timedelta(days=1)).dt.combine(time(9)).dt.replace_time_zone(small.plan.zone)
    warmth = small_frame.filter(pl.col("quantity") == TEMPERATURE)
    assert warmth.select((pl.col("available_at") <= issue.dt.convert_time_zone("UTC")).all()).item()


def test_the_forecast_of_the_weather_errs_like_one(small: SimulatedGrid, small_frame: pl.DataFrame) -> None:
    said = small_frame.filter((pl.col("quantity") == TEMPERATURE) & (pl.col("area") == "F01"))
    both = small.actual_temperature().join(said.select("at", "value"), on="at")
    error = (both["value"] - both["temperature_c"]).to_numpy()
    assert 0.5 < error.std() < 1.6
    assert np.corrcoef(error[1:], error[:-1])[0, 1] > 0.9, "errors of a forecast last"


def test_substations_measure_their_feeders_plus_losses(small: SimulatedGrid, small_frame: pl.DataFrame) -> None:
    wide = small_frame.pivot(on=["area", "quantity"], index="at", values="value")
    for name, members in small.topology.items():
        total = sum(wide[f'{{"{area}","{LOAD}"}}'] for area in members)
        ratio = (wide[f'{{"{name}","{SUBSTATION}"}}'] / total).drop_nulls()
        assert 1.01 < ratio.median() < 1.02
        assert ratio.std() < 0.003


def test_feeders_differ_and_share_their_weather() -> None:
    frame = SimulatedGrid(GridPlan(seed=2, days=365, substations=0)).frame()
    each = [feed_statistics(frame, "Europe/Amsterdam", [area]) for area in ("F01", "F02", "F04", "F06", "F09")]
    assert max(s.weekend_ratio for s in each) - min(s.weekend_ratio for s in each) > 0.08
    assert all(0.10 < s.variation < 0.60 for s in each)
    daily = (
        frame.filter(pl.col("quantity") == LOAD)
        .group_by("area", pl.col("at").dt.date().alias("day"))
        .agg(pl.col("value").mean())
        .pivot(on="area", index="day", values="value")
        .drop("day")
    )
    shared = np.corrcoef(daily.to_numpy().T)
    assert np.median(shared[np.triu_indices(len(shared), 1)]) > 0.4


def test_holidays_look_like_sundays() -> None:
    grid = SimulatedGrid(GridPlan(seed=1, feeders=12, days=160, substations=0))
    load = grid.frame().filter(pl.col("quantity") == LOAD)
    daily = load.group_by(pl.col("at").dt.convert_time_zone("Europe/Amsterdam").dt.date().alias("day")).agg(
        pl.col("value").sum()
    )
    by_day = dict(daily.rows())
    easter_monday, monday_before, monday_after = (datetime(2019, 4, d, tzinfo=UTC).date() for d in (22, 15, 29))
    assert by_day[easter_monday] < 0.95 * min(by_day[monday_before], by_day[monday_after])


@pytest.mark.parametrize(
    "wrong",
    [
        {"feeders": 0},
        {"substations": 99},
        {"resolution": timedelta(minutes=7)},
        {"zone": "Europe/Amsterdan"},
        {"start": datetime(2019, 1, 1)},  # noqa: DTZ001
        {"start": datetime(2019, 1, 1, 0, 7, tzinfo=UTC)},
    ],
)
def test_impossible_plans_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        GridPlan(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("minutes", [15, 60])
def test_other_resolutions_have_the_same_level(minutes: int) -> None:
    means = []
    for step in (30, minutes):
        plan = GridPlan(seed=8, feeders=8, days=60, substations=0, resolution=timedelta(minutes=step))
        frame = SimulatedGrid(plan).frame()
        means.append(frame.filter(pl.col("quantity") == LOAD)["value"].mean())
    assert means[1] == pytest.approx(means[0], rel=0.12)
