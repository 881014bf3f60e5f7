"""Features of phasor windows: what they see, and what must not change them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recloser.core import InvalidInput
from recloser.features.phasors import PHASOR_FEATURES, PhasorBlock, phasor_features, window_ends

RATE = 30


def quiet(pmus: int = 6, seconds: float = 10.0, seed: int = 0, nominal: float = 50.0) -> PhasorBlock:
    rng = np.random.default_rng(seed)
    n = round(seconds * RATE)
    hz = 0.001 * rng.standard_normal((n, pmus))
    angle = rng.uniform(-3.0, 3.0, pmus) + 0.0005 * rng.standard_normal((n, pmus))
    at = np.arange(n, dtype=np.int64) * (1_000_000_000 // RATE)
    voltage = 1.0 + 0.0005 * rng.standard_normal((n, pmus))
    return PhasorBlock(at, float(RATE), nominal, voltage, angle, nominal + hz, np.zeros((n, pmus), dtype=bool))


def seen(block: PhasorBlock) -> dict[str, float]:
    return dict(zip(PHASOR_FEATURES, phasor_features(block).tolist(), strict=True))


def test_a_quiet_window_is_quiet():
    numbers = seen(quiet())
    assert all(np.isfinite(list(numbers.values())))
    for name in ("fleet_change_hz", "apart_hz", "angle_step_rad", "inter_hz", "clock_drift_rad_s", "jump_alone_hz"):
        assert abs(numbers[name]) < 0.01, name
    assert numbers["unusable_worst"] == numbers["frozen_worst"] == 0.0
    assert numbers["kept_share"] == 1.0


@given(seed=st.integers(0, 1000), turn=st.floats(-6.0, 6.0), shift=st.integers(-5, 5))
@settings(max_examples=20, deadline=None)
def test_neither_the_order_of_pmus_nor_the_reference_of_angles_matters(seed, turn, shift):
    block = quiet(seed=seed)
    block.angle_rad[150:, 2] += 0.4
    order = np.random.default_rng(seed).permutation(6)
    other = PhasorBlock(
        block.at_ns + 7_000_000_000,
        block.rate_hz,
        block.nominal_hz,
        block.voltage_pu[:, order],
        np.angle(np.exp(1j * (block.angle_rad[:, order] + turn))) + 2.0 * np.pi * shift,
        block.frequency_hz[:, order],
        block.unusable[:, order],
    )
    np.testing.assert_allclose(phasor_features(other), phasor_features(block), atol=2e-6)


def test_the_nominal_frequency_is_taken_off():
    at_50, at_60 = phasor_features(quiet(nominal=50.0)), phasor_features(quiet(nominal=60.0))
    np.testing.assert_allclose(at_50, at_60, atol=1e-9)


@pytest.mark.parametrize(("hz", "band"), [(0.5, "inter"), (1.5, "local")])
def test_an_oscillation_is_seen_in_its_band_with_its_size(hz, band):
    block = quiet()
    t = block.at_ns * 1e-9
    shape = np.array([1.0, 0.8, 0.5, -0.5, -0.8, -1.0])
    block.frequency_hz[:] += 0.05 * np.sin(2.0 * np.pi * hz * t)[:, None] * shape
    numbers = seen(block)
    assert numbers[f"{band}_peak"] == pytest.approx(hz, abs=0.11)
    assert numbers[f"{band}_hz"] == pytest.approx(0.05, rel=0.2)
    assert numbers["common_share"] > 0.9
    assert numbers["common_inter_hz"] == pytest.approx(hz, abs=0.11)


def test_an_island_parts_the_pmus_in_two():
    block = quiet()
    t = block.at_ns * 1e-9
    drift = 0.2 * np.maximum(t - 4.0, 0.0)
    block.frequency_hz[:, :2] += drift[:, None] / (2.0 * np.pi) * 2.0
    block.angle_rad[:, :2] += np.cumsum(drift)[:, None] * 2.0 / RATE
    numbers = seen(block)
    assert numbers["apart_split"] > 0.99
    assert numbers["angle_split"] > 0.99
    assert numbers["clock_drift_rad_s"] < 0.02, "the frequency says so too: no clock is wrong"


def test_a_clock_that_drifts_is_told_from_a_grid_that_moves():
    block = quiet()
    block.angle_rad[:, 3] += 0.1 * block.at_ns * 1e-9
    assert seen(block)["clock_drift_rad_s"] == pytest.approx(0.1, abs=0.01)


def test_what_a_pmu_says_of_itself_is_counted():
    block = quiet()
    block.unusable[:90, 1] = True
    for numbers in (block.voltage_pu, block.angle_rad, block.frequency_hz):
        numbers[100:250, 4] = numbers[100, 4]
    told = seen(block)
    assert told["unusable_worst"] == pytest.approx(0.3)
    assert told["unusable_mean"] == pytest.approx(0.05)
    assert told["frozen_worst"] == pytest.approx(149 / 299, abs=0.01)


@pytest.mark.parametrize("hidden", ["flag", "nan"])
def test_frames_that_cannot_be_used_have_no_say(hidden):
    block = quiet()
    plain = seen(block)
    block.frequency_hz[40:60, 2] = 99.0 if hidden == "flag" else np.nan
    block.unusable[40:60, 2] = hidden == "flag"
    told = seen(block)
    for name in ("apart_hz", "jump_alone_hz", "inter_hz", "fleet_high_hz"):
        assert told[name] == pytest.approx(plain[name], abs=0.004), name


def test_with_nothing_usable_only_quality_is_known():
    block = quiet()
    block.unusable[:] = True
    told = seen(block)
    assert told["unusable_worst"] == 1.0
    assert told["kept_share"] == 0.0
    assert np.isnan(told["fleet_hz"])
    assert np.isnan(told["inter_hz"])


def test_one_pmu_is_enough():
    assert np.isfinite(phasor_features(quiet(pmus=1))).all()


def test_windows_are_whole_and_evenly_spaced():
    block = quiet(seconds=13.0)
    assert window_ends(block, 10.0, 1.0) == [300, 330, 360, 390]
    assert window_ends(block, 20.0, 1.0) == []
    with pytest.raises(InvalidInput, match="less than a frame"):
        window_ends(block, 0.01, 1.0)


def test_arrays_that_do_not_fit_are_refused():
    block = quiet()
    with pytest.raises(InvalidInput, match="different shapes"):
        replace(block, voltage_pu=block.voltage_pu[:, :2])
    with pytest.raises(InvalidInput, match="rate"):
        replace(block, rate_hz=0.0)
