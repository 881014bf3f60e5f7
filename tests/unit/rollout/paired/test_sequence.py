"""The fast sequence: simulated error rates with correlated days (bounded, seeded), no look ahead, what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recloser.core import InvalidInput
from recloser.core.scores import long_run_sd
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
