from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recloser.core import LOAD, InvalidInput, Panel, Quality, Sample, sample_frame
from recloser.serving import AssetLimits, limits_from

START = datetime(2020, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def panel(series: dict[str, list[float]], bad: dict[int, float] | None = None) -> Panel:
    samples = []
    for area, values in sorted(series.items()):
        for k, value in enumerate(values):
            at = START + k * HOUR
            spoilt = (bad or {}).get(k)
            quality = Quality.GOOD if spoilt is None else Quality.SPIKE
            samples.append(Sample(area, LOAD, at, at + HOUR, value if spoilt is None else spoilt, quality))
    return Panel(sample_frame(samples), HOUR, START + 100_000 * HOUR)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-5000, 5000), min_size=48, max_size=120))
def test_ordinary_history_lies_within_its_own_limits(values: list[float]) -> None:
    load = np.array(values)
    low, high = np.percentile(load, [25, 75])
    limits = limits_from(panel({"a": values}))["a"]
    kept = load[np.abs(load - np.median(load)) <= 8 * (high - low)]
    assert ((kept >= limits.minimum_mw) & (kept <= limits.maximum_mw)).all()
    assert limits.ramp_mw > 0
    assert limits.step == HOUR


def test_margins_and_negative_net_load() -> None:
    wave = [200.0 * float(np.sin(k / 4)) - 50.0 for k in range(200)]
    limits = limits_from(panel({"solar": wave}))["solar"]
    width = max(wave) - min(wave)
    assert limits.minimum_mw == pytest.approx(min(wave) - 0.25 * width)
    assert limits.maximum_mw == pytest.approx(max(wave) + 0.25 * width)
    assert limits.ramp_mw == pytest.approx(1.5 * np.abs(np.diff(wave)).max())
    assert limits.peak_mw() == pytest.approx(max(abs(limits.minimum_mw), limits.maximum_mw))


def test_flagged_values_and_unit_faults_do_not_widen_the_limits() -> None:
    wave = [1000.0 + 200.0 * float(np.sin(k / 4)) for k in range(300)]
    clean = limits_from(panel({"a": wave}))["a"]
    flagged = limits_from(panel({"a": wave}, bad={100: 90_000.0}))["a"]
    kilowatts = limits_from(panel({"a": [*wave[:200], *(1000.0 * mw for mw in wave[200:205]), *wave[205:]]}))["a"]
    for other in (flagged, kilowatts):
        assert other.maximum_mw == pytest.approx(clean.maximum_mw, rel=0.01)
        assert other.ramp_mw == pytest.approx(clean.ramp_mw, rel=0.05)


def test_a_gap_is_not_a_ramp() -> None:
    values = [1000.0 + k for k in range(60)] + [1500.0 + k for k in range(60)]
    whole = panel({"a": values})
    gap = Panel(whole.frame.filter((whole.frame["value"] < 1055) | (whole.frame["value"] > 1505)), HOUR, whole.as_of)
    assert limits_from(gap)["a"].ramp_mw < limits_from(whole)["a"].ramp_mw / 5


def test_a_constant_series_has_room_and_a_short_one_no_limits() -> None:
    limits = limits_from(panel({"flat": [80.0] * 50, "zero": [0.0] * 50, "short": [1.0] * 10}))
    assert set(limits) == {"flat", "zero"}
    assert limits["flat"].minimum_mw < 80.0 < limits["flat"].maximum_mw
    assert limits["zero"].minimum_mw < 0.0 < limits["zero"].maximum_mw
    assert limits_from(Panel(panel({"a": []}).frame, HOUR, START)) == {}


@pytest.mark.parametrize(
    "wrong", [(1.0, 1.0, 5.0), (0.0, 1.0, 0.0), (0.0, float("inf"), 1.0), (float("nan"), 1.0, 1.0)]
)
def test_limits_that_allow_nothing_are_refused(wrong: tuple[float, float, float]) -> None:
    with pytest.raises(InvalidInput):
        AssetLimits(*wrong, HOUR)
