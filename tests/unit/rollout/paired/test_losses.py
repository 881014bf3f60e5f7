"""What a forecast or an alarm costs on one point, and a rare-event detector through the whole pairing."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from recloser.core import InvalidInput
from recloser.core.scores import crps
from recloser.rollout import AreaDay, DayRule, alarm_cost, area_difference, brier_loss, close_day, log_loss
from recloser.rollout.paired.betting import ever_over, wealth_worse
from recloser.rollout.paired.losses import quantile_loss
from recloser.rollout.paired.sequence import surely_worse

EVENT = np.array([0.0, 1.0, 0.0, 1.0])
SAID = np.array([[0.2], [0.9], [0.7], [0.1]])


def test_each_loss_is_its_formula():
    assert list(brier_loss(EVENT, SAID)) == pytest.approx([0.04, 0.01, 0.49, 0.81])
    assert list(log_loss(0.2)(EVENT, SAID)) == pytest.approx(-np.log([0.8, 0.8, 0.3, 0.2]))
    assert list(alarm_cost(0.5, 10.0, 1.0)(EVENT, SAID)) == [0.0, 0.0, 1.0, 10.0]
    forecast = np.array([[1.0, 2.0, 3.0]])
    levels = (0.1, 0.5, 0.9)
    assert quantile_loss(levels)(np.array([2.5]), forecast) == crps(np.array([2.5]), forecast, levels)


@pytest.mark.parametrize("loss", [brier_loss, log_loss(0.01), alarm_cost(0.5, 10.0, 1.0)])
@pytest.mark.parametrize("answer", [SAID[:3] + 2.0, np.hstack([SAID, SAID])[:3], SAID[:3, 0]])
def test_an_answer_that_is_no_probability_is_refused(loss, answer):
    with pytest.raises(InvalidInput, match="detector"):
        loss(EVENT[:3], answer)


@pytest.mark.parametrize("loss", [brier_loss, log_loss(0.01), alarm_cost(0.5, 10.0, 1.0)])
def test_a_truth_between_yes_and_no_is_refused(loss):
    with pytest.raises(InvalidInput, match="detector"):
        loss(np.array([0.0, 1.0, 0.5, 1.0]), SAID)


def test_costs_and_floors_without_sense_are_refused():
    for miss, false_alarm in [(0.0, 0.0), (-1.0, 1.0), (np.inf, 1.0)]:
        with pytest.raises(InvalidInput, match="costs"):
            alarm_cost(0.5, miss, false_alarm)
    for floor in (0.0, 0.5):
        with pytest.raises(InvalidInput, match="floor"):
            log_loss(floor)


def detector_days(skill, seed, days=56):
    """Faults in 2 % of 96 quarter hours; a detector with skill gives them 0.8, else the base rate; the champion 0.5."""
    rng = np.random.default_rng(seed)
    found = []
    rule = DayRule(0.75, datetime(2021, 1, 1, tzinfo=UTC))
    for number in range(days):
        event = (rng.random(96) < 0.02).astype(float)
        noise = rng.uniform(0.0, 0.04, 96)
        mine = np.where(event > 0, skill, 0.02) + noise * 0.5
        theirs = np.where(event > 0, 0.5, 0.02) + noise[::-1] * 0.5
        area = AreaDay("feeder", 0.006, event, mine[:, None], theirs[:, None])
        day = close_day(date(2020, 1, 1) + timedelta(days=number), [area], brier_loss, rule, rule.deadline)
        assert day is not None
        found.append(day.difference)
    return np.array(found)


def test_a_blind_detector_is_found_and_an_equal_one_is_not():
    scale = float(detector_days(0.5, 31).std() + detector_days(0.02, 32).std())
    blind = detector_days(0.02, 33)
    assert ever_over(wealth_worse(blind, scale), 0.05)
    assert surely_worse(blind, scale, 0.025)
    equal = detector_days(0.5, 34)
    assert not ever_over(wealth_worse(equal, scale), 0.05)
    assert not surely_worse(equal, scale, 0.025)


def test_a_missing_event_label_leaves_both_arms():
    truth = np.array([0.0, np.nan, 0.0, 1.0])
    points = AreaDay("feeder", 1.0, truth, SAID, np.full((4, 1), 0.5))
    assert area_difference(points, brier_loss) == (pytest.approx((0.04 + 0.49 + 0.81) / 3 - 0.25), 3)
