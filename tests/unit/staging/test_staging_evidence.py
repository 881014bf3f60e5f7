"""Leak check, further metrics and slices, newest days, known faults: what each finds and what it leaves alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest

from recloser.core import LOAD, STANDARD_CONTRACT, InvalidInput, SeriesContract
from recloser.staging import (
    GatePolicy,
    KnownFault,
    KnownFaults,
    LeakProbe,
    SeriesWindow,
    check_leak,
    check_performance,
)
from recloser.staging.data import check_contract, check_known_faults
from recloser.staging.performance.holdout import bootstrap_bounds
from recloser.staging.performance.metrics import check_metrics_of_pair, peak_rows
from recloser.staging.performance.recent import check_live, check_recent
from recloser.staging.performance.slices import check_slices, slices_of

POLICY = GatePolicy()
FEATURES = ("hour", "weekday", "temperature_c", "temperature_c_mean_24h", "load_lag_7d", "load_lag_2d")


def named(checks: Any) -> dict[str, Any]:
    return {check.name: check for check in checks}


def test_features_made_anew_are_the_same_bits_and_a_later_one_is_a_leak(world: Any) -> None:
    frame = world.training
    honest = LeakProbe(frame, FEATURES, lambda issue, _areas: frame.filter(pl.col("issued_at") == issue))
    passed = check_leak(honest)
    assert passed.verdict == "pass", passed.reason
    assert passed.numbers["rows"] == 6 * 24 * 2
    peeked = frame.with_columns(pl.col("load_lag_2d").shift(-24).over("area"))
    found = check_leak(replace(honest, frame=peeked))
    assert (found.verdict, "load_lag_2d" in found.reason) == ("refuse", True)
    absent = check_leak(replace(honest, recompute=lambda _issue, _areas: frame.clear()))
    assert absent.verdict == "refuse"
    copied = check_leak(replace(honest, frame=frame.with_columns(pl.col(LOAD).alias("hour"))))
    assert copied.reason == "leak: hour is the target itself"
    assert check_leak(replace(honest, frame=frame.clear())).verdict == "hold"


def test_metrics_tell_peak_bias_and_coverage_apart(world: Any) -> None:
    good = world.good.predict(world.held)
    base = world.hold_out(world.held, good, good)
    same = check_metrics_of_pair(base, POLICY)
    assert same.verdict == "pass"
    assert {row["worse"] for row in same.numbers["metrics"].values()} == {0.0}
    peaks = peak_rows(base)
    low_peaks = replace(base, candidate=np.where(peaks[:, None], good * 0.93, good))
    found = check_metrics_of_pair(low_peaks, POLICY)
    assert found.verdict == "refuse"
    assert "peak" in found.reason
    biased = check_metrics_of_pair(replace(base, candidate=good * 1.03), POLICY)
    assert "bias" in biased.reason
    wide = check_metrics_of_pair(replace(base, candidate=good[:, 1:2] + (good - good[:, 1:2]) * 0.2), POLICY)
    assert "coverage80" in wide.reason


def test_a_metric_that_cannot_be_had_refuses(world: Any) -> None:
    good = world.good.predict(world.held)
    middle = replace(world.hold_out(world.held, good, good), quantiles=(0.25, 0.5, 0.75))
    found = check_metrics_of_pair(middle, POLICY)
    assert (found.verdict, found.reason) == ("refuse", "missing metric or not a number: coverage80")


def test_peak_rows_are_the_highest_tenth_of_each_areas_day(world: Any) -> None:
    base = world.hold_out(world.held, world.good.predict(world.held))
    table = pl.DataFrame({"area": base.area, "day": base.day, "truth": base.truth, "peak": peak_rows(base)})
    for _, rows in table.group_by("area", "day"):
        wanted = max(1, int(np.ceil(0.1 * rows.height)))
        assert rows["peak"].sum() == wanted
        assert rows.filter("peak")["truth"].min() >= rows.filter(~pl.col("peak"))["truth"].max()


def test_a_slice_of_weather_or_of_a_group_refuses_by_its_name(world: Any) -> None:
    good = world.good.predict(world.held)
    base = world.hold_out(world.held, good, good).with_groups({"hills": ("north",)})
    labels = [label for label, _ in slices_of(base)]
    assert {"coldest hours", "hottest hours", "group hills", "holidays", "area south"} <= set(labels)
    hot = dict(slices_of(base))["hottest hours"]
    found = check_slices(replace(base, candidate=np.where(hot[:, None], good * 1.1, good)), POLICY)
    assert found.verdict == "refuse"
    assert "hottest hours" in found.reason
    hills = dict(slices_of(base))["group hills"]
    group = check_slices(replace(base, candidate=np.where(hills[:, None], good * 1.1, good)), POLICY)
    assert "group hills" in group.reason or "area north" in group.reason


def test_the_newest_days_are_looked_at_alone_and_against_what_was_handed_out(world: Any) -> None:
    good = world.good.predict(world.held)
    base = world.hold_out(world.held, good, good)
    late = base.day > base.day.max() - np.timedelta64(10, "D")
    turned = replace(base, candidate=np.where(late[:, None], good * 1.1, good))
    assert check_recent(turned, POLICY).verdict == "refuse"
    assert check_recent(base, POLICY).verdict == "pass"
    assert check_live(base, POLICY).reason == "nothing was handed out for the hold-out's days yet"
    assert check_live(turned.with_live(good), POLICY).verdict == "refuse"
    assert check_live(turned.with_live(good * 1.3), POLICY).verdict == "pass"
    none = replace(base, truth=np.full(len(base.truth), np.nan))
    assert check_recent(none, POLICY).verdict == "hold"


def test_bounds_of_few_days_are_not_a_point() -> None:
    daily = np.array([0.1, -0.05, 0.12, 0.02, -0.03, 0.08, 0.01])
    low, high = bootstrap_bounds(daily, block=7, draws=500, seed=1, confidence=0.95)
    assert low + 0.01 < daily.mean() < high - 0.01


def test_checks_of_performance_carry_duration_and_evidence(world: Any) -> None:
    good = world.good.predict(world.held)
    ticks = iter(range(1000))
    checks = check_performance(
        world.hold_out(world.held, good, good), POLICY, lambda: float(next(ticks)), {"holdout": "abc"}
    )
    assert all(check.duration_ms == 1000.0 and check.evidence == {"holdout": "abc"} for check in checks)
    names = ["output", "champion", "naive", "metrics", "recent", "live", "slices"]
    assert [check.name for check in checks] == [f"performance.{name}" for name in names]


def test_known_faults_are_repaired_by_leaving_rows_out_or_refuse(world: Any) -> None:
    frame = world.training
    start = frame["at"].min() + timedelta(days=20)
    part = (pl.col("area") == "north") & pl.col("at").is_between(start, start + timedelta(days=10))
    spots = frame.filter(part).select("area", "at")
    learned = check_known_faults(frame, KnownFaults(spots), POLICY)
    assert learned.verdict == "refuse"
    assert "flagged samples of north" in learned.reason
    repaired = frame.with_columns(pl.when(part).then(None).otherwise(pl.col(LOAD)).alias(LOAD))
    said = check_known_faults(repaired, KnownFaults(spots), POLICY)
    assert (said.verdict, said.reason) == ("pass", f"repaired: {spots.height} rows of flagged load were left out")
    lasting = KnownFault("shift", ("south",), start, None)
    open_fault = check_known_faults(frame, KnownFaults(spots.clear(), (lasting,)), POLICY)
    assert open_fault.verdict == "refuse"
    assert "shift of south" in open_fault.reason
    assert check_known_faults(frame, KnownFaults(spots.clear()), POLICY).reason.startswith("no known data fault")


def window(frame: pl.DataFrame, *, live: bool = False) -> SeriesWindow:
    return SeriesWindow(
        "live" if live else "training", frame, timedelta(hours=1), ZoneInfo("Australia/Melbourne"), live
    )


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (lambda f: f.drop(LOAD), "load_mw is missing"),
        (lambda f: pl.concat([f, f.head(3)]), "3 duplicate rows"),
        (lambda f: f.with_columns(at=pl.col("at") + pl.duration(minutes=pl.int_range(pl.len()) % 2)), "grid"),
        (lambda f: f.with_columns(temperature_c=pl.lit(None, dtype=pl.Float64)), "temperature_c of north is dead"),
        (lambda f: f.with_columns(temperature_c=pl.col("temperature_c") + 273.15), "lies outside"),
        (lambda f: f.with_columns(temperature_c=pl.lit(9.0)), "stuck: temperature_c"),
        (lambda f: f.filter(pl.int_range(pl.len()).over("area") % 2 == 0), "50% missing"),
    ],
)
def test_series_that_break_the_contract_are_named(world: Any, spoil: Any, word: str) -> None:
    found = check_contract((window(spoil(world.load)),), STANDARD_CONTRACT, POLICY)
    assert found.verdict == "refuse"
    assert any(word in fault for fault in found.numbers["faults"]), found.numbers["faults"]


def test_the_contract_is_kept_by_clean_series_and_one_live_feeder_does_not_stop_a_fleet(world: Any) -> None:
    kept = check_contract((window(world.load), window(world.load, live=True)), STANDARD_CONTRACT, POLICY)
    assert kept.verdict == "pass", kept.reason
    feeds = [world.load.filter(pl.col("area") == "north").with_columns(area=pl.lit(f"F{k:02d}")) for k in range(12)]
    fleet = pl.concat(feeds)
    dead = fleet.with_columns(pl.when(pl.col("area") == "F03").then(5.0).otherwise(pl.col(LOAD)).alias(LOAD))
    assert check_contract((window(dead, live=True),), STANDARD_CONTRACT, POLICY).verdict == "pass"
    assert check_contract((window(dead),), STANDARD_CONTRACT, POLICY).verdict == "refuse"
    assert check_contract((), STANDARD_CONTRACT, POLICY).verdict == "hold"


def test_a_contract_that_nothing_can_keep_is_refused() -> None:
    with pytest.raises(InvalidInput):
        SeriesContract("load_mw", lowest=5.0, highest=1.0)
    with pytest.raises(InvalidInput):
        SeriesContract("load")
    assert STANDARD_CONTRACT.of("wind_m_s").missing_share == 0.3
