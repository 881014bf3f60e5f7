"""Paired days: both arms lose a point together, days close once, late labels change nothing."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recloser.core import InvalidInput
from recloser.core.scores import RatioScale, crps
from recloser.rollout import AreaDay, DayRule, PairedDay, area_difference, close_day, merge_days, quantile_loss
from recloser.rollout.paired.pairing import area_losses, day_from_record, day_to_record, informative

Q = (0.1, 0.5, 0.9)
LOSS = quantile_loss(Q)
DAY = date(2020, 3, 3)
NOW = datetime(2020, 3, 5, tzinfo=UTC)
RULE = DayRule(0.75, NOW + timedelta(days=2))


def area(truth, candidate_off=0.0, champion_off=0.0, name="a", scale=1.0):
    truth = np.asarray(truth, dtype=np.float64)
    base = np.nan_to_num(truth, nan=5.0)
    spread = np.array([-1.0, 0.0, 1.0])
    return AreaDay(name, scale, truth, base[:, None] + spread + candidate_off, base[:, None] + spread + champion_off)


def test_the_difference_is_the_mean_loss_difference_over_the_scale():
    points = area([10.0, 11.0, 12.0, 13.0], candidate_off=3.0, scale=4.0)
    expected = np.mean(crps(points.truth, points.candidate, Q) - crps(points.truth, points.champion, Q)) / 4.0
    assert area_difference(points, LOSS) == (pytest.approx(expected), 4)
    assert expected > 0
    swapped = AreaDay("a", 4.0, points.truth, points.champion, points.candidate)
    assert area_difference(swapped, LOSS)[0] == pytest.approx(-expected)


@given(st.sets(st.integers(0, 23), max_size=10), st.sampled_from(["truth", "candidate", "champion"]))
def test_a_point_missing_anywhere_leaves_both_arms(missing, where):
    rng = np.random.default_rng(7)
    truth = rng.uniform(50, 60, 24)
    candidate = np.sort(truth[:, None] + rng.normal(0, 3, (24, 3)), axis=1)
    champion = np.sort(truth[:, None] + rng.normal(0, 3, (24, 3)), axis=1)
    kept = [i for i in range(24) if i not in missing]
    expected = area_difference(AreaDay("a", 2.0, truth[kept], candidate[kept], champion[kept]), LOSS)
    arrays = {"truth": truth.copy(), "candidate": candidate.copy(), "champion": champion.copy()}
    arrays[where][sorted(missing)] = np.nan
    assert area_difference(AreaDay("a", 2.0, **arrays), LOSS) == (pytest.approx(expected[0]), expected[1])


def test_a_day_waits_for_labels_and_closes_at_its_deadline_without_the_silent_area():
    full, silent = area([1.0] * 8, 1.0, name="a"), area([1.0] * 5 + [np.nan] * 3, 1.0, name="b")
    assert close_day(DAY, [full, silent], LOSS, RULE, NOW) is None
    closed = close_day(DAY, [full, silent], LOSS, RULE, RULE.deadline)
    assert closed is not None
    assert closed.n == 8
    assert closed.facts["left_out"] == ["b"]
    assert closed.facts["closed_by"] == "deadline"
    assert closed.difference == area_difference(full, LOSS)[0]


def test_six_of_eight_labels_are_enough():
    closed = close_day(DAY, [area([1.0] * 6 + [np.nan] * 2, 1.0)], LOSS, RULE, NOW)
    assert closed is not None
    assert (closed.n, closed.facts["closed_by"], closed.closed_at) == (6, "labels", NOW)


def test_areas_count_alike_whatever_their_size():
    big, small = area([1000.0] * 8, 200.0, scale=1000.0), area([1.0] * 8, 0.0, name="b")
    closed = close_day(DAY, [big, small], LOSS, RULE, NOW)
    assert closed is not None
    assert closed.difference == pytest.approx(area_difference(big, LOSS)[0] / 2)


def test_a_day_without_labels_closes_empty_and_says_nothing():
    dead = area([np.nan] * 8)
    assert close_day(DAY, [dead], LOSS, RULE, NOW) is None
    assert close_day(DAY, [], LOSS, RULE, NOW) is None
    closed = close_day(DAY, [dead], LOSS, RULE, RULE.deadline)
    assert closed is not None
    assert closed.n == 0
    assert informative([closed]).size == 0


def test_late_labels_never_change_a_closed_day():
    early = PairedDay(DAY, 0.1, 20, NOW)
    late = PairedDay(DAY, -0.4, 24, NOW + timedelta(days=1))
    after = PairedDay(DAY + timedelta(days=1), 0.2, 24, NOW + timedelta(days=1))
    assert merge_days([early], [after, late]) == (early, after)
    assert list(informative([after, early])) == [0.1, 0.2]


def test_a_paired_day_survives_its_record():
    day = PairedDay(DAY, 0.1, 20, NOW, {"areas": {"a": 0.1}})
    assert day_from_record(day_to_record("rollout-1", day)) == day
    assert day_to_record("rollout-1", day).key == "rollout-1/2020-03-03"


def test_numbers_that_are_none_are_refused():
    with pytest.raises(InvalidInput, match="paired day"):
        PairedDay(DAY, float("nan"), 3, NOW)
    with pytest.raises(InvalidInput, match="scale of a paired day"):
        area_difference(area([1.0], scale=0.0), LOSS)


def test_the_log_ratio_of_a_day_is_of_the_pooled_losses_less_the_offset():
    rule = DayRule(0.75, NOW, RatioScale(offset=0.1, sd=0.2, offset_sd=0.03))
    areas = [area([10.0] * 8, 3.0), area([20.0] * 8, 1.0, name="b", scale=2.0)]
    closed = close_day(DAY, areas, LOSS, rule, NOW)
    assert closed is not None
    sums = np.sum([area_losses(one, LOSS)[:2] for one in areas], axis=0)
    assert closed.facts["ratio"] == {"x": pytest.approx(np.log(sums[0] / sums[1]) - 0.1), "sd": 0.2, "offset_sd": 0.03}
    assert day_from_record(day_to_record("rollout-1", closed)) == closed
    without = close_day(DAY, areas, LOSS, RULE, NOW)
    assert without is not None
    assert "ratio" not in without.facts


def test_a_day_without_any_loss_has_no_ratio():
    perfect = AreaDay("a", 1.0, np.ones(4), np.ones((4, 3)), np.ones((4, 3)))
    closed = close_day(DAY, [perfect], LOSS, DayRule(0.75, NOW, RatioScale(0.0, 0.2, 0.03)), NOW)
    assert closed is not None
    assert "ratio" not in closed.facts
