"""Detectors of rare events (1 % of the quarter hours) through a whole rollout: found, left alone, how often wrongly."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from recloser.core import VirtualClock
from recloser.core.scores import long_run_sd
from recloser.ledger import PairedDayRecord, RolloutRecord
from recloser.rollout import (
    AreaDay,
    CanaryStep,
    DayRule,
    Evidence,
    Rollout,
    RolloutController,
    RolloutPlan,
    RolloutState,
    Settings,
    brier_loss,
    close_day,
)
from recloser.rollout.paired.betting import wealth_worse
from recloser.rollout.paired.sequence import sequence_bounds

DAY = timedelta(days=1)
PREVALENCE, POINTS, FEEDERS = 0.01, 96, 5
PLAN = RolloutPlan(shadow_days=2, steps=(CanaryStep(0.5, 50),), probation_days=20, deadline_days=80)


def answers(rng, truth, skill):
    """Probability .8 for the share `skill` of the events, else .02; .5 for 3 in 1000 quiet quarter hours, else .01."""
    seen, alarmed = rng.random(truth.shape) < skill, rng.random(truth.shape) < 0.003
    return np.where(truth > 0, np.where(seen, 0.8, 0.02), np.where(alarmed, 0.5, 0.01))


def feeders(rng, skill):
    """Return (truth, candidate, champion) of one day, each of shape (FEEDERS, POINTS)."""
    truth = (rng.random((FEEDERS, POINTS)) < PREVALENCE).astype(float)
    return truth, answers(rng, truth, skill), answers(rng, truth, 0.8)


def loss(truth, answer):
    return float(np.mean((answer - truth) ** 2))


def staging(rng):
    """Return the champion's mean loss and the scale that 56 days of an equal candidate give."""
    days = [feeders(rng, 0.8) for _ in range(56)]
    usual = float(np.mean([loss(truth, theirs) for truth, _, theirs in days]))
    return usual, long_run_sd(
        np.array([loss(truth, mine) - loss(truth, theirs) for truth, mine, theirs in days])
    ) / usual


class Life:
    """A detector beside its champion on a real ledger: events, closed days, ticks."""

    def __init__(self, ledger, router, source, build):
        self.ledger, self.source = ledger, source
        self.clock, self.rng = VirtualClock(build.t0), np.random.default_rng(91)
        self.usual, scale = staging(self.rng)
        settings = Settings(resolution=timedelta(minutes=15), lease=2 * DAY)
        self.controller = RolloutController(ledger, router, self.clock, lambda _release: "", settings)
        for name in ("rel-1", "rel-2"):
            with ledger.change("staging", self.clock.now()) as change:
                change.add(build.release(name))
                change.note("release.accept", name)
            self.controller.submit(name, PLAN, scale=scale, reason="passed staging")
            self.controller.tick(source)

    def rollout(self):
        return Rollout.from_record(self.ledger.find(RolloutRecord, release="rel-2")[0])

    def live(self, days, skill):
        for _ in range(days):
            self.clock.advance_to(self.clock.now() + DAY)
            now, (truth, mine, theirs) = self.clock.now(), feeders(self.rng, skill)
            areas = [
                AreaDay(f"f{k}", self.usual, truth[k], mine[k][:, None], theirs[k][:, None]) for k in range(FEEDERS)
            ]
            closed = close_day((now - DAY).date(), areas, brier_loss, DayRule(0.75, now), now)
            assert closed is not None
            self.source.by_release["rel-2"] = Evidence(ready=True, target_ready=True, days=(closed,))
            self.controller.tick(self.source)
            if self.rollout().finished:
                break


@pytest.fixture
def life(ledger, router, source, build):
    return Life(ledger, router, source, build)


def test_a_blind_detector_loses_its_traffic_and_then_its_place(life):
    life.live(10, 0.8)
    assert life.rollout().state is RolloutState.CANARY
    life.live(40, 0.0)
    ended = life.rollout()
    assert ended.state is RolloutState.TRIPPED
    assert ended.pulled
    assert len(life.ledger.find(PairedDayRecord, rollout=ended.key)) <= 35


def test_an_equal_detector_keeps_its_traffic(life):
    life.live(45, 0.8)
    assert life.rollout().state is RolloutState.CANARY
    assert not life.rollout().pulled


@pytest.mark.slow
def test_equal_detectors_are_rolled_back_or_pulled_in_at_most_alpha_of_the_rollouts():
    rng = np.random.default_rng(92)
    wrong, found = [], []
    for number in range(400):
        usual, scale = staging(rng)
        for skill, into in ((0.8, wrong), (0.4, found)) if number < 100 else ((0.8, wrong),):
            days = [feeders(rng, skill) for _ in range(56)]
            gaps = np.array([loss(truth, mine) - loss(truth, theirs) for truth, mine, theirs in days]) / usual
            over = wealth_worse(gaps, scale) >= 1.0 / PLAN.trip_alpha
            over |= sequence_bounds(gaps, scale, PLAN.pull_alpha)[0] > 0
            into.append(float(over.argmax()) + 1.0 if over.any() else np.inf)
    assert np.isfinite(wrong).mean() <= 0.025
    assert np.median(found) <= 10
