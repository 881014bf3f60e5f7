from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from recloser.core import InvalidInput
from recloser.staging import (
    GatePolicy,
    bootstrap_bounds,
    check_performance,
    check_worth,
    judge,
    pair_scale,
    paired_days,
)

POLICY = GatePolicy()
HOW = {"block": 7, "draws": 500, "seed": 1, "confidence": 0.95}


@settings(max_examples=40, deadline=None)
@given(hnp.arrays(np.float64, st.integers(1, 60), elements=st.floats(-1e3, 1e3)))
def test_bounds_hold_the_mean_of_a_sample_and_repeat(daily: np.ndarray) -> None:
    low, high = bootstrap_bounds(daily, **HOW)
    assert daily.min() - 1e-9 <= low <= high <= daily.max() + 1e-9
    assert (low, high) == bootstrap_bounds(daily, **HOW)
    shifted = bootstrap_bounds(daily + 5.0, **HOW)
    np.testing.assert_allclose(shifted, (low + 5, high + 5), atol=1e-8)


def test_bounds_equal_a_plain_loop() -> None:
    daily = np.random.default_rng(3).normal(0, 1, 31)
    rng = np.random.default_rng(1)
    starts = rng.integers(0, 31, size=(500, 5))
    means = [np.concatenate([np.roll(daily, -s)[:7] for s in row])[:31].mean() for row in starts]
    np.testing.assert_allclose(bootstrap_bounds(daily, **HOW), np.quantile(means, [0.05, 0.95]), rtol=1e-12)


def test_bounds_cover_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(5)
    misses = 0
    for _ in range(300):
        daily = np.convolve(rng.normal(0, 1, 60), [1, 0.3], mode="same")
        low, high = bootstrap_bounds(daily, **{**HOW, "draws": 300})
        misses += not low <= 0 <= high
    assert 0.06 < misses / 300 < 0.20  # nominal 0.10; blocks of a short series miss somewhat more


def test_pairing_drops_what_one_side_lacks() -> None:
    day = np.repeat(np.array(["2020-01-01", "2020-01-02", "2020-01-03"], dtype="datetime64[D]"), 4)
    first, second = np.ones(12), np.full(12, 0.5)
    first[1] = np.nan
    second[4:8] = np.nan
    pairs = paired_days(first, second, day)
    assert pairs.days.astype(str).tolist() == ["2020-01-01", "2020-01-03"]
    assert pairs.rows.tolist() == [3, 4]
    assert pairs.relative() == pytest.approx(1.0)
    nothing = paired_days(np.full(12, np.nan), second, day)
    assert nothing.days.size == 0
    assert np.isnan(nothing.relative())


def test_the_scales_of_a_pair(world: Any) -> None:
    good, weak = world.good.predict(world.held), world.weak.predict(world.held)
    held = world.hold_out(world.held, good, weak)
    scale = pair_scale(held)
    assert scale is not None
    gap = np.abs(good[:, 1] - weak[:, 1]) / world.held["scale_mw"].to_numpy()
    assert scale.divergence_q99 == pytest.approx(np.quantile(gap, 0.99))
    assert scale.divergence_q99 <= scale.divergence_q999 <= gap.max()
    daily = paired_days(held.loss(good), held.loss(weak), held.day)
    assert scale.sd_day == pytest.approx(daily.difference.std(ddof=1))
    assert set(scale.sd_day_by_area) == {"north", "south"}
    assert pair_scale(world.hold_out(world.held, good)) is None
    (champion,) = (c for c in check_performance(held, POLICY) if c.name == "performance.champion")
    assert champion.numbers["pair"] == scale.to_dict()


def test_an_identical_model_passes_the_champion_check(world: Any) -> None:
    good = world.good.predict(world.held)
    checks = check_performance(world.hold_out(world.held, good, good.copy()), POLICY)
    assert judge(checks).verdict == "pass"


@pytest.mark.parametrize(("factor", "word"), [(1.0, "pass"), (1.5, "refuse")])
def test_one_bad_area_cannot_hide_in_the_mean(world: Any, factor: float, word: str) -> None:
    good = world.good.predict(world.held)
    spoiled = good.copy()
    south = (world.held["area"] == "south").to_numpy()
    error = spoiled[south] - world.held["load_mw"].to_numpy()[south, None]
    spoiled[south] = world.held["load_mw"].to_numpy()[south, None] + factor * error
    better = spoiled.copy()
    north = ~south
    truth = world.held["load_mw"].to_numpy()[north, None]
    better[north] = truth + 0.2 * (better[north] - truth)  # the other area more than makes up for it
    checks = {c.name: c for c in check_performance(world.hold_out(world.held, better, good), POLICY)}
    assert checks["performance.champion"].verdict == "pass"
    assert checks["performance.slices"].verdict == word
    if word == "refuse":
        assert "area south" in checks["performance.slices"].reason


def test_a_mean_within_the_margin_but_uncertain_is_a_hold(world: Any) -> None:
    good = world.good.predict(world.held)
    day = (world.held["at"].dt.ordinal_day().to_numpy() // 3) % 2 == 0
    truth = world.held["load_mw"].to_numpy()[:, None]
    uneven = np.where(day[:, None], truth + 1.6 * (good - truth), truth + 0.45 * (good - truth))
    result = next(
        c
        for c in check_performance(
            world.hold_out(world.held, uneven, good), replace(POLICY, margin=0.05, uncertainty=0.0)
        )
        if c.name == "performance.champion"
    )
    assert abs(result.numbers["relative"]) < 0.1
    low, high = result.numbers["lower"], result.numbers["upper"]
    assert low < result.numbers["relative"] < high
    wanted = "refuse" if result.numbers["relative"] > 0.05 else "hold" if high > 0.05 else "pass"
    assert result.verdict == wanted
    strict = replace(POLICY, margin=result.numbers["relative"] + 1e-6, uncertainty=0.0)
    held = world.hold_out(world.held, uneven, good)
    again = next(c for c in check_performance(held, strict) if c.name == "performance.champion")
    assert again.verdict == "hold"


def test_the_incumbent_is_advice_or_a_must(world: Any) -> None:
    import polars as pl

    weak = world.weak.predict(world.held)
    rows = world.held.with_columns((pl.col("load_mw") * 1.002).alias("incumbent_mw"))
    held = world.hold_out(rows, weak)
    advice = next(c for c in check_performance(held, POLICY) if c.name == "performance.incumbent")
    assert advice.verdict == "pass"
    assert advice.reason.startswith("advice only")
    must = replace(POLICY, incumbent_required=True)
    assert judge(check_performance(held, must)).verdict == "refuse"
    perfect = world.held.with_columns(pl.col("load_mw").alias("incumbent_mw"))
    assert judge(check_performance(world.hold_out(perfect, weak), must)).verdict == "refuse"


def test_losing_to_the_naive_is_refused(world: Any) -> None:
    good = world.good.predict(world.held)
    held = world.hold_out(world.held, good, None, naive=good.copy())
    checks = {c.name: c for c in check_performance(held, replace(POLICY, naive_margin=0.02))}
    assert checks["performance.naive"].verdict == "refuse"


def test_arrays_must_fit(world: Any) -> None:
    with pytest.raises(InvalidInput):
        world.hold_out(world.held, world.good.predict(world.held), np.ones((3, 3)))


def test_a_candidate_nobody_asked_for_must_help(world: Any) -> None:
    good, weak = world.good.predict(world.held), world.weak.predict(world.held)
    better = check_worth(world.hold_out(world.held, good, weak), POLICY, "schedule")
    assert (better.name, better.verdict) == ("performance.worth", "pass")
    worse = check_worth(world.hold_out(world.held, weak, good), POLICY, "drift")
    assert worse.verdict == "refuse"
    assert "retraining (drift) would not help" in worse.reason
    assert "Doing nothing is better" in worse.reason
    alike = check_worth(world.hold_out(world.held, good, good.copy()), POLICY, "schedule")
    assert alike.verdict == "pass"  # no worse; whoever wants a gain says how large
    wanted = replace(POLICY, worth_margin=0.01)
    assert check_worth(world.hold_out(world.held, good, good.copy()), wanted, "schedule").verdict == "refuse"
    assert check_worth(world.hold_out(world.held, good), POLICY, "schedule").verdict == "pass"
