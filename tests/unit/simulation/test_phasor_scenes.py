"""Simulated wide-area scenes: each event leaves its mark, nothing else does, and all of it can be repeated."""

from __future__ import annotations

import numpy as np
import pytest

from recloser.core import InvalidInput
from recloser.simulation.phasors import GridEvent, PhasorPlan, Scene, scene

PLAN = PhasorPlan(seed=3)
SEEDS = range(12)


def around(one: Scene, before: float, after: float) -> slice:
    """Return the frames from `before` to `after` seconds after the event began."""
    rate = one.block.rate_hz
    return slice(round((one.begins_s + before) * rate), round((one.begins_s + after) * rate))


def middle(numbers):
    return np.nanmedian(numbers, axis=1)


@pytest.mark.parametrize("event", list(GridEvent))
def test_equal_plans_give_equal_bytes(event):
    one, two, other = scene(PLAN, event, 4), scene(PLAN, event, 4), scene(PLAN, event, 5)
    assert one.block.frequency_hz.tobytes() == two.block.frequency_hz.tobytes()
    assert one.block.angle_rad.tobytes() == two.block.angle_rad.tobytes()
    assert one.block.frequency_hz.tobytes() != other.block.frequency_hz.tobytes()


def test_a_quiet_grid_stays_within_its_usual_band():
    for seed in SEEDS:
        block = scene(PLAN, GridEvent.NONE, seed).block
        assert np.nanmax(np.abs(block.frequency_hz - 50.0)) < 0.15
        assert np.nanmin(block.voltage_pu) > 0.9


def test_a_lost_plant_takes_the_frequency_down_for_good_in_proportion():
    falls, sizes = [], []
    for seed in SEEDS:
        one = scene(PLAN, GridEvent.LOSS_OF_GENERATION, seed)
        before = middle(one.block.frequency_hz[around(one, -3.0, 0.0)]).mean()
        falls.append(before - middle(one.block.frequency_hz[around(one, 4.0, 10.0)]).mean())
        sizes.append(one.size)
    assert min(falls) > 0.0
    assert np.corrcoef(falls, sizes)[0, 1] > 0.8


def test_an_island_has_a_frequency_of_its_own():
    for seed in SEEDS:
        one = scene(PLAN, GridEvent.ISLANDING, seed)
        late = one.block.frequency_hz[around(one, 1.0, 4.0)]
        rest = [pmu for pmu in range(PLAN.pmus) if pmu not in one.pmus]
        apart = np.nanmean(late[:, list(one.pmus)]) - np.nanmean(late[:, rest])
        assert apart * one.size > 0.0, "a surplus runs fast, a deficit slow"
        assert abs(apart) > 0.02


def test_an_oscillation_is_larger_than_what_was_before():
    for seed in SEEDS:
        one = scene(PLAN, GridEvent.OSCILLATION, seed)
        apart = one.block.frequency_hz - middle(one.block.frequency_hz)[:, None]
        quiet, loud = (np.nanstd(apart[around(one, *span)], axis=0).max() for span in ((-8.0, 0.0), (3.0, 11.0)))
        assert loud > 1.2 * quiet


def test_a_tripped_line_leaves_angles_apart_and_the_frequency_where_it_was():
    for seed in SEEDS:
        one = scene(PLAN, GridEvent.LINE_TRIP, seed)
        unwrapped = np.unwrap(np.nan_to_num(one.block.angle_rad), axis=0)
        relative = unwrapped - np.median(unwrapped, axis=1, keepdims=True)
        moved = relative[around(one, 8.0, 9.0)].mean(axis=0) - relative[around(one, -1.0, 0.0)].mean(axis=0)
        assert np.abs(moved).max() > 0.2 * one.size
        fall = middle(one.block.frequency_hz[around(one, -2.0, 0.0)]).mean()
        assert abs(middle(one.block.frequency_hz[around(one, 4.0, 8.0)]).mean() - fall) < 0.06


def test_bad_data_touch_the_named_pmus_only():
    changed = 0
    for seed in range(20):
        one = scene(PLAN, GridEvent.BAD_DATA, seed)
        rest = [pmu for pmu in range(PLAN.pmus) if pmu not in one.pmus]
        late = around(one, 0.0, 10.0)
        for numbers in (one.block.voltage_pu, one.block.frequency_hz):
            assert np.nanmax(np.abs(np.diff(numbers[late][:, rest], axis=0))) < 0.05
        assert one.block.unusable[: late.start, list(one.pmus)].mean() < 0.05
        changed += bool(one.pmus)
    assert changed == 20


def test_plans_that_cannot_be_simulated_are_refused():
    for wrong in ({"pmus": 1}, {"rate_hz": 5}, {"nominal_hz": 55.0}, {"seconds": 5.0}):
        with pytest.raises(InvalidInput, match="cannot be simulated"):
            PhasorPlan(**wrong)
