"""The residual monitor: quiet while nothing drifts, an alarm about two weeks into a lockdown, one step at a time."""

import json
from datetime import UTC, date, datetime, timedelta

import holidays
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recloser.core import InvalidInput, Panel
from recloser.monitoring import (
    DayScore,
    DriftAlarm,
    DriftPlan,
    DriftState,
    Reference,
    daily_errors,
    daily_load,
    drift_signal,
    fit_baseline,
    moved,
    pool,
    rebaselined,
    reference_scores,
    step,
    train_reference,
)
from recloser.simulation import GridPlan, Lockdown, SimulatedGrid, apply

DAYS_OFF = frozenset(holidays.country_holidays("NL", years=range(2018, 2023)))
ONSET = datetime(2020, 3, 16, tzinfo=UTC)
SEEDS = (1, 2, 3, 4, 5)
LONG = timedelta(days=730)


def noise(seed: int, days: int, shift: float = 0.0, phi: float = 0.65) -> list[DayScore]:
    """AR(1) daily errors with 2 % spread, as real residuals are."""
    rng = np.random.default_rng(seed)
    error, scores = 0.0, []
    for k in range(days):
        error = phi * error + np.sqrt(1 - phi * phi) * rng.normal()
        day = date(2019, 1, 1) + timedelta(days=k)
        scores.append(DayScore(day, 0.02 * error + shift, 0.02, 24, day.weekday() >= 5))
    return scores


def run(state: DriftState, scores: list[DayScore]) -> tuple[DriftState, DriftAlarm | None]:
    for score in scores:
        state, alarm = step(state, score)
        if alarm is not None:
            return state, alarm
    return state, None


@pytest.fixture(scope="module")
def years() -> dict[tuple[int, bool], tuple[list[DayScore], list[DayScore]]]:
    """Out-of-sample history of the first year and scores of the second, quiet and with a lockdown in March."""
    result = {}
    for seed in SEEDS:
        grid = SimulatedGrid(GridPlan(seed=seed, feeders=16, substations=0, resolution=timedelta(hours=1)))
        quiet = grid.frame()
        for drifts in (False, True):
            frame = apply(quiet, [Lockdown(ONSET)]) if drifts else quiet
            panel = Panel(frame, grid.plan.resolution, datetime(2021, 2, 1, tzinfo=UTC))
            start = grid.plan.start
            first = daily_load(panel, start, start + timedelta(days=365), grid.plan.zone)
            second = daily_load(panel, start + timedelta(days=355), start + LONG, grid.plan.zone)
            reference, history = train_reference(first, DAYS_OFF)
            scores = reference_scores(
                Reference.from_dict(json.loads(json.dumps(reference.to_dict()))), second, DAYS_OFF
            )
            result[seed, drifts] = (history, scores[10:])
    return result


def test_a_quiet_year_stays_quiet_in_most_seeds(
    years: dict[tuple[int, bool], tuple[list[DayScore], list[DayScore]]],
) -> None:
    alarms = [
        run(DriftState(fit_baseline(*_of(years, seed, drifts=False))), years[seed, False][1])[1] for seed in SEEDS
    ]
    assert sum(alarm is None for alarm in alarms) > len(SEEDS) // 2, alarms


def test_a_lockdown_is_found_in_about_two_weeks(
    years: dict[tuple[int, bool], tuple[list[DayScore], list[DayScore]]],
) -> None:
    delays = []
    for seed in SEEDS:
        state = DriftState(fit_baseline(*_of(years, seed, drifts=True)))
        _, alarm = run(state, [s for s in years[seed, True][1] if s.day >= ONSET.date() - timedelta(days=30)])
        assert alarm is not None
        assert alarm.direction == "below"
        assert -0.15 < alarm.change < -0.02
        delays.append((alarm.day - ONSET.date()).days)
    assert 0 < sorted(delays)[len(SEEDS) // 2] <= 16, delays
    assert max(delays) <= 24, delays


def _of(
    years: dict[tuple[int, bool], tuple[list[DayScore], list[DayScore]]], seed: int, *, drifts: bool
) -> tuple[list[DayScore], DriftPlan]:
    return years[seed, drifts][0], DriftPlan()


def test_the_threshold_keeps_the_budget_on_autocorrelated_errors() -> None:
    plan = DriftPlan(alarms_per_year=0.5)
    baselines = [fit_baseline(noise(seed, 365), plan) for seed in range(6)]
    lived = [noise(seed, 365) for seed in range(10, 24)]
    quiet = [run(DriftState(b), scores)[1] is None for b in baselines for scores in lived]
    assert np.mean(quiet) > 0.45, "a rate of one half a year leaves about 60 % of the years quiet"
    assert all(0.4 < b.autocorrelation < 0.8 for b in baselines)


def test_a_stricter_budget_gives_a_higher_threshold() -> None:
    history = noise(2, 400)
    strict, loose = (fit_baseline(history, DriftPlan(alarms_per_year=r)).threshold for r in (0.1, 2.0))
    assert strict > loose


@pytest.mark.parametrize("shift", [-0.06, 0.06])
def test_a_lasting_shift_is_found_with_its_direction_and_onset(shift: float) -> None:
    baseline = fit_baseline(noise(5, 365), DriftPlan())
    scores = noise(6, 60)[:30] + [s for s in noise(7, 80, shift) if s.day >= date(2019, 1, 31)]
    _, alarm = run(DriftState(baseline), scores)
    assert alarm is not None
    assert alarm.direction == ("above" if shift > 0 else "below")
    assert abs((alarm.since - date(2019, 1, 31)).days) <= 7
    signal = drift_signal(alarm, datetime(2019, 3, 1, tzinfo=UTC))
    assert signal.signal_class == "concept_drift"
    assert alarm.direction in signal.reason


def test_one_odd_day_raises_nothing() -> None:
    baseline = fit_baseline(noise(5, 365), DriftPlan())
    odd = DayScore(date(2019, 6, 1), -0.9, 0.9, 24)
    state, alarm = step(DriftState(baseline), odd)
    assert alarm is None
    assert state.low <= DriftPlan().clip


def test_a_hot_day_counts_by_what_is_usual_on_hot_days() -> None:
    baseline = fit_baseline(noise(5, 365), DriftPlan())
    mild = DayScore(date(2019, 6, 3), 0.05, 0.05, 24)
    hot = DayScore(date(2019, 6, 3), 0.05, 0.05, 24, size=2.5)
    assert baseline.standardised(hot) < 0.6 * baseline.standardised(mild)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-0.2, 0.2), min_size=1, max_size=60), st.integers(0, 59))
def test_a_repeated_day_changes_nothing_and_state_survives_json(errors: list[float], cut: int) -> None:
    baseline = fit_baseline(noise(5, 120), DriftPlan(years=50))
    scores = [DayScore(date(2020, 1, 1) + timedelta(days=k), e, abs(e), 20) for k, e in enumerate(errors)]
    straight = through = DriftState(baseline)
    for k, score in enumerate(scores):
        straight, _ = step(straight, score)
        through, _ = step(through, score)
        if k == cut:
            for old in scores[: k + 1]:
                through, alarm = step(through, old)
                assert alarm is None
        through = DriftState.from_dict(json.loads(json.dumps(through.to_dict())))
    assert straight == through


def test_after_an_alarm_the_state_is_frozen_until_rebaselined() -> None:
    baseline = fit_baseline(noise(5, 365), DriftPlan())
    shifted = noise(8, 90, shift=0.10)
    state, alarm = run(DriftState(baseline), shifted)
    assert alarm is not None
    frozen, nothing = step(state, shifted[-1])
    assert (frozen, nothing) == (state, None)
    fresh = rebaselined(state, fit_baseline(shifted, DriftPlan()))
    assert run(fresh, [s for s in noise(9, 120, shift=0.10) if s.day > alarm.day])[1] is None


def test_a_drift_that_has_gone_leaves_the_normal_level_and_one_that_stays_sets_a_new_one() -> None:
    normal = fit_baseline(noise(5, 365), DriftPlan())
    mean, spread = normal.working
    assert moved(normal, []) == normal
    assert moved(normal, [mean + 0.5 * spread] * 14) == normal
    shifted = moved(normal, [mean - 6 * spread] * 14)
    assert shifted.working == pytest.approx((mean - 6 * spread, spread))
    assert shifted.off == pytest.approx((normal.off[0] - 6 * spread, normal.off[1]))
    assert shifted.threshold == normal.threshold
    assert moved(normal, [mean + 6 * spread]) != normal  # a single day may say it, if it is loud enough
    assert moved(normal, [mean + 2 * spread]) == normal


def test_too_little_history_and_a_broken_state_are_refused() -> None:
    with pytest.raises(InvalidInput):
        fit_baseline(noise(1, 20), DriftPlan())
    state = DriftState(fit_baseline(noise(1, 60), DriftPlan())).to_dict()
    with pytest.raises(InvalidInput):
        DriftState.from_dict({**state, "hihg": 1.0})
    with pytest.raises(InvalidInput):
        Reference.from_dict({"areas": []})


def test_pooling_ignores_a_few_mad_feeds_and_masked_hours() -> None:
    at = [datetime(2020, 1, 6, tzinfo=UTC) + timedelta(hours=k) for k in range(48)]
    rows = pl.concat(
        [
            pl.DataFrame({"area": f"A{k}", "at": at}).with_columns(
                truth_mw=pl.lit(1.02 if k else 1000.0), median_mw=pl.lit(1.0), scale_mw=pl.lit(1.0)
            )
            for k in range(10)
        ]
    )
    masked = rows.with_columns(
        truth_mw=pl.when((pl.col("area") == "A1") & (pl.col("at") >= at[20])).then(None).otherwise(pl.col("truth_mw"))
    )
    errors = daily_errors(masked, "UTC")
    assert errors.filter(pl.col("area") == "A1")["n"].to_list() == [20]
    scores = pool(errors, frozenset({date(2020, 1, 7)}))
    assert [s.signed for s in scores] == pytest.approx([0.02, 0.02])
    assert [(s.areas, s.off) for s in scores] == [(10, False), (9, True)]
