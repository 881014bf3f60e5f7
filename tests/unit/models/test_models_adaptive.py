"""Online coverage control: intervals that hold too little or too much come right, whatever the truth does."""

import json
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recloser.core import InvalidInput
from recloser.models import Calibration
from recloser.models.adaptive import AdaptiveCoverage, CoveragePlan, covering

FIRST = date(2020, 1, 1)
SCALE = np.full(24, 100.0)


def lived(
    control: AdaptiveCoverage, width: float, spread: list[float], seed: int = 1
) -> tuple[AdaptiveCoverage, float]:
    """Serve a fixed interval under truths of the given daily spreads; return the share held in the second half."""
    rng = np.random.default_rng(seed)
    held = []
    for k, sd in enumerate(spread):
        raw = np.tile([100.0 - width, 100.0, 100.0 + width], (24, 1))
        served = control.applied(raw, SCALE)
        truth = 100.0 + sd * (0.7 * rng.standard_normal() + 0.7 * rng.standard_normal(24))
        held.append(((truth >= served[:, 0]) & (truth <= served[:, 2])).mean())
        control = control.learned(FIRST + timedelta(days=k), truth, served[:, 0], served[:, 2])
    return control, float(np.mean(held[len(held) // 2 :]))


@pytest.mark.parametrize("width", [0.5, 12.0])
def test_intervals_too_narrow_or_too_wide_come_to_hold_what_they_promise(width: float) -> None:
    _, free = lived(AdaptiveCoverage(CoveragePlan(gain=1e-9)), width, [3.0] * 300)
    assert abs(free - 0.8) > 0.15
    control, held = lived(AdaptiveCoverage(CoveragePlan(gain=0.02)), width, [3.0] * 300)
    assert held == pytest.approx(0.8, abs=0.05)
    assert control.bounded == 0


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0.1, 30.0), min_size=60, max_size=120), st.integers(0, 9))
def test_the_mean_missed_share_keeps_its_bound_on_any_truth(spread: list[float], seed: int) -> None:
    plan = CoveragePlan(gain=0.02, most=5.0)
    rng = np.random.default_rng(seed)
    control, missed = AdaptiveCoverage(plan), []
    for k, sd in enumerate(spread):
        low, high = np.full(24, 98.0 - 100.0 * control.low), np.full(24, 102.0 + 100.0 * control.high)
        truth = 100.0 + sd * rng.standard_normal(24)
        missed.append((truth < low).mean())
        control = control.learned(FIRST + timedelta(days=k), truth, low, high)
    assert control.low == pytest.approx(plan.gain * (sum(missed) - plan.below * len(missed)))
    assert abs(np.mean(missed) - plan.below) <= (2 * plan.most + plan.gain) / (plan.gain * len(missed))


def test_a_repeated_or_empty_day_changes_nothing_and_state_survives_json() -> None:
    control, _ = lived(AdaptiveCoverage(), 1.0, [3.0] * 20)
    last = FIRST + timedelta(days=19)
    far = np.full(24, 500.0)
    assert control.learned(last, far, SCALE, SCALE) == control
    assert control.learned(last + timedelta(days=1), np.full(24, np.nan), SCALE, SCALE) == control
    assert control.learned(last + timedelta(days=1), far, SCALE, SCALE).high > control.high
    assert AdaptiveCoverage.from_dict(json.loads(json.dumps(control.to_dict()))) == control


def test_offsets_are_bounded_and_never_cross_the_median() -> None:
    control = AdaptiveCoverage(CoveragePlan(gain=1.0, most=0.1), low=-0.1, high=0.1)
    served = control.applied(np.array([[99.0, 100.0, 101.0]]), np.array([100.0]))
    assert served.tolist() == [[100.0, 100.0, 111.0]]
    after = control.learned(FIRST, np.full(24, 500.0), SCALE, SCALE)
    assert (after.high, after.bounded) == (0.1, 1)


def test_what_cannot_be_read_is_refused() -> None:
    with pytest.raises(InvalidInput):
        CoveragePlan(below=0.6)
    with pytest.raises(InvalidInput):
        AdaptiveCoverage.from_dict({"low": 0.0})
    with pytest.raises(InvalidInput):
        AdaptiveCoverage().learned(FIRST, SCALE, SCALE[:3], SCALE)


def test_a_calibration_takes_the_offsets_of_its_areas_and_leaves_the_median() -> None:
    calibration = Calibration((0.1, 0.5, 0.9), ((-0.01, 0.0, 0.01),) * 6, {"A": ((-0.02, 0.005, 0.02),) * 6}, 7)
    controls = {"A": AdaptiveCoverage(low=0.03, high=-0.01), "B": AdaptiveCoverage(low=0.1, high=0.2)}
    moved = covering(calibration, controls)
    assert moved.areas["A"] == (pytest.approx((-0.05, 0.005, 0.01)),) * 6
    assert moved.areas["B"] == (pytest.approx((-0.11, 0.0, 0.21)),) * 6
    assert (moved.offsets, moved.rows) == (calibration.offsets, 7)
    assert covering(calibration, {}) == calibration
