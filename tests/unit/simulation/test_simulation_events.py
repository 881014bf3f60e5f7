"""Events: each does what its label says, and nothing outside it."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recloser.core import LOAD, TEMPERATURE
from recloser.simulation import (
    SUBSTATION,
    Event,
    Fahrenheit,
    Gap,
    LevelDrift,
    Lockdown,
    MiddayErosion,
    Scaled,
    SimulatedGrid,
    Spikes,
    StampShift,
    Stuck,
    apply,
    low_actuals,
)

START = datetime(2019, 2, 10, tzinfo=UTC)
DAY = timedelta(days=1)
ZONE = "Europe/Amsterdam"


def series(frame: pl.DataFrame, area: str, quantity: str = LOAD) -> pl.DataFrame:
    return frame.filter((pl.col("area") == area) & (pl.col("quantity") == quantity)).select("at", "value")


FAULTS = [
    Gap(("F02",), START, START + 2 * DAY),
    Stuck(("F02",), START, START + DAY),
    Scaled(("F02",), START, START + DAY),
    low_actuals(("F02",), START),
    StampShift(("F02",), START, START + 3 * DAY, hours=-1),
    Spikes(("F02",), START, START + 3 * DAY, share=0.05),
    Fahrenheit((), START, START + DAY),
]


@pytest.mark.parametrize("event", FAULTS, ids=lambda e: e.label.kind)
def test_a_fault_changes_what_its_label_names_and_nothing_else(small_frame: pl.DataFrame, event: Event) -> None:
    label = event.label
    after = apply(small_frame, [event])
    inside = (pl.col("quantity") == label.quantity) & pl.col("at").is_between(label.start, label.end, closed="left")
    if label.areas:
        inside &= pl.col("area").is_in(label.areas)
    assert after.filter(~inside).equals(small_frame.filter(~inside))
    assert not after.filter(inside)["value"].equals(small_frame.filter(inside)["value"])
    assert label.signal_class == "data_fault"


def test_each_fault_leaves_its_own_mark(small_frame: pl.DataFrame) -> None:
    gap, stuck, kilo, low, shift, spikes, warm = (apply(small_frame, [event]) for event in FAULTS)
    before = series(small_frame, "F02")["value"].to_numpy()
    first = int((START - datetime(2019, 1, 1, tzinfo=UTC)) / timedelta(minutes=30))
    assert len(series(gap, "F02")) == len(before) - 96
    assert set(series(stuck, "F02")["value"][first : first + 48]) == {before[first - 1]}
    assert np.allclose(series(kilo, "F02")["value"][first : first + 48], 1000 * before[first : first + 48])
    assert np.allclose(series(low, "F02")["value"][first : first + 28 * 48], 0.85 * before[first : first + 28 * 48])
    assert np.array_equal(series(shift, "F02")["value"][first : first + 144], before[first + 2 : first + 146])
    ratio = series(spikes, "F02")["value"].to_numpy() / before
    assert int(np.isclose(ratio, 2.0).sum()) == round(0.05 * 144)
    celsius = series(small_frame, "F01", TEMPERATURE)["value"].to_numpy()
    assert np.allclose(
        series(warm, "F01", TEMPERATURE)["value"][first : first + 48], 32 + 1.8 * celsius[first : first + 48]
    )


def test_labels_tell_a_unit_error_from_low_actuals() -> None:
    assert [Scaled((), START, START, factor=f).label.kind for f in (1000.0, 0.001, 0.85, 1.2)] == [
        "unit",
        "unit",
        "low",
        "high",
    ]


def test_a_lockdown_sinks_load_moves_the_morning_and_flattens_the_week(small_frame: pl.DataFrame) -> None:
    event = Lockdown(START, depth=0.10)
    after = apply(small_frame, [event])
    both = small_frame.filter(pl.col("quantity") == LOAD).with_columns(
        after=after.filter(pl.col("quantity") == LOAD)["value"], local=pl.col("at").dt.convert_time_zone(ZONE)
    )
    full = both.filter(pl.col("at").is_between(START + 14 * DAY, START + 56 * DAY))
    weekdays = full.filter(pl.col("local").dt.weekday() < 6)
    fall = weekdays["after"].sum() / weekdays["value"].sum() - 1.0
    assert -0.12 < fall < -0.08
    by_hour = weekdays.group_by(pl.col("local").dt.hour().alias("h")).agg(
        r=pl.col("after").sum() / pl.col("value").sum()
    )
    hours = dict(by_hour.rows())
    assert hours[7] < hours[13] - 0.05
    off = full.filter(pl.col("local").dt.weekday() >= 6)
    ratios = [off[c].mean() / weekdays[c].mean() for c in ("value", "after")]
    assert 0.02 < ratios[1] - ratios[0] < 0.06
    week = both.filter(pl.col("at").is_between(START + 6 * DAY, START + 8 * DAY))
    assert -0.08 < week["after"].sum() / week["value"].sum() - 1.0 < -0.03
    assert both.filter(pl.col("at") >= event.label.end).select((pl.col("after") == pl.col("value")).all()).item()


def test_real_change_shows_in_the_substation_meter_and_a_fault_does_not(
    small: SimulatedGrid, small_frame: pl.DataFrame
) -> None:
    meter = next(name for name, members in small.topology.items() if "F02" in members)
    drift, fault = (
        LevelDrift(START, -0.3, ("F02",), onset=timedelta(0)),
        Scaled(("F02",), START, START + 9 * DAY, factor=0.7),
    )
    before = series(small_frame, meter, SUBSTATION)["value"]
    drifted = series(apply(small_frame, [drift]), meter, SUBSTATION)["value"]
    assert (drifted - before).min() < -0.5
    assert series(apply(small_frame, [fault]), meter, SUBSTATION)["value"].equals(before)
    lost = (series(small_frame, "F02")["value"] - series(apply(small_frame, [drift]), "F02")["value"]).sum()
    assert (before - drifted).sum() == pytest.approx(1.015 * lost)


def test_erosion_is_slow_and_at_midday(small_frame: pl.DataFrame) -> None:
    after = apply(small_frame, [MiddayErosion(START, per_month=0.02)])
    both = small_frame.filter(pl.col("quantity") == LOAD).with_columns(
        lost=small_frame.filter(pl.col("quantity") == LOAD)["value"]
        - after.filter(pl.col("quantity") == LOAD)["value"],
        hour=pl.col("at").dt.convert_time_zone(ZONE).dt.hour(),
    )
    last = both.filter(pl.col("at") > START + 60 * DAY).group_by("hour").agg(pl.col("lost").mean()).sort("hour")
    assert last["lost"].arg_max() in {12, 13}
    assert last["lost"][3] < 0.01 * last["lost"][13]


@settings(max_examples=12, deadline=None)
@given(
    hours=st.integers(0, 40 * 24),
    length=st.integers(1, 200),
    area=st.sampled_from(["F01", "F03", "F06"]),
    kind=st.integers(0, 3),
)
def test_any_fault_anywhere_leaves_the_rest_alone(
    small_frame: pl.DataFrame, hours: int, length: int, area: str, kind: int
) -> None:
    start = START + timedelta(hours=hours)
    end = start + timedelta(hours=length)
    made: list[Event] = [
        Gap((area,), start, end),
        Stuck((area,), start, end),
        Scaled((area,), start, end),
        StampShift((area,), start, end),
    ]
    after = apply(small_frame, [made[kind]])
    outside = (pl.col("area") != area) | (pl.col("quantity") != LOAD) | (pl.col("at") < start) | (pl.col("at") >= end)
    assert after.filter(outside).equals(small_frame.filter(outside))


def test_spikes_leave_unknown_values_unknown(small_frame: pl.DataFrame) -> None:
    unknown = small_frame.with_columns(value=pl.when(pl.col("at").dt.hour() == 3).then(None).otherwise("value"))
    after = apply(unknown, [Spikes(("F02",), START, START + 3 * DAY, share=1.0)])
    assert after["value"].is_null().equals(unknown["value"].is_null())
