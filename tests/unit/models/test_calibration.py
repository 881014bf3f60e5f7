from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recloser.core import InvalidInput
from recloser.models import Calibration, fit_calibration, follow, recalibrate
from recloser.models.calibration import conformal_quantile

Q = (0.1, 0.5, 0.9)


def window(days: int, areas: tuple[str, ...] = ("a",), scale: float = 10.0) -> pl.DataFrame:
    start = datetime(2020, 1, 1, tzinfo=UTC)
    hours = [start + timedelta(hours=k) for k in range(24 * days)]
    return pl.concat(
        pl.DataFrame(
            {
                "area": [name] * len(hours),
                "issued_at": [t.replace(hour=9) - timedelta(days=1) for t in hours],
                "at": hours,
                "hour": [float(t.hour) for t in hours],
                "scale_mw": [scale] * len(hours),
            }
        )
        for name in areas
    )


def coverage(truth: np.ndarray, forecast: np.ndarray) -> float:
    return float(((truth >= forecast[:, 0]) & (truth <= forecast[:, 2])).mean())


@pytest.mark.parametrize("width", [0.2, 1.0, 5.0])
def test_it_makes_bands_of_any_width_cover(width):
    rows, rng = window(120), np.random.default_rng(1)
    truth = rng.normal(50, 1, rows.height)
    forecast = np.stack(
        [np.full(rows.height, 50 - width), np.full(rows.height, 50.0), np.full(rows.height, 50 + width)], 1
    )
    calibration = fit_calibration(rows, truth, forecast, Q)
    fresh = rng.normal(50, 1, rows.height)
    assert coverage(fresh, calibration.apply(rows, forecast)) == pytest.approx(0.8, abs=0.03)


def test_blocks_of_the_day_and_areas_get_their_own_offsets():
    rows, rng = window(120, areas=("calm", "wild")), np.random.default_rng(1)
    sd = np.where(rows["area"] == "wild", 4.0, 1.0) * np.where(rows["hour"] >= 12, 2.0, 1.0)
    truth, fresh = 50 + sd * rng.normal(0, 1, rows.height), 50 + sd * rng.normal(0, 1, rows.height)
    flat = np.full((rows.height, 3), 50.0)
    calibration = Calibration.none(Q)
    for _ in range(3):
        calibration = recalibrate(calibration, rows, truth, flat, half_life=None)
    calibrated = calibration.apply(rows, flat)
    for area in ("calm", "wild"):
        for part in ((rows["hour"] < 12), (rows["hour"] >= 12)):
            mine = ((rows["area"] == area) & part).to_numpy()
            assert coverage(fresh[mine], calibrated[mine]) == pytest.approx(0.8, abs=0.06)


def test_an_unknown_area_takes_the_pooled_offsets():
    rows = window(60, areas=("a", "b"))
    truth = np.random.default_rng(2).normal(0, 1, rows.height)
    calibration = recalibrate(Calibration.none(Q), rows, truth, np.zeros((rows.height, 3)))
    other = window(1, areas=("new",))
    assert coverage(truth, calibration.apply(rows.with_columns(area=pl.lit("new")), np.zeros((rows.height, 3)))) > 0.75
    assert np.isfinite(calibration.apply(other, np.zeros((other.height, 3)))).all()


def test_it_follows_a_recent_bias_in_part_and_never_beyond_the_limit():
    rows = window(60)
    truth = np.where((rows["at"] >= datetime(2020, 2, 20, tzinfo=UTC)).to_numpy(), 50.6, 50.0)
    forecast = np.full((rows.height, 3), 50.0)
    followed = recalibrate(Calibration.none(Q), rows, truth, forecast).apply(rows, forecast)[-1, 1]
    assert 50.0 < followed <= 50.6
    assert recalibrate(Calibration.none(Q), rows, truth, forecast, follow_share=0.0).offsets[0][1] == 0.0
    wild = recalibrate(Calibration.none(Q), rows, truth + 1000.0, forecast)
    assert max(abs(row[1]) for row in wild.offsets) <= 0.1 * 0.5 + 1e-12


def test_between_two_recalibrations_it_moves_along_with_the_bias_and_keeps_its_widths():
    rows, rng = window(60, areas=("a", "b")), np.random.default_rng(3)
    flat = np.full((rows.height, 3), 50.0)
    noise = rng.normal(0, 1, rows.height)
    before = recalibrate(Calibration.none(Q), rows, 50 + noise, flat)
    # In the last two weeks area a runs 0.4 MW (0.04 of its scale) higher.
    recent = (rows["area"] == "a").to_numpy() & (
        rows["issued_at"] > rows["issued_at"].max() - timedelta(days=14)
    ).to_numpy()
    truth = 50 + noise + np.where(recent, 0.4, 0.0)
    moved = follow(before, rows, truth, flat)
    whole = recalibrate(before, rows, truth, flat)
    for area in ("a", "b"):
        new, old = np.asarray(moved.areas[area]), np.asarray(before.areas[area])
        assert new[:, 1] == pytest.approx(np.asarray(whole.areas[area])[:, 1])
        assert new - new[:, 1:2] == pytest.approx(old - old[:, 1:2])
    assert np.asarray(moved.areas["a"])[0, 1] - np.asarray(before.areas["a"])[0, 1] == pytest.approx(0.02, abs=0.006)
    assert follow(before, rows, np.full(rows.height, np.nan), flat) == before


def test_without_evidence_it_stays_and_with_little_it_hardly_moves():
    rows = window(90)
    rng = np.random.default_rng(1)
    zeros = np.zeros((rows.height, 3))
    settled = recalibrate(Calibration.none(Q), rows, rng.normal(0, 1, rows.height), zeros)
    assert recalibrate(settled, rows, np.full(rows.height, np.nan), zeros) is settled
    assert recalibrate(settled, rows, zeros[:, 0], zeros * np.nan) is settled
    one = window(1)
    moved = recalibrate(settled, one.head(6), np.full(6, 100.0), np.zeros((6, 3)))
    assert abs(moved.offsets[5][2] - settled.offsets[5][2]) < 0.25 * 10.0  # one day weighs a fifth
    assert moved.offsets[0][1] == 0.0  # fewer than three issues: no bias to follow


def test_repeating_it_on_the_same_window_settles():
    rows = window(90)
    truth = np.random.default_rng(1).normal(0, 1, rows.height)
    zeros = np.zeros((rows.height, 3))
    first = recalibrate(Calibration.none(Q), rows, truth, zeros)
    many = first
    for _ in range(20):
        many = recalibrate(many, rows, truth, zeros)
    assert np.allclose(np.array(many.offsets), np.array(first.offsets), atol=0.02)
    assert recalibrate(first, rows, truth, zeros) == recalibrate(first, rows, truth, zeros)


def test_json_round_trip_and_damage():
    rows = window(30)
    fitted = fit_calibration(rows, np.random.default_rng(1).normal(0, 1, rows.height), np.zeros((rows.height, 3)), Q)
    assert Calibration.from_dict(fitted.to_dict()) == fitted
    for broken in ({}, {**fitted.to_dict(), "offsets": [[1, 2]]}, {**fitted.to_dict(), "areas": {"a": [[0, 0, 0]]}}):
        with pytest.raises(InvalidInput):
            Calibration.from_dict(broken)


def test_an_unknown_scale_gives_no_answer():
    rows = window(1).with_columns(pl.lit(None, pl.Float64).alias("scale_mw"))
    assert np.isnan(Calibration.none(Q).apply(rows, np.ones((rows.height, 3)))).all()


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    residual=st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=60),
    level=st.sampled_from([0.02, 0.1, 0.25, 0.75, 0.9, 0.98]),
)
def test_the_conformal_quantile_leaves_no_more_beyond_it_than_promised(residual, level):
    values = np.array(residual)
    cut = conformal_quantile(values, np.ones(values.size), level)
    assert cut in values
    beyond = (values > cut).sum() if level > 0.5 else (values < cut).sum()
    allowed = (1 - level if level > 0.5 else level) * (values.size + 1)
    assert beyond <= max(allowed, 0) + 1e-9 or cut in (values.min(), values.max())
