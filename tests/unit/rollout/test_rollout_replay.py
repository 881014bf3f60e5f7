"""Verdicts come back bit for bit from the ledger alone, and no label that arrives late can change one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from recloser.core import VirtualClock
from recloser.ledger import Ledger, PairedDayRecord, RolloutRecord
from recloser.rollout import (
    CanaryStep,
    Evidence,
    Rollout,
    RolloutController,
    RolloutPlan,
    RolloutState,
    Settings,
    decide,
)
from recloser.rollout.gates import t2_numbers
from recloser.rollout.paired.pairing import day_from_record

DAY = timedelta(days=1)
PLAN = RolloutPlan(shadow_days=2, steps=(CanaryStep(0.5, 20),), probation_days=20, deadline_days=60)
SETTINGS = Settings(resolution=timedelta(hours=1), lease=2 * DAY)


class Life:
    """One release beside its champion on a real ledger, day by day; what staging and the world say is given."""

    def __init__(self, ledger, router, source, build):
        self.ledger, self.source, self.build = ledger, source, build
        self.clock = VirtualClock(build.t0)
        self.controller = RolloutController(ledger, router, self.clock, lambda _release: "", SETTINGS)
        for name in ("rel-1", "rel-2"):
            with ledger.change("staging", self.clock.now()) as change:
                change.add(build.release(name))
                change.note("release.accept", name)
            self.controller.submit(name, PLAN, scale=0.1, reason="passed staging")
            self.controller.tick(source)

    def rollout(self) -> Rollout:
        return Rollout.from_record(self.ledger.find(RolloutRecord, release="rel-2")[0])

    def live(self, differences) -> list[Rollout]:
        """Let the days pass until the rollout ends; return it as it stood before each tick."""
        before = []
        for difference in differences:
            self.clock.advance_to(self.clock.now() + DAY)
            fresh = self.build.days([difference], start=(self.clock.now() - DAY).date(), closed=self.clock.now())
            self.source.by_release["rel-2"] = Evidence(days=fresh)
            before.append(self.rollout())
            self.controller.tick(self.source)
            if self.rollout().finished:
                break
        return before

    def stored_days(self):
        records = self.ledger.find(PairedDayRecord, rollout=self.rollout().key, order_by="day")
        return tuple(day_from_record(record) for record in records)


@pytest.fixture
def life(ledger, router, source, build):
    return Life(ledger, router, source, build)


def noisy(mean, count, seed):
    return list(mean + 0.1 * np.random.default_rng(seed).standard_normal(count))


def replayed(life: Life, before: Rollout, now, extra: Evidence):
    """Decide again with the days of the ledger that were closed by then."""
    days = tuple(day for day in life.stored_days() if day.closed_at <= now)
    return decide(before, replace(extra, days=days), now)


@pytest.mark.parametrize(
    ("differences", "ends"),
    [
        (noisy(0.3, 40, 41), "tripped"),
        (noisy(-0.2, 25, 42) + noisy(0.4, 30, 43), "tripped"),
    ],
)
def test_the_verdict_comes_back_bit_for_bit_from_the_ledger(life, tmp_path, differences, ends):
    before = life.live(differences)[-1]
    after = life.rollout()
    assert after.state == ends
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db") as again:
        life.ledger = again
        known = Evidence(ready=True, target_ready=True)
        action = replayed(life, before, life.clock.now(), known)
        assert (action.state, action.reason, action.numbers) == (after.state, after.reason, after.facts)
        earlier = replayed(life, before, life.clock.now() - DAY, known)
        assert earlier.state == before.state


@pytest.mark.parametrize("late", [-5.0, 0.0, 5.0])
def test_corrected_labels_change_neither_the_stored_days_nor_the_verdict(life, late):
    life.live(noisy(0.02, 12, 44))
    stored, was = life.stored_days(), life.rollout()
    assert was.state == RolloutState.CANARY
    corrected = tuple(replace(day, difference=late, n=day.n + 5, closed_at=life.clock.now()) for day in stored)
    life.source.by_release["rel-2"] = Evidence(days=corrected)
    life.controller.tick(life.source)
    assert life.stored_days() == stored
    assert life.rollout() == was


def test_a_day_that_closed_without_labels_stays_without(life):
    life.live(noisy(0.0, 5, 45))
    day = (life.clock.now() + timedelta(hours=1)).date()
    empty = replace(life.build.days([0.0], start=day, closed=life.clock.now())[0], n=0)
    life.source.by_release["rel-2"] = Evidence(days=(empty,))
    life.controller.tick(life.source)
    life.source.by_release["rel-2"] = Evidence(days=(replace(empty, difference=9.0, n=24),))
    life.controller.tick(life.source)
    assert life.stored_days()[-1] == empty


def test_a_rollout_stored_before_there_was_a_level_for_trips_of_its_own_is_judged_as_then(build):
    """A plan and days as written by the version before: no `trip_alpha`, log ratios without joint numbers."""
    stored = PLAN.to_dict()
    del stored["trip_alpha"]
    old = RolloutPlan.from_dict(stored)
    assert (old.alpha, old.trip_alpha) == (0.05, 0.05)
    assert RolloutPlan.from_dict({**stored, "alpha": 0.02}).trip_alpha == 0.02
    assert RolloutPlan.from_dict(PLAN.to_dict()) == PLAN
    rollout = build.rollout(RolloutState.CANARY, old, scale=0.1)
    days = build.days([0.13] * 12)
    ratios = [replace(day, facts={"ratio": {"x": 0.0, "sd": 0.1, "offset_sd": 0.01}}) for day in days]
    numbers = t2_numbers(rollout, ratios)
    assert 1 / old.trip_alpha <= numbers["wealth_worse_max"] < 1 / PLAN.trip_alpha
    assert (numbers["worse"], numbers["surely_worse"]) == (True, False)
    assert not t2_numbers(replace(rollout, plan=PLAN), ratios)["worse"]
