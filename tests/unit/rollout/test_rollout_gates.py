"""Which numbers the fast test looks at: log ratios where every day has one of one staging, else differences."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recloser.rollout import RolloutState
from recloser.rollout.gates import t2_numbers


def days_with(build, differences, ratios, sd=0.1, offset_sd=0.01):
    plain = build.days(list(differences))
    facts = [{"ratio": {"x": float(x), "sd": sd, "offset_sd": offset_sd}} for x in ratios]
    return tuple(replace(day, facts=fact) for day, fact in zip(plain, facts, strict=True))


@pytest.fixture
def canary(build):
    return build.rollout(RolloutState.CANARY, scale=10.0)


UP = np.full(20, 0.2)


def test_ratios_pull_where_differences_are_still_too_noisy(canary, build):
    assert t2_numbers(canary, days_with(build, UP, UP))["surely_worse"]
    assert not t2_numbers(canary, build.days(list(UP)))["surely_worse"]


def test_ratios_do_not_pull_a_candidate_whose_mean_loss_is_lower(canary, build):
    assert not t2_numbers(canary, days_with(build, -UP, UP))["surely_worse"]


def test_one_day_without_a_ratio_or_of_another_staging_leaves_the_differences(canary, build):
    days = days_with(build, UP, UP)
    assert not t2_numbers(canary, (*days[:-1], replace(days[-1], facts={})))["surely_worse"]
    other = replace(days[-1], facts={"ratio": {"x": 0.2, "sd": 0.3, "offset_sd": 0.01}})
    assert not t2_numbers(canary, (*days[:-1], other))["surely_worse"]


def test_an_empty_day_counts_for_nothing(canary, build):
    days = days_with(build, UP, UP)
    empty = replace(days[-1], n=0, facts={})
    assert t2_numbers(canary, (*days[:-1], empty))["surely_worse"]
    assert t2_numbers(canary, ())["surely_worse"] is False
