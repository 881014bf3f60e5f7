"""Who would have served better: sure savings only, a false-switch rate that stays small, no switch on what is over."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest

from recloser.rollout import AreaDay, Harm, LossDay, RetreatPlan, Rival, judged, loss_day

PLAN = RetreatPlan()
FIRST = date(2020, 3, 1)


def loss(truth, answer):
    return np.abs(truth - answer[:, 0])


def series(saved, served=1.0):
    """Days on which the rival saved so much of the loss of who serves."""
    return [LossDay(FIRST + timedelta(days=k), served, served - x, 2) for k, x in enumerate(saved)]


def verdict(saved, plan=PLAN, rivals=2):
    return judged("seasonal_naive", series(saved), plan, release=False, rivals=rivals)


def noise(count, seed=0, mean=0.0, sd=0.2):
    return (np.random.default_rng(seed).standard_normal(count) * sd + mean).tolist()


def test_a_rival_that_saves_every_day_is_better_and_one_that_costs_never_is():
    assert verdict(noise(14, mean=0.4)).better
    assert not verdict(noise(14, mean=-0.4)).better
    assert not verdict([]).better
    assert not verdict(noise(4, mean=0.9)).better  # too few days for any certainty


def test_what_is_not_worth_it_or_over_is_no_reason():
    assert not verdict(noise(28, mean=0.04, sd=0.001)).better
    over = [*noise(20, mean=0.5), -0.05, -0.05, -0.05]
    assert verdict(over).lower > 0.0
    assert not verdict(over).better


def test_only_the_newest_days_are_looked_at():
    assert not verdict(noise(30, mean=0.6) + noise(14, seed=1, mean=-0.1)).better


def test_equal_rivals_rarely_count_as_better_at_any_of_four_weeks_of_looks():
    """Alpha 0.05 over two rivals; the window moves on, so that looks beyond a fortnight add a little to it."""
    wrong = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        saved = [rng.standard_normal(28) * 0.3, rng.standard_normal(28) * 0.3]
        wrong += any(verdict(list(one[:n])).better for one in saved for n in range(5, 29))
    assert wrong <= 20


def test_a_day_that_tells_of_too_few_areas_tells_nothing():
    def area(name, truth):
        served, rival = np.full((3, 1), 12.0), np.full((3, 1), 11.0)
        return AreaDay(name, 2.0, np.array(truth), served, rival)

    whole, dead = [10.0, 10.0, np.nan], [np.nan] * 3
    day = loss_day(FIRST, [area("a", whole), area("b", dead)], loss, 2, PLAN)
    assert day == LossDay(FIRST, 1.0, 0.5, 1)
    assert loss_day(FIRST, [area("a", whole), area("b", dead)], loss, 3, PLAN) is None
    assert loss_day(FIRST, [], loss, 1, PLAN) is None


def test_what_is_said_is_a_sentence_with_its_certainty():
    assert verdict([0.5] * 10).sentence() == "seasonal naive would have lost 50% less over 10 days (surely better)"
    assert verdict([-0.5]).sentence() == "seasonal naive would have lost 50% more over 1 day (not surely better)"
    assert verdict([]).sentence() == "seasonal naive cannot be compared: no closed day tells of it"


@pytest.mark.parametrize("saved", [[], [0.1], noise(10)])
def test_a_rival_is_kept_as_json(saved):
    harm = Harm(("sig-1",), True, "worse", (verdict(saved),))
    again = Harm.from_dict(harm.to_dict())
    assert str(again) == str(harm)
    assert isinstance(again.rivals[0], Rival)
