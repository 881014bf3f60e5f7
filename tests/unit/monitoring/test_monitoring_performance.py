"""Degradation, coverage and divergence: silent while all is well or unknown, plain when it is not."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from recloser.core import InvalidInput
from recloser.monitoring import (
    PerformancePlan,
    StagingErrors,
    coverage,
    daily_errors,
    degradation,
    divergence,
    divergence_quantile,
)

NOW = datetime(2020, 3, 1, tzinfo=UTC)
STAGING = StagingErrors(absolute=0.03, naive=0.06, coverage=0.8)
PLAN = PerformancePlan()


def errors(days: int, absolute: float, naive: float | None = 0.06, inside: float = 0.8, seed: int = 1) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    day = [date(2020, 1, 1) + timedelta(days=k) for k in range(days)]
    return pl.DataFrame(
        {
            "area": ["a"] * days,
            "day": day,
            "signed": [0.0] * days,
            "absolute": absolute * rng.uniform(0.8, 1.2, days),
            "inside": np.clip(inside + rng.normal(0, 0.05, days), 0, 1),
            "naive": [naive] * days,
            "n": [48] * days,
        },
        schema_overrides={"naive": pl.Float64},
    )


def test_a_champion_as_good_as_promised_is_silent() -> None:
    assert degradation(errors(30, 0.03), STAGING, PLAN, NOW) is None
    assert coverage(errors(60, 0.03), STAGING, PLAN, NOW) is None


def test_a_worse_champion_is_told_and_one_below_the_floor_is_critical() -> None:
    worse = degradation(errors(30, 0.05), STAGING, PLAN, NOW)
    assert worse is not None
    assert (worse.signal_class, worse.severity) == ("degradation", "warning")
    assert worse.evidence["ratio"] == pytest.approx(1.67, abs=0.1)
    below = degradation(errors(30, 0.08), STAGING, PLAN, NOW)
    assert below is not None
    assert below.severity == "critical"


def test_a_hard_fortnight_for_everybody_is_no_degradation() -> None:
    assert degradation(errors(30, 0.05, naive=0.10), STAGING, PLAN, NOW) is None


def fortnight(error: float, seed: int) -> pl.DataFrame:
    """Return days whose weather is hard for the forecast and last week's load alike, of errors 0.06 for the latter."""
    rng = np.random.default_rng(seed)
    weather = rng.uniform(0.7, 1.3, 14)
    own, naive = (mean * weather * rng.uniform(0.8, 1.2, 14) for mean in (error, 0.06))
    return errors(14, 0.06).with_columns(absolute=pl.Series(own), naive=pl.Series(naive))


def test_a_forecast_as_good_as_last_weeks_load_is_not_called_worse_by_chance() -> None:
    """Staging measured the same of both: nothing has changed, and nothing may fall back."""
    alike = StagingErrors(absolute=0.059, naive=0.06)
    called = [degradation(fortnight(0.06, seed), alike, PLAN, NOW) is not None for seed in range(200)]
    assert sum(called) <= 10
    worse = [degradation(fortnight(0.075, seed), alike, PLAN, NOW) for seed in range(50)]
    assert sum(one is not None and one.severity == "critical" for one in worse) >= 48


def test_an_operator_is_told_in_words_what_the_numbers_mean() -> None:
    below = degradation(errors(14, 0.08), STAGING, PLAN, NOW)
    assert below is not None
    assert below.reason == (
        "The forecast is no better than last week's load for 14 days: 8.1% off, last week's load 6.0%; "
        "staging measured 3.0%."
    )
    worse = degradation(errors(14, 0.05), STAGING, PLAN, NOW)
    assert worse is not None
    assert worse.reason == (
        "The forecast was 5.1% off over 14 days, 1.69 times what staging measured; last week's load was 6.0% off."
    )


def test_without_a_floor_the_promise_alone_decides_and_without_days_nothing_does() -> None:
    assert degradation(errors(30, 0.05, naive=None), STAGING, PLAN, NOW) is not None
    assert degradation(errors(5, 0.09), STAGING, PLAN, NOW) is None
    assert degradation(errors(0, 0.09), STAGING, PLAN, NOW) is None


@pytest.mark.parametrize(("inside", "word"), [(0.6, "narrow"), (0.95, "wide")])
def test_intervals_that_do_not_cover_are_told(inside: float, word: str) -> None:
    signal = coverage(errors(60, 0.03, inside=inside), STAGING, PLAN, NOW)
    assert signal is not None
    assert word in signal.reason


def test_a_signal_has_the_same_key_on_a_rerun() -> None:
    first, again = (degradation(errors(30, 0.05), STAGING, PLAN, NOW + timedelta(hours=k)) for k in (0, 5))
    assert first is not None
    assert again is not None
    assert first.key == again.key


def test_daily_errors_carry_band_and_floor() -> None:
    at = [datetime(2020, 1, 6, tzinfo=UTC) + timedelta(hours=k) for k in range(24)]
    rows = pl.DataFrame({"area": "a", "at": at, "truth_mw": [10.0] * 24}).with_columns(
        median_mw=pl.lit(9.0),
        scale_mw=pl.lit(10.0),
        low_mw=pl.lit(8.0),
        high_mw=pl.when(pl.col("at") < at[6]).then(9.5).otherwise(11.0),
        naive_mw=pl.lit(12.0),
    )
    row = daily_errors(rows, "UTC").row(0, named=True)
    assert row["signed"] == pytest.approx(0.1)
    assert row["inside"] == pytest.approx(0.75)
    assert row["naive"] == pytest.approx(0.2)


def test_divergence_counts_rows_in_a_row() -> None:
    champion, scale = np.full(48, 10.0), np.full(48, 10.0)
    canary = champion.copy()
    canary[10:15] = 13.0
    quantile = divergence_quantile(champion + 1.0, champion, scale)
    assert quantile == pytest.approx(0.1)
    apart = divergence(canary, champion, scale, quantile)
    assert (apart.longest_run, apart.largest, apart.n) == (5, pytest.approx(3.0), 48)
    assert apart.tripped(4)
    assert not apart.tripped(6)


def test_an_answer_that_is_no_number_counts_as_apart() -> None:
    champion, scale = np.full(48, 10.0), np.full(48, 10.0)
    silent = np.full(48, np.nan)
    apart = divergence(silent, champion, scale, 0.1)
    assert (apart.longest_run, apart.unanswered, apart.share) == (48, 48, 1.0)
    with pytest.raises(InvalidInput):
        divergence_quantile(silent, champion, scale)
