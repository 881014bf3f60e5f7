"""The fast tests on losses and ramp errors: validity by simulation, power, old days, what a staging scale is."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from recloser.core import InvalidInput
from recloser.core.scores import JOINT_WEIGHTS, joint_scale, ramp_error, ratio_scale
from recloser.rollout import AreaDay, DayRule, PairedDay, close_day, quantile_loss
from recloser.rollout.paired.fast import JOINT_SHARE, fast_verdict, levels
from recloser.rollout.paired.pairing import area_ramps
from recloser.rollout.paired.sequence import sequence_bounds

DAYS, ALPHA = 56, 0.025
START, CLOSED = date(2020, 1, 1), datetime(2020, 6, 1, tzinfo=UTC)


def days_of(rows):
    return tuple(
        PairedDay(START + timedelta(days=number), 0.0, 24, CLOSED, dict(facts)) for number, facts in enumerate(rows)
    )


def daily(count, ratio, correlation, seed):
    """Daily losses and ramp errors of both models: shared difficulty, own luck with memory; ramps the less noisy."""
    rng = np.random.default_rng(seed)

    def slow(sd):
        noise = rng.standard_normal((count, DAYS))
        for day in range(1, DAYS):
            noise[:, day] = correlation * noise[:, day - 1] + np.sqrt(1 - correlation**2) * noise[:, day]
        return np.exp(sd * noise - sd**2 / 2)

    hard = rng.lognormal(0.0, 0.4, (count, DAYS))
    return ratio * hard * slow(0.25), hard * slow(0.2), ratio * hard * slow(0.12), hard * slow(0.1)


def pulled(ratio, correlation, seed, count):
    """Return the day on which either fast test pulls each canary, and the day on which losses alone would."""
    before, canary = daily(count, 1.0, correlation, seed), daily(count, ratio, correlation, seed + 1)
    both, alone = [], []
    for number in range(count):
        own = [part[number] for part in before]
        scale, plain = joint_scale((own[0], own[1]), (own[2], own[3])), ratio_scale(own[0], own[1])
        assert scale is not None
        assert plain is not None
        mine, theirs, ramp_mine, ramp_theirs = (part[number] for part in canary)
        loss, ramp = np.log(mine / theirs), np.log(ramp_mine / ramp_theirs)
        joint = (1 - scale.weight) * (loss - scale.loss_offset) + scale.weight * (ramp - scale.ramp_offset)
        first, second = levels(ALPHA)
        paths = [
            sequence_bounds(joint, scale.sd, first, scale.offset_sd)[0] > 0,
            sequence_bounds(loss - plain.offset, plain.sd, second, plain.offset_sd)[0] > 0,
            sequence_bounds(loss - plain.offset, plain.sd, ALPHA, plain.offset_sd)[0] > 0,
        ]
        both.append(first_day(paths[0] | paths[1]))
        alone.append(first_day(paths[2]))
    return np.array(both), np.array(alone)


def first_day(over):
    return float(over.argmax()) + 1.0 if over.any() else np.inf


@pytest.mark.parametrize(("correlation", "most", "seed"), [(0.0, 0.025, 81), (0.3, 0.04, 83)])
def test_equal_candidates_are_seldom_pulled_by_either_of_the_two(correlation, most, seed):
    both, _ = pulled(1.0, correlation, seed, 1000)
    assert np.isfinite(both).mean() <= most


def test_ramp_errors_halve_the_days_that_losses_alone_need():
    both, alone = pulled(1.2, 0.0, 85, 200)
    assert np.median(both) <= 8
    assert np.median(both) <= 0.6 * np.median(alone)


def facts(joint=0.0, ratio=0.0):
    return {"ratio": {"x": ratio, "sd": 0.2, "offset_sd": 0.02}, "joint": {"x": joint, "sd": 0.1, "offset_sd": 0.01}}


def test_the_level_is_split_and_each_part_may_pull():
    assert sum(levels(ALPHA)) == pytest.approx(ALPHA)
    assert levels(ALPHA)[0] == JOINT_SHARE * ALPHA
    assert fast_verdict(days_of([facts(joint=0.3)] * 8), 0.2, ALPHA)
    assert fast_verdict(days_of([facts(ratio=0.6)] * 12), 0.2, ALPHA)
    assert not fast_verdict(days_of([facts()] * 12), 0.2, ALPHA)
    assert not fast_verdict((), 0.2, ALPHA)


def test_days_stored_before_there_were_joint_numbers_are_judged_as_then():
    rows = [facts(joint=0.3, ratio=0.0)] * 8
    old = [{"ratio": row["ratio"]} for row in rows]
    assert not fast_verdict(days_of(old), 0.2, ALPHA)
    assert not fast_verdict(days_of([*old[:1], *rows[1:]]), 0.2, ALPHA)
    bare = tuple(replace(day, difference=0.5, facts={}) for day in days_of(rows))
    assert fast_verdict(bare, 0.2, ALPHA)


def test_a_ramp_error_is_by_the_hour_and_blind_to_a_bias():
    truth = np.array([5.0, 6.0, 8.0, 7.0] * 6)
    answer = truth + np.tile([0.0, 1.0], 12)
    assert ramp_error(truth, answer) == 1.0
    assert ramp_error(truth, answer + 3.0) == 1.0
    half = np.repeat(truth, 2)
    assert ramp_error(half, half + np.repeat(np.tile([0.0, 1.0], 12), 2)) == 1.0
    holes = truth.copy()
    holes[::2] = np.nan
    assert np.isnan(ramp_error(holes, answer))
    assert np.isnan(ramp_error(truth[:1], answer[:1]))


def test_the_scale_takes_the_quieter_mixture_and_never_credits_a_ramp_advantage():
    mine, theirs, ramp_mine, ramp_theirs = (part[0] for part in daily(1, 1.0, 0.0, 87))
    scale = joint_scale((mine, theirs), (0.8 * ramp_mine, ramp_theirs))
    assert scale is not None
    assert scale.weight == max(JOINT_WEIGHTS)
    assert scale.ramp_offset == 0.0
    loud = joint_scale((mine, theirs), (ramp_mine * np.exp(np.tile([3.0, -3.0], 28)), ramp_theirs))
    assert loud is not None
    assert loud.weight == 0.0
    assert loud.mixed(0.3, 99.0) == 0.3 - loud.loss_offset


def test_no_scale_without_days_or_without_errors():
    mine, theirs, ramp_mine, ramp_theirs = (part[0] for part in daily(1, 1.0, 0.0, 88))
    nothing = np.full(DAYS, np.nan)
    assert joint_scale((mine, theirs), (nothing, nothing)) is None
    assert joint_scale((mine, theirs), (0.0 * ramp_mine, ramp_theirs)) is None
    assert joint_scale((mine[:13], theirs[:13]), (ramp_mine[:13], ramp_theirs[:13])) is None
    with pytest.raises(InvalidInput, match="other days"):
        joint_scale((mine, theirs), (ramp_mine[1:], ramp_theirs[1:]))


def test_a_closed_day_carries_the_joint_number_of_its_pooled_errors():
    rng = np.random.default_rng(89)
    spread = np.array([-1.0, 0.0, 1.0])
    areas = []
    for name, scale in (("b", 2.0), ("a", 5.0)):
        truth = rng.uniform(50, 60, 24)
        answers = [truth[:, None] + rng.normal(0, 3, (24, 1)) + spread for _ in range(2)]
        areas.append(AreaDay(name, scale, truth, answers[0], answers[1]))
    loss = quantile_loss((0.1, 0.5, 0.9))
    before = [part[0] for part in daily(1, 1.0, 0.0, 90)]
    joint, ratio = joint_scale((before[0], before[1]), (before[2], before[3])), ratio_scale(before[0], before[1])
    assert joint is not None
    assert ratio is not None
    rule = DayRule(0.75, CLOSED, ratio, joint)
    closed = close_day(START, areas, loss, rule, CLOSED)
    again = close_day(START, areas[::-1], loss, rule, CLOSED)
    assert closed is not None
    assert closed == again
    ramps = np.sum([area_ramps(one) for one in areas], axis=0)
    lost = closed.facts["ratio"]["x"] + ratio.offset
    assert closed.facts["joint"]["x"] == pytest.approx(joint.mixed(lost, np.log(ramps[0] / ramps[1])))
    without = close_day(START, areas, loss, DayRule(0.75, CLOSED, ratio), CLOSED)
    assert without is not None
    assert "joint" not in without.facts
