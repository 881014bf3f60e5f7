"""A batch equals issue by issue, whatever was late, corrected, flagged or absent; and nothing later shows."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recloser.core import Panel, Quality
from recloser.features import Extra, FeatureSet

HOUR = timedelta(hours=1)
DAYS = [date(2014, 3, 30) + timedelta(days=k) for k in range(12)]  # over the end of daylight saving

damage = st.lists(
    st.tuples(
        st.sampled_from(["late", "corrected", "flagged", "absent", "gap", "flagged and restored"]),
        st.integers(0, 10_000),
        st.integers(1, 24 * 12),
        st.floats(-500, 500),
    ),
    max_size=25,
)


def damaged(panel: Panel, faults: list[tuple[str, int, int, float]]) -> Panel:
    """Apply faults to rows of the panel: (kind, which row, hours later, new value)."""
    frame = panel.frame.with_row_index("row")
    drop: set[int] = set()
    delay: dict[int, int] = {}
    added = []
    for kind, where, hours, value in faults:
        row = where * 7919 % frame.height
        if kind == "absent":
            drop.add(row)
        elif kind == "gap":
            drop.update(range(row, min(row + hours, frame.height)))
        elif kind == "late":
            delay[row] = hours
        else:
            revision = frame[row].with_columns(pl.col("available_at") + HOUR * hours)
            if kind == "corrected":
                added.append(revision.with_columns(value=pl.lit(value)))
            else:
                added.append(revision.with_columns(quality=pl.lit(int(Quality.SPIKE)).cast(pl.Int32)))
            if kind == "flagged and restored":
                added.append(revision.with_columns(pl.col("available_at") + HOUR * 30))
    late = pl.col("row").replace_strict(delay, default=0, return_dtype=pl.Int64) if delay else pl.lit(0)
    frame = frame.filter(~pl.col("row").is_in(list(drop))).with_columns(
        pl.col("available_at") + pl.duration(hours=late.cast(pl.Int64))
    )
    frame = pl.concat([frame, *added]).drop("row").sort("area", "quantity", "at", "available_at", maintain_order=True)
    return Panel(frame.filter(pl.col("available_at") <= panel.as_of), panel.resolution, panel.as_of)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(faults=damage)
def test_batch_equals_issue_by_issue(panel, horizon, faults):
    extra = Extra("own", pl.col("temperature_c").diff().over("area"), memory=timedelta(days=2), known_ahead=True)
    features = FeatureSet.standard(horizon, "AU", "VIC", extra=[extra])
    seen = damaged(panel, faults)
    issues = [horizon.issue_on(day) for day in DAYS]
    batch = features.compute(seen, issues, ["a", "b"])
    single = pl.concat([features.compute(seen.at_time(issue), [issue], ["a", "b"]) for issue in issues])
    assert batch.equals(single.sort("area", "issued_at", "at"))
    for issue in issues[::4]:
        assert_known(batch.filter(pl.col("issued_at") == issue), seen.at_time(issue))


def assert_known(frame: pl.DataFrame, known: Panel) -> None:
    """Compare two columns with what core's own as-of view says."""
    wide = known.wide()
    joined = frame.with_columns(at=pl.col("at") - timedelta(days=2)).join(wide, on=["area", "at"], how="left")
    zone = "Australia/Melbourne"
    local = [(frame["at"] - timedelta(days=d)).dt.convert_time_zone(zone) for d in (0, 2)]
    unmoved = local[0].dt.dst_offset() == local[1].dt.dst_offset()
    got = (frame["load_lag_2d"].cast(pl.Float64) * frame["scale_mw"]).filter(unmoved)
    expected = joined["load_mw"].filter(unmoved)
    assert got.is_null().to_list() == expected.is_null().to_list()
    assert np.allclose(got.drop_nulls().to_numpy(), expected.drop_nulls().to_numpy(), rtol=1e-5)
    heat = frame.join(wide, on=["area", "at"], how="left", suffix="_known")["temperature_c_known"]
    assert frame["temperature_c"].equals(heat.cast(pl.Float32))


def test_batch_equals_subsets_of_areas_and_issues_in_any_order(panel, horizon):
    features = FeatureSet.standard(horizon, "AU", "VIC")
    issues = [horizon.issue_on(day) for day in DAYS]
    batch = features.compute(panel, list(reversed(issues)) + issues[:2])
    assert batch.equals(features.compute(panel, issues))
    alone = features.compute(panel, issues[3:5], ["b"])
    assert alone.equals(batch.filter((pl.col("area") == "b") & pl.col("issued_at").is_in(issues[3:5])))


def test_whatever_comes_after_the_issue_changes_nothing(panel, horizon):
    features = FeatureSet.standard(horizon, "AU", "VIC")
    issue = horizon.issue_on(DAYS[5])
    clean = features.compute(panel, [issue])
    later = pl.col("available_at") > issue
    noise = pl.Series(np.random.default_rng(1).normal(0, 1e6, panel.frame.height))
    wild = panel.frame.with_columns(pl.when(later).then(noise).otherwise(pl.col("value")).alias("value"))
    rewritten = panel.frame.filter(pl.col("at") > issue - timedelta(days=20)).with_columns(
        pl.lit(issue + HOUR / 60).cast(pl.Datetime("us", "UTC")).alias("available_at"), value=pl.lit(-1e9)
    )
    frame = pl.concat([wild, rewritten]).sort("area", "quantity", "at", "available_at")
    assert features.compute(Panel(frame, panel.resolution, panel.as_of), [issue]).equals(clean)


def test_a_memory_of_the_declared_length_is_enough(panel, horizon):
    features = FeatureSet.standard(horizon, "AU", "VIC")
    issue = horizon.issue_on(DAYS[5])
    seen = panel.at_time(issue)
    short = Panel(seen.frame.filter(pl.col("at") >= issue - features.memory - HOUR), panel.resolution, issue)
    assert features.compute(short, [issue]).equals(features.compute(panel, [issue]))
