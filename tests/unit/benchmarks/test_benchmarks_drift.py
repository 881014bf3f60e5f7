"""The drift benchmark's own arithmetic: alarms, delays, intervals, operating points, what is put in."""

from __future__ import annotations

import importlib
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

DRIFT = Path(__file__).parents[3] / "benchmarks" / "drift"


@pytest.fixture(autouse=True)
def _path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(DRIFT)


@pytest.fixture
def driver() -> ModuleType:
    return importlib.import_module("driver")


@pytest.fixture
def scoring() -> ModuleType:
    return importlib.import_module("scoring")


def days(driver: ModuleType, levels: list[float]) -> Any:
    count = len(levels)
    hours = np.repeat(np.array(levels)[:, None], 24, axis=1)
    return driver.Days(np.arange(count), hours, np.zeros(count, bool), np.zeros(count, bool))


def threshold(_: Any) -> Any:
    return lambda _number, hours: bool(hours.mean() > 1.0)


def test_alarms_of_one_episode_count_once_and_its_level_becomes_normal(driver: ModuleType) -> None:
    assert driver.false_alarms(threshold, days(driver, [0.0] * 50)) == 0
    lasting = [0.0] * 20 + [1.5] * 200
    assert driver.false_alarms(threshold, days(driver, lasting)) == 1
    twice = [0.0] * 20 + [1.5] + [0.0] * 60 + [1.5] + [0.0] * 40
    assert driver.false_alarms(threshold, days(driver, twice)) == 2


def test_a_delay_counts_whole_days_from_the_onset_and_a_miss_is_infinite(driver: ModuleType) -> None:
    runner = threshold(None)
    assert driver.delay(runner, days(driver, [0.0] * 10 + [2.0] * 5), 10) == 1.0
    assert driver.delay(runner, days(driver, [2.0] + [0.0] * 12 + [2.0] * 5), 10) == 4.0
    assert driver.delay(runner, days(driver, [0.0] * 20), 10) == float("inf")


@pytest.mark.parametrize("name", ["ours: channels", "e-detector", "weekly PSI (evidently)"])
def test_windows_that_share_their_days_before_have_the_delays_of_windows_run_alone(
    driver: ModuleType, name: str
) -> None:
    method, grid = importlib.import_module("rivals").METHODS[name]
    rng = np.random.default_rng(4)
    levels = 0.02 * rng.standard_normal(500)
    learnt = days(driver, levels[:300].tolist())
    windows = []
    for onset in (20, 60, 60):
        for kind, step in (("none", 0.0), ("up", 0.03), ("far", 0.2)):
            put_in = levels[300:400] + step * (np.arange(100) >= onset)
            lived = days(driver, put_in.tolist())
            windows.append((kind, replace(lived, numbers=lived.numbers + 300), onset))
    make = method(learnt, grid[0])
    alone: dict[str, list[float]] = {}
    for kind, lived, onset in windows:
        runner = make(lived)
        for number, hours in zip(lived.numbers[:onset], lived.hours[:onset], strict=True):
            runner(int(number), hours)
        alone.setdefault(kind, []).append(driver.delay(runner, lived, onset))
    assert driver.delays(make, windows) == alone
    assert max(alone["far"]) < 30.0


def test_weeks_are_those_of_the_calendar_wherever_a_window_begins(driver: ModuleType) -> None:
    for first in range(20000, 20007):
        shown: list[tuple[int, float]] = []
        weekly = driver.by_week(lambda now, shown=shown: bool(shown.append((len(now), float(now[0]))) or False))
        daily = driver.by_day(lambda now: len(now) == 7 * 24)
        looks = []
        for number in range(first, first + 30):
            before = len(shown)
            weekly(number, np.full(24, float(number)))
            assert daily(number, np.full(24, 1.0)) == (number >= first + 6)
            looks += [number] * (len(shown) > before)
        assert all(date.fromordinal(719163 + number).weekday() == 6 for number in looks)
        assert shown == [(168, float(number - 6)) for number in looks]
        assert len(looks) >= 3


def test_a_week_with_a_day_or_less_of_hours_is_shown_to_nobody(driver: ModuleType) -> None:
    daily = driver.by_day(lambda _: True)
    assert not any(daily(number, np.full(24, np.nan)) for number in range(20))
    assert not daily(20, np.zeros(24))
    assert daily(21, np.zeros(24))


def test_intervals_are_those_of_the_books(scoring: ModuleType) -> None:
    assert scoring.poisson(0, 10.0) == pytest.approx((0.0, 0.3689), abs=1e-3)
    assert scoring.poisson(10, 10.0) == pytest.approx((0.4795, 1.8390), abs=1e-3)
    assert scoring.wilson(9, 10) == pytest.approx((0.5958, 0.9821), abs=1e-3)


def test_the_matched_point_is_the_most_sensitive_that_keeps_the_rate(scoring: ModuleType, driver: ModuleType) -> None:
    empty = days(driver, [0.0])
    units = [driver.Unit(name, "operator", True, True, empty, empty, []) for name in "AB"]
    points = [scoring.Point(s, {"A": a, "B": 0}, {}) for s, a in ((1.0, 5), (2.0, 2), (3.0, 1), (4.0, 0))]
    assert scoring.matched(points, units, 1.0).strictness == 2.0
    assert scoring.matched(points[:1], units, 1.0) is None


def test_changes_leave_the_days_before_alone_and_lockdowns_reach_their_depth() -> None:
    injected = importlib.import_module("injected")
    load = np.full((60, 24), 100.0) + np.arange(24)
    since = (np.arange(60) - 30.0)[:, None]
    for name, change in injected.CHANGES.items():
        after = change(load, since, 0.1)
        assert np.array_equal(after[:30], load[:30]), name
        assert not np.array_equal(after[45:], load[45:]), name
    fallen = injected.CHANGES["lockdown over 14 days"](load, since, 0.1)
    assert 1.0 - fallen[50].mean() / load[50].mean() == pytest.approx(0.1, abs=0.005)


def test_window_statistics_are_zero_for_the_same_days_and_large_for_others() -> None:
    rivals = importlib.import_module("rivals")
    rng = np.random.default_rng(1)
    usual = rng.standard_normal(4000)
    for statistic in (rivals.psi, rivals.wasserstein, rivals.ks):
        same, moved = statistic(usual)(usual[::10]), statistic(usual)(usual[::10] + 2.0)
        assert moved > 5 * max(same, 0.01)


@pytest.mark.slow
def test_the_benchmark_runs_without_real_data(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = importlib.import_module("run")
    monkeypatch.setattr("sys.argv", ["run.py", "--quick", "--only", "drift", "--data", "/nowhere"])
    run.main()
    told = capsys.readouterr().out
    assert "ours: channels" in told
    assert "simulated, reference: 1 series-years" in told
