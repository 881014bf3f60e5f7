"""The bias corrector: follows what lasts, earns its share, is bounded, and stops where it harms; all of it as JSON."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recloser.core import InvalidInput
from recloser.models import Calibration
from recloser.models.calibration import BLOCKS
from recloser.models.online.corrector import BiasCorrector, CorrectorPlan, bias_corrected

FIRST = date(2020, 1, 1)
PART = np.repeat(np.arange(BLOCKS), 4)
BEHIND = 2  # days between the newest known and the one that is forecast


def lived(bias, seed=0, noise=0.01, one=None):
    """Live through days of these mean errors; return the corrector and the mean saving of each day."""
    rng = np.random.default_rng(seed)
    one = BiasCorrector() if one is None else one
    errors = [np.asarray(mean) + noise * rng.standard_normal() + 0.002 * rng.standard_normal(24) for mean in bias]
    saved = []
    for k, error in enumerate(errors):
        day = FIRST + timedelta(days=k)
        if k >= BEHIND:
            one = one.learned(day - BEHIND * timedelta(days=1), errors[k - BEHIND], PART)
        saved.append(float((np.abs(error) - np.abs(error - one.applied()[PART])).mean()))
        one = one.gave(day)
    return one, np.array(saved)


def test_a_bias_that_lasts_is_taken_off():
    one, saved = lived([0.04] * 60)
    assert one.applied().mean() == pytest.approx(0.03, abs=0.01)
    assert saved[30:].mean() > 0.015


def test_a_bias_of_a_part_of_the_day_is_taken_off_there_alone():
    morning = np.where(PART == 2, 0.05, 0.0)
    one, saved = lived([morning] * 90, noise=0.002)
    applied = one.applied()
    assert applied[2] > 0.025
    assert np.abs(np.delete(applied, 2)).max() < 0.01
    assert saved[40:].mean() > 0.0


def test_errors_that_do_not_last_earn_no_share():
    costs = [lived([0.0] * 200, seed=seed, noise=0.04)[1].mean() for seed in range(5)]
    assert np.mean(costs) > -0.0005  # of a mean error of 0.03
    one, _ = lived([0.03 * (-1) ** (k // 3) for k in range(200)])  # what was known is always wrong by now
    assert np.abs(one.applied()).max() < 0.003


def test_the_guard_stops_it_where_it_harms_and_lets_it_begin_anew():
    one, offs = BiasCorrector(), []
    rng = np.random.default_rng(1)
    for k in range(30):  # each day it gives what is wrong by then
        day = FIRST + timedelta(days=k)
        given = {day.isoformat(): ((0.03,) * BLOCKS) + (1.0,)}
        one = replace(one, given=given, paid=1.0).learned(day, 0.01 * rng.standard_normal() + np.full(24, -0.01), PART)
        offs.append(one.off_until)
    stopped = offs.index(next(day for day in offs if day is not None))
    assert stopped < 15
    until = FIRST + timedelta(days=stopped + CorrectorPlan().guard_days)
    assert offs[stopped:] == [until] * (30 - stopped)
    assert one.share == 0.0
    assert not one.applied().any()
    again = one.learned(until, np.full(24, 0.01), PART)
    assert again.off_until is None
    good, _ = lived([0.04] * 60)
    assert good.off_until is None


def test_a_day_counts_once_and_a_day_without_truth_not_at_all():
    one, _ = lived([0.02] * 10)
    assert one.last_day is not None
    assert one.learned(one.last_day, np.full(24, 0.5), PART) is one
    blind = np.where(np.arange(24) < 11, 0.5, np.nan)
    assert one.learned(one.last_day + timedelta(days=1), blind, PART) is one


@given(st.lists(st.floats(-5.0, 5.0), min_size=1, max_size=40), st.integers(0, 3))
def test_it_is_bounded_whatever_comes(bias, seed):
    one, _ = lived(bias, seed=seed)
    assert np.abs(one.applied()).max() <= CorrectorPlan().limit
    assert 0.0 <= one.share <= 1.0
    assert BiasCorrector.from_dict(one.to_dict()) == one


def test_it_moves_the_median_of_its_area_alone():
    one, _ = lived([0.04] * 40)
    before = Calibration((0.1, 0.5, 0.9), ((-0.1, 0.02, 0.1),) * BLOCKS)
    after = bias_corrected(before, {"A": one})
    assert after.offsets == before.offsets
    table = np.array(after.areas["A"])
    assert table[:, [0, 2]].tolist() == [[-0.1, 0.1]] * BLOCKS
    assert table[:, 1] == pytest.approx(one.applied())
    assert bias_corrected(before, {}) == before


@pytest.mark.parametrize("broken", [{}, {"plan": {}}, {**BiasCorrector().to_dict(), "given": 3}])
def test_what_cannot_be_read_is_refused(broken):
    with pytest.raises(InvalidInput):
        BiasCorrector.from_dict(broken)
