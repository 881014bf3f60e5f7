"""The fast sequence: simulated error rates with correlated days (bounded, seeded), no look ahead, what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recloser.core import InvalidInput
from recloser.core.scores import long_run_sd, ratio_scale
from recloser.rollout.paired.sequence import LEAST_DAYS, sequence_bounds, surely_worse

DAYS = 56
ALPHA = 0.025


def pulled(count, mean, correlation, seed):
    """Share of canaries pulled, and the day each was: staging and canary are drawn alike, sd 1."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((count, 40 + DAYS))
    for day in range(1, 40 + DAYS):
        noise[:, day] = correlation * noise[:, day - 1] + np.sqrt(1 - correlation**2) * noise[:, day]
    first = []
    for row in noise:
        over = np.flatnonzero(sequence_bounds(mean + row[40:], long_run_sd(row[:40]), ALPHA)[0] > 0)
        first.append(over[0] + 1 if over.size else np.inf)
    return np.array(first)


@pytest.mark.parametrize(("correlation", "most", "seed"), [(0.0, 0.025, 21), (0.3, 0.04, 22)])
def test_equal_candidates_are_seldom_pulled_although_days_resemble_their_neighbours(correlation, most, seed):
    assert np.isfinite(pulled(1500, 0.0, correlation, seed)).mean() <= most


def test_a_candidate_worse_by_the_noise_of_a_day_is_pulled_in_a_week_or_so():
    first = pulled(300, 1.0, 0.0, 23)
    assert np.isfinite(first).all()
    assert np.median(first) <= 10
    assert min(first) >= LEAST_DAYS


@given(st.lists(st.floats(-1.0, 1.0), min_size=1, max_size=20), st.integers(1, 20))
def test_a_verdict_never_looks_ahead(differences, cut):
    whole, part = np.array(differences), np.array(differences[:cut])
    for one, other in zip(sequence_bounds(whole, 0.2, ALPHA), sequence_bounds(part, 0.2, ALPHA), strict=True):
        assert np.array_equal(one[: part.size], other)


def test_no_day_says_nothing():
    assert not surely_worse(np.empty(0), 0.2, ALPHA)
    low, high = sequence_bounds(np.empty(0), 0.2, ALPHA)
    assert low.size == high.size == 0


def test_a_handful_of_alike_days_is_no_certainty():
    few, many = np.full(LEAST_DAYS, 0.05), np.full(DAYS, 0.05)
    assert not surely_worse(few, 0.1, ALPHA)
    assert surely_worse(many, 0.1, ALPHA)


def test_the_bounds_hold_the_mean_of_a_steady_difference():
    low, high = sequence_bounds(np.full(DAYS, 0.1), 0.05, ALPHA)
    assert np.isinf(low[: LEAST_DAYS - 1]).all()
    assert (low[LEAST_DAYS - 1 :] < 0.1).all()
    assert (high[LEAST_DAYS - 1 :] > 0.1).all()


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_a_scale_that_is_none_is_refused(scale):
    with pytest.raises(InvalidInput, match="scale"):
        sequence_bounds(np.ones(3), scale, ALPHA)


def test_the_long_run_sd_grows_with_correlation_and_never_falls_below_the_plain_one():
    rng = np.random.default_rng(24)
    noise = rng.standard_normal(400)
    smooth = np.convolve(noise, np.ones(4) / 4, mode="valid")
    assert long_run_sd(smooth) > 1.5 * smooth.std(ddof=1)
    zigzag = np.tile([1.0, -1.0], 20)
    assert long_run_sd(zigzag) == pytest.approx(zigzag.std(ddof=1))
    assert long_run_sd(np.zeros(5)) == 0.0
    assert np.isnan(long_run_sd(np.ones(1)))


def losses(count, ratio, seed, days=56):
    """Two models' daily losses with the same hard and easy days; the candidate's mean is `ratio` times the other's."""
    rng = np.random.default_rng(seed)
    level = rng.gamma(2.0, 0.5, (count, days))
    theirs = level * rng.lognormal(-0.005, 0.1, (count, days))
    mine = ratio * level * rng.lognormal(-0.02, 0.2, (count, days))  # uneven: better on most days, worse on some
    return mine, theirs


def pulled_by_ratio(ratio, count, seed):
    staging, canaries = losses(count, 1.3, seed), losses(count, ratio, seed + 1)
    first = []
    for number in range(count):
        scale = ratio_scale(staging[0][number], staging[1][number])
        assert scale is not None
        x = np.log(canaries[0][number] / canaries[1][number]) - scale.offset
        over = np.flatnonzero(sequence_bounds(x, scale.sd, ALPHA, scale.offset_sd)[0] > 0)
        first.append(over[0] + 1 if over.size else np.inf)
    return np.array(first)


def test_the_log_ratio_less_its_offset_tests_equal_means_whatever_the_means_were_in_staging():
    assert np.isfinite(pulled_by_ratio(1.0, 800, 61)).mean() <= 0.03


def test_where_days_differ_in_difficulty_the_log_ratio_finds_a_fifth_more_loss_before_the_difference_does():
    by_ratio = pulled_by_ratio(1.2, 300, 63)
    mine, theirs = losses(300, 1.2, 64)
    calm = losses(300, 1.0, 65)
    scales = [long_run_sd(row) for row in calm[0] - calm[1]]
    by_difference = []
    for row, scale in zip(mine - theirs, scales, strict=True):
        over = np.flatnonzero(sequence_bounds(row, scale, ALPHA)[0] > 0)
        by_difference.append(over[0] + 1 if over.size else np.inf)
    assert np.median(by_ratio) < np.median(by_difference)


def test_an_uncertain_offset_is_never_outweighed_by_days():
    days = np.full(2000, 0.02)
    assert surely_worse(days, 0.1, ALPHA)
    assert not surely_worse(days, 0.1, ALPHA, offset_sd=0.02)


def test_no_ratio_without_days_or_without_loss():
    steady = np.ones(56) + np.linspace(0, 0.1, 56)
    assert ratio_scale(steady[:13], steady[:13]) is None
    assert ratio_scale(np.zeros(56), steady) is None
    assert ratio_scale(steady, steady) is None  # no noise, no scale
    scale = ratio_scale(2.0 * steady[::-1], steady)
    assert scale is not None
    assert abs(scale.offset) < 1e-3
