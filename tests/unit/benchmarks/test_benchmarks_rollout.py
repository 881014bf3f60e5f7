"""The rollout benchmark's own arithmetic: the rules of others on made-up canaries, and how canaries are drawn."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

ROLLOUT = Path(__file__).parents[3] / "benchmarks" / "rollout"
NEVER = float("inf")


@pytest.fixture
def rules(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROLLOUT)
    return importlib.import_module("rules")


def canary(rules: ModuleType, worse: float, days: int = 56, noise: float = 0.1) -> Any:
    rng = np.random.default_rng(51)
    champion = rng.gamma(4.0, 0.25, (days, 24))
    candidate = champion * (1.0 + worse) + noise * rng.standard_normal((days, 24))
    staging = rng.gamma(96.0, 1 / 96.0, 56) + np.stack([noise * rng.standard_normal(56) / np.sqrt(24), np.zeros(56)])
    ramps, ramps_before = rng.lognormal(0.0, 0.1, (2, days)), rng.lognormal(0.0, 0.1, (2, 56))
    ramp = (1.0 + worse) * ramps[0], ramps[1]
    return rules.Canary(candidate, champion, candidate, champion, *ramp, staging, ramps_before, 1.0, rng)


def test_a_worse_forecaster_is_worse_by_just_the_effect_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROLLOUT)
    sides = importlib.import_module("sides")
    rng = np.random.default_rng(53)
    truth = 1.0 + 0.1 * rng.standard_normal((40, 24))
    forecasts = [
        truth + sd * rng.standard_normal(truth.shape) + np.array([-s, 0.0, s])[:, None, None]
        for sd, s in ((0.02, 0.03), (0.06, 0.06))
    ]
    healthy = sides.side(forecasts[0], truth)
    for (name, effect), harmed in sides.harmed((forecasts[0], truth), (forecasts[1], truth)).items():
        assert harmed.loss.mean() == pytest.approx((1.0 + effect) * healthy.loss.mean(), rel=1e-4), name
        assert harmed.ramp.mean() >= 0.999 * healthy.ramp.mean()
    assert healthy.over(healthy).loss.mean() == pytest.approx(1.0)


def test_the_guard_of_the_benchmark_finds_a_forecast_an_hour_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROLLOUT)
    gross = importlib.import_module("gross")
    rng = np.random.default_rng(54)
    curve = 1.0 + 0.2 * np.sin(np.arange(24) / 24 * 2 * np.pi)
    candidate, champion = curve + 0.01 * rng.standard_normal((2, 60, 24))
    guard = gross.Guard(candidate[:56], champion[:56])
    assert not guard.trips(candidate[57], champion[57])
    assert guard.trips(gross.FAULTS["an hour late"](candidate[57], 1), champion[57])


def test_every_rule_finds_a_canary_that_is_three_times_worse(rules: ModuleType) -> None:
    for name, rule in rules.RULES.items():
        assert rule(canary(rules, 2.0)) <= 14.0, name


def test_no_rule_acts_on_a_canary_that_is_far_better(rules: ModuleType) -> None:
    for name, rule in rules.RULES.items():
        assert rule(canary(rules, -0.8)) == NEVER, name


def test_only_a_canary_that_holds_is_promoted(rules: ModuleType) -> None:
    assert rules.promoted(canary(rules, -0.1)) <= 20.0
    assert rules.promoted(canary(rules, 0.5)) == NEVER


def test_the_rank_test_agrees_with_counting_pairs(rules: ModuleType) -> None:
    rng = np.random.default_rng(52)
    x, y = rng.standard_normal(9) + 1.0, rng.standard_normal(12)
    u = float((x[:, None] > y[None, :]).sum())
    assert rules._rank_z(x, y) == pytest.approx((u - 54.0) / np.sqrt(9 * 12 * 22 / 12.0))


def test_half_of_the_points_go_to_the_canary_and_none_to_both(rules: ModuleType) -> None:
    mine, theirs, days = rules._split(canary(rules, 0.0))
    assert mine.size + theirs.size == 56 * 24
    assert 0.4 < mine.size / (56 * 24) < 0.6
    assert (days[0].size, days[1].size) == (mine.size, theirs.size)
