"""Accuracy by area, lead time and slice, calibration, peaks, and the estimate without truth that says it is one."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from recloser.core import InvalidInput
from recloser.monitoring.accuracy import accuracy_by, accuracy_detail, fit_estimator, peak_errors

COLUMNS = {0.1: "q10", 0.5: "q50", 0.9: "q90"}
ISSUED = datetime(2020, 1, 6, 9, tzinfo=UTC)


def rows(truth: list[float | None], area: str = "A") -> pl.DataFrame:
    at = [ISSUED + timedelta(hours=15 + k) for k in range(len(truth))]
    return pl.DataFrame(
        {
            "area": area,
            "issued_at": ISSUED,
            "at": at,
            "truth_mw": truth,
            "scale_mw": 10.0,
            "q10": 8.0,
            "q50": 10.0,
            "q90": 12.0,
        },
        schema_overrides={"truth_mw": pl.Float64},
    )


def test_numbers_of_a_group_are_those_of_the_formulas() -> None:
    (row,) = accuracy_by(rows([9.0, 13.0, 7.0, None, float("nan")]), COLUMNS).to_dicts()
    assert (row["area"], row["n"]) == ("A", 3)
    assert row["mae"] == pytest.approx((0.1 + 0.3 + 0.3) / 3)
    assert row["bias"] == pytest.approx((-0.1 + 0.3 - 0.3) / 3)
    assert row["wmape"] == pytest.approx(100 * 7 / 29)
    assert row["coverage"] == pytest.approx(1 / 3)
    assert (row["below_0.1"], row["below_0.5"], row["below_0.9"]) == pytest.approx((1 / 3, 2 / 3, 2 / 3))
    losses = [(0.1 * 1 + 0.5 * 1 + 0.1 * 3), (0.1 * 5 + 0.5 * 3 + 0.9 * 1), (0.9 * 1 + 0.5 * 3 + 0.1 * 5)]
    assert row["pinball"] == pytest.approx(sum(losses) / 9 / 10)


def test_lead_times_and_own_slices_are_groups_too() -> None:
    table = pl.concat([rows([9.0, 9.0]), rows([12.0], "B")]).with_columns(heat=pl.Series([True, False, True]))
    leads = accuracy_by(table, COLUMNS, by=("lead_h",))
    assert leads["lead_h"].to_list() == [15, 16]
    assert leads["n"].to_list() == [2, 1]
    assert accuracy_by(table, COLUMNS, by=("heat", "area")).height == 3
    with pytest.raises(InvalidInput, match="cold"):
        accuracy_by(table, COLUMNS, by=("cold",))


def test_a_calibrated_forecast_shows_its_levels() -> None:
    rng = np.random.default_rng(1)
    truth = (10.0 + 2.0 / 1.2816 * rng.standard_normal(20000)).tolist()
    (row,) = accuracy_by(rows(truth), COLUMNS).to_dicts()
    assert [row["below_0.1"], row["below_0.5"], row["below_0.9"]] == pytest.approx([0.1, 0.5, 0.9], abs=0.01)
    assert row["coverage"] == pytest.approx(0.8, abs=0.01)


def test_peaks_are_missed_in_height_and_in_time() -> None:
    begin = datetime(2020, 1, 6, 23, tzinfo=UTC)
    table = pl.DataFrame(
        {
            "area": "A",
            "at": [begin + timedelta(hours=k) for k in range(24)],
            "truth_mw": [12.0 if k == 18 else 8.0 for k in range(24)],
            "median": [11.0 if k == 16 else 8.0 for k in range(24)],
            "scale_mw": 10.0,
        }
    )
    (row,) = peak_errors(table, "Europe/Amsterdam", "median").to_dicts()
    assert row == {"area": "A", "day": date(2020, 1, 7), "peak_mw": 12.0, "height": pytest.approx(0.1), "hours": 2.0}
    late = table.with_columns(truth_mw=pl.when(pl.int_range(24) < 12).then("truth_mw"))
    assert peak_errors(late, "Europe/Amsterdam", "median").is_empty()


def test_the_estimate_follows_the_width_and_says_what_it_is() -> None:
    rng = np.random.default_rng(2)
    days = np.repeat(np.arange(120.0), 24)
    widths = np.repeat(rng.uniform(0.05, 0.2, 120), 24)
    errors = np.abs(widths / 2.563 * rng.standard_normal(len(days)))
    learnt = fit_estimator(days, widths, errors)
    hard, easy = learnt.estimate(np.full(24, 0.2)), learnt.estimate(np.full(24, 0.05))
    assert hard is not None
    assert easy is not None
    assert hard.absolute == pytest.approx(0.2 / 2.563 * 0.798, rel=0.1)
    assert hard.absolute == pytest.approx(4 * easy.absolute)
    assert hard.low < hard.absolute < hard.high
    assert not hard.measured
    assert learnt.estimate(np.array([np.nan])) is None


def test_too_little_truth_is_refused() -> None:
    some = np.arange(27.0)
    with pytest.raises(InvalidInput):
        fit_estimator(some, some + 1.0, some)
    with pytest.raises(InvalidInput):
        fit_estimator(some, some[:3], some)


def test_the_detail_is_one_document_in_percent_by_every_slice() -> None:
    table = pl.concat([rows([9.0, 13.0, None]), rows([12.5] * 3, "B")])
    detail = accuracy_detail(table, COLUMNS, "Europe/Amsterdam", frozenset({date(2020, 1, 7)}))
    assert detail["all"] == {
        "n": 5,
        "mae_pct": pytest.approx(100 * (0.1 + 0.3 + 0.25 * 3) / 5),
        "bias_pct": pytest.approx(-100 * (-0.1 + 0.3 + 0.25 * 3) / 5),
        "wmape": pytest.approx(100 * 11.5 / 59.5),
        "coverage_pct": 20.0,
        "below_pct": {"0.1": 0.0, "0.5": 20.0, "0.9": 20.0},
    }
    assert [(row["area"], row["n"]) for row in detail["by_area"]] == [("A", 2), ("B", 3)]
    assert [(row["lead_h"], row["n"]) for row in detail["by_lead_h"]] == [(15, 2), (16, 2), (17, 1)]
    assert [row["slice"] for row in detail["by_slice"]] == ["day off"]
    assert [row["hour"] for row in detail["by_hour"]] == [1, 2, 3]
    assert detail["peaks"] == {"n": 1, "height_pct": -25.0, "miss_pct": 25.0, "hours_off": 0.0}  # A's day is not whole


def test_the_detail_of_nothing_known_says_nothing() -> None:
    detail = accuracy_detail(rows([None]), COLUMNS, "UTC", frozenset())
    assert (detail["all"], detail["by_area"], detail["peaks"]) == (None, [], None)
