"""The sequential tests: exact small cases, replay, and simulated error rates (bounded, seeded)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recloser.core import InvalidInput
from recloser.core.scores import long_run_sd
from recloser.rollout.paired.betting import (
    CLIPS,
    LAMBDAS,
    ever_over,
    wealth,
    wealth_good,
    wealth_since,
    wealth_worse,
)

DAYS = 56
ALPHA = 0.05


def slow_wealth(differences, scale):
    pots = []
    for clip in CLIPS:
        for share in LAMBDAS:
            pot = 1.0
            for difference in differences:
                pot *= 1.0 + share * min(1.0, max(-1.0, difference / (clip * scale)))
            pots.append(pot)
    return sum(pots) / len(pots)


def series(count, mean, scale, correlation, seed):
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((count, DAYS))
    for day in range(1, DAYS):
        noise[:, day] = correlation * noise[:, day - 1] + np.sqrt(1 - correlation**2) * noise[:, day]
    return mean + scale * noise


def rejected(rows, scale):
    first = []
    for row in rows:
        over = np.flatnonzero(wealth_worse(row, scale) >= 1 / ALPHA)
        first.append(over[0] + 1 if over.size else np.inf)
    return np.array(first)


@given(st.lists(st.floats(-3.0, 3.0), max_size=20), st.floats(0.01, 2.0))
def test_wealth_is_the_plain_average_of_the_bets(differences, scale):
    path = wealth(np.array(differences), scale)
    expected = [slow_wealth(differences[: i + 1], scale) for i in range(len(differences))]
    assert list(path) == pytest.approx(expected, rel=1e-9)


@given(st.lists(st.floats(-1.0, 1.0), min_size=1, max_size=20), st.integers(1, 20))
def test_a_verdict_never_looks_ahead(differences, cut):
    whole, part = np.array(differences), np.array(differences[:cut])
    assert np.array_equal(wealth(whole, 0.2)[: part.size], wealth(part, 0.2))
    assert np.array_equal(wealth_since(whole, 0.2, 9)[: part.size], wealth_since(part, 0.2, 9))


def test_no_day_says_nothing():
    nothing = np.empty(0)
    assert wealth(nothing, 0.2).size == 0
    assert not ever_over(wealth(nothing, 0.2), ALPHA)
    assert wealth_since(nothing, 0.2, 14).size == 0


def test_years_of_one_sided_days_do_not_overflow():
    path = wealth(np.full(4000, 10.0), 0.2)
    assert np.isfinite(path).all()
    assert ever_over(path, ALPHA)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_a_scale_that_is_none_is_refused(scale):
    with pytest.raises(InvalidInput, match="scale"):
        wealth(np.ones(3), scale)
    with pytest.raises(InvalidInput, match="scale"):
        wealth_since(np.ones(3), scale, 14)


def test_a_day_without_a_number_is_refused():
    with pytest.raises(InvalidInput, match="without a number"):
        wealth(np.array([0.1, np.nan]), 0.2)


@pytest.mark.parametrize(("correlation", "seed"), [(0.0, 11), (0.3, 12)])
def test_an_equal_candidate_is_rolled_back_in_at_most_alpha_of_the_canaries(correlation, seed):
    rows = series(800, 0.0, 0.15, correlation, seed)
    staging = series(800, 0.0, 0.15, correlation, seed + 100)[:, :40]
    found = [ever_over(wealth_worse(row, long_run_sd(past)), ALPHA) for row, past in zip(rows, staging, strict=True)]
    assert np.mean(found) <= ALPHA


def test_a_twenty_percent_worse_candidate_is_found():
    first = rejected(series(300, 0.20, 0.15, 0.0, 13), 0.15)
    assert np.isfinite(first).all()
    assert np.median(first) <= 16


def test_a_candidate_at_the_margin_is_promoted_in_at_most_alpha_of_the_canaries():
    rows = series(500, 0.05, 0.15, 0.0, 15)
    rate = np.mean([ever_over(wealth_good(row, 0.15, 0.05), ALPHA) for row in rows])
    assert rate <= ALPHA


def test_a_better_candidate_is_promoted():
    rows = series(200, -0.05, 0.05, 0.0, 16)
    assert np.mean([ever_over(wealth_good(row, 0.05, 0.05), ALPHA) for row in rows]) > 0.99


def slow_wealth_since(differences, scale, days):
    whole = slow_wealth(differences, scale)
    late = [slow_wealth(differences[start:], scale) for start in range(1, days)]
    return 0.5 * whole + 0.5 * sum(late) / len(late)


@given(st.lists(st.floats(-3.0, 3.0), min_size=1, max_size=12), st.integers(2, 15))
def test_the_watch_is_the_plain_average_over_the_days_on_which_harm_may_begin(differences, days):
    path = wealth_since(np.array(differences), 0.7, days)
    expected = [slow_wealth_since(differences[: i + 1], 0.7, days) for i in range(len(differences))]
    assert list(path) == pytest.approx(expected, rel=1e-9)


def test_a_watch_of_one_day_is_plain_betting_and_of_none_is_refused():
    days = np.array([0.1, -0.2, 0.3])
    assert np.array_equal(wealth_since(days, 0.2, 1), wealth(days, 0.2))
    with pytest.raises(InvalidInput, match="watch"):
        wealth_since(days, 0.2, 0)


def test_good_days_before_the_change_do_not_delay_the_watch():
    rows = series(200, 0.0, 0.15, 0.0, 17)[:, :42]
    rows[:, :14] -= 0.15
    rows[:, 14:] += 0.20
    watch = [np.flatnonzero(wealth_since(row, 0.15, 30) >= 1 / ALPHA) for row in rows]
    plain = [np.flatnonzero(wealth(row, 0.15) >= 1 / ALPHA) for row in rows]
    delay = np.median([over[0] - 13 if over.size else np.inf for over in watch])
    assert delay <= 20
    assert np.median([over[0] - 13 if over.size else np.inf for over in plain]) > 1.5 * delay


def test_an_equal_champion_is_tripped_in_at_most_alpha_of_the_watches():
    rows = series(800, 0.0, 0.15, 0.0, 18)
    assert np.mean([ever_over(wealth_since(row, 0.15, 14), ALPHA) for row in rows]) <= ALPHA
