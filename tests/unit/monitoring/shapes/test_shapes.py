"""The shape of one issue: gross faults show at the first forecast, honest models do not, fleets are told by cause."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from recloser.monitoring.shapes.fleet import Usual, e_bh, odd_issue, usual_of
from recloser.monitoring.shapes.issue import FAR, issue_shape, points_an_hour

HOURS = np.arange(24)
CURVE = 1.0 + 0.15 * np.sin((HOURS - 9) / 24 * 2 * np.pi) + 0.05 * np.sin((HOURS - 4) / 12 * 2 * np.pi)
FAULTS = {
    "x 1000": lambda own: own * 1000.0,
    "MW as GW": lambda own: own / 1000.0,
    "sign": lambda own: -own,
    "zero": lambda own: own * 0.0,
    "frozen": lambda own: np.full_like(own, own[0]),
    "an hour late": lambda own: np.roll(own, 1),
    "an hour early": lambda own: np.roll(own, -1),
    "six hours late": lambda own: np.roll(own, 6),
    "20 % high": lambda own: own * 1.2,
    "20 % low": lambda own: own * 0.8,
    "no number": lambda own: np.where(HOURS == 3, np.nan, own),
}


def issues(days, seed, areas=("a",)):
    """Champion and candidate, by day and area: the same curve, each with slow errors of its own of 2 %."""
    rng = np.random.default_rng(seed)

    def answer():
        return CURVE * (1.0 + 0.01 * rng.standard_normal()) + 0.01 * rng.standard_normal(24)

    return [{area: (answer(), answer()) for area in areas} for _ in range(days)]


def shapes(day, fault=None, only=None):
    wrong = {area: fault is not None and (only is None or area in only) for area in day}
    return {area: issue_shape(fault(mine) if wrong[area] else mine, theirs, 1) for area, (mine, theirs) in day.items()}


@pytest.mark.parametrize("name", FAULTS)
def test_a_gross_fault_of_one_area_is_found_on_its_first_forecast(name):
    usual = usual_of([shapes(day) for day in issues(56, 71)])
    assert usual is not None
    found = [odd_issue(shapes(day, FAULTS[name]), usual) for day in issues(100, 72)]
    assert np.mean([any(odd.of_model for odd in odds) for odds in found]) >= 0.99


def test_an_equal_candidate_is_not_odd():
    usual = usual_of([shapes(day) for day in issues(56, 73)])
    assert usual is not None
    assert not any(odd_issue(shapes(day), usual) for day in issues(500, 74))


@pytest.mark.parametrize(("bad", "of_model"), [(1, False), (12, True)])
def test_a_few_areas_of_a_fleet_are_named_and_many_are_the_models(bad, of_model):
    areas = tuple(f"f{number:02d}" for number in range(40))
    usual = usual_of([shapes(day) for day in issues(56, 75, areas)])
    assert usual is not None
    (day,) = issues(1, 76, areas)
    only = areas[3 : 3 + bad]
    odd = {one.cause: one for one in odd_issue(shapes(day, FAULTS["frozen"], only), usual)}
    assert (odd["amplitude"].areas, odd["amplitude"].of_model) == (only, of_model)
    (late,) = odd_issue(shapes(day, FAULTS["six hours late"], only), usual)
    assert (late.cause, late.areas, late.of_model) == ("lag", only, of_model)


def test_areas_without_fault_are_seldom_named():
    areas = tuple(f"f{number:02d}" for number in range(30))
    usual = usual_of([shapes(day) for day in issues(56, 77, areas)])
    assert usual is not None
    assert sum(bool(odd_issue(shapes(day), usual)) for day in issues(60, 78, areas)) <= 3


def test_e_bh_is_its_definition():
    assert e_bh(np.array([500.0, 1.0, 90.0, 41.0, 0.0]), 0.05) == [0, 2, 3]
    assert e_bh(np.array([99.0, 1.0, 1.0, 1.0, 1.0]), 0.05) == []
    assert e_bh(np.array([100.0, 1.0, 1.0, 1.0, 1.0]), 0.05) == [0]
    assert e_bh(np.empty(0), 0.05) == []


def test_what_is_usual_survives_its_record_and_gives_the_same_verdict():
    usual = usual_of([shapes(day) for day in issues(56, 79, ("a", "b"))])
    assert usual is not None
    assert Usual.from_dict(usual.to_dict()) == usual
    assert usual_of([]) is None
    assert usual_of([{}]) is None
    assert odd_issue({}, usual) == ()


def test_an_area_that_staging_did_not_see_is_judged_by_the_typical_one():
    usual = usual_of([shapes(day) for day in issues(56, 80)])
    assert usual is not None
    (day,) = issues(1, 81, ("new",))
    assert odd_issue(shapes(day), usual) == ()
    assert {odd.cause for odd in odd_issue(shapes(day, FAULTS["zero"]), usual)} == {"level", "amplitude"}


def test_lag_and_amplitude_by_hand():
    late = issue_shape(np.roll(CURVE, 2), CURVE, 1)
    assert late.lag_h == 2.0
    assert late.gain > 1.0
    assert late.level == pytest.approx(0.0)
    assert issue_shape(CURVE, np.roll(CURVE, 2), 1).lag_h == -2.0
    assert issue_shape(np.repeat(CURVE, 2), np.roll(np.repeat(CURVE, 2), -2), 2).lag_h == 1.0
    assert issue_shape(CURVE, CURVE, 1).lag_h == 0.0
    assert issue_shape(1.0 + 2.0 * (CURVE - 1.0), CURVE, 1).amplitude == pytest.approx(np.log(2.0))
    assert issue_shape(np.ones(24), CURVE, 1).amplitude == -FAR
    flat = issue_shape(np.ones(24), np.ones(24), 1)
    assert (flat.amplitude, flat.lag_h) == (0.0, 0.0)


def test_points_an_hour_come_from_the_targets():
    start = datetime(2021, 3, 28, tzinfo=UTC)
    for minutes, count in ((15, 4), (30, 2), (60, 1), (180, 0)):
        assert points_an_hour([start + timedelta(minutes=minutes * number) for number in range(4)]) == count
    assert points_an_hour([start]) == 0
