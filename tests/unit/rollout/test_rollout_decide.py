"""`decide` over every state and class of evidence: total, allowed transitions only, each invariant by an oracle."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import product

import pytest

from recloser.rollout import CanaryStep, Command, CommandKind, Evidence, Promotion, RolloutPlan, RolloutState, decide
from recloser.rollout import apply as applied
from recloser.rollout.machine.table import TABLE
from recloser.rollout.rollout import FINISHED, HOLDABLE, STOPPED

S = RolloutState
PLAN = RolloutPlan(
    shadow_days=4, steps=(CanaryStep(0.1, 4), CanaryStep(0.5, 4)), probation_days=10, deadline_days=40, trip_count=3
)
GOOD = [-0.3] * 30
WORSE = [0.5] * 30
SOMEWHAT = [0.16] * 12  # the fast sequence is sure, strict betting is not yet
ROLLBACK = Command("cmd-r", CommandKind.ROLLBACK, "ann", "looks odd")
HOLD = Command("cmd-h", CommandKind.HOLD, "ann", "storm")
RESUME = Command("cmd-u", CommandKind.RESUME, "ann", "storm over")


@pytest.fixture(scope="module")
def build(request):
    return request.getfixturevalue("builders")


@pytest.fixture(scope="module")
def rollouts(build):
    states = [
        *((state, None, 0) for state in S if state not in STOPPED),
        (S.CANARY, None, 1),
        *((S.HELD, held_from, 1 if held_from is S.CANARY else 0) for held_from in sorted(HOLDABLE)),
        *((S.AWAITING_APPROVAL, held_from, int(held_from is S.CANARY)) for held_from in (S.QUEUED, S.SHADOW, S.CANARY)),
    ]
    return [
        build.rollout(
            state,
            PLAN,
            held_from=held_from,
            step=step,
            promoted_at=build.t0 if S.PROBATION in {state, held_from} or state is S.CHAMPION else None,
            tried_at=None if S.QUEUED in {state, held_from} else build.t0,
        )
        for state, held_from, step in states
    ]


@pytest.fixture(scope="module")
def day_classes(build):
    return {
        name: build.days(values)
        for name, values in {"none": [], "good": GOOD, "worse": WORSE, "somewhat": SOMEWHAT}.items()
    }


def after(build, days: float) -> datetime:
    return build.t0 + timedelta(days=days)


def check_sane(rollout, evidence, action, now):
    """Hold for every decision whatsoever."""
    if action.changes(rollout):
        assert action.state in TABLE[rollout.state][action.event]
    assert action.reason
    target = action.target
    if rollout.state in FINISHED:
        assert not action.changes(rollout)
        return
    if target is not None:
        newly = {target.champion, target.canary, target.shadow} - {rollout.champion, None}
        assert newly <= {rollout.release}
        if target.champion is None:
            assert action.alarm
        # I1: no traffic for a release that is not confirmed ready.
        gains = rollout.release in {target.canary, target.champion}
        if gains:
            assert evidence.ready is True or rollout.phase is S.PROBATION
            assert not evidence.freeze
        # I2: switching back to the former champion needs it verified.
        if target.champion == rollout.champion and rollout.phase in {S.PROBATION, S.CHAMPION}:
            assert evidence.target_ready is True
        if evidence.target_ready is False and action.state in FINISHED and rollout.phase is not S.SHADOW:
            assert target.champion is None
        # Ending a shadow moves no traffic, so it never takes the champion away.
        if rollout.phase is S.SHADOW and action.state in FINISHED:
            assert (target.champion, action.alarm) == (rollout.champion, "")
        assert 0.0 <= target.share <= 1.0
        # I4: the former champion stays in the route while the new one is on probation.
        if action.state is S.PROBATION:
            assert target.shadow == rollout.champion
    # I3: a rollback is never blocked.
    if evidence.command == ROLLBACK:
        assert action.state is S.ROLLED_BACK
    if action.state in {S.TRIPPED, S.ROLLED_BACK, S.ABORTED}:
        assert applied(rollout, action, now).finished_at == now
    following = applied(rollout, action, now)
    assert following.finished == (following.state in FINISHED)
    if action.state is S.PROBATION and rollout.state not in {S.HELD, S.PROBATION}:
        assert rollout.phase is S.CANARY
        assert rollout.step == len(rollout.plan.steps) - 1


def test_protections_over_every_state_and_evidence(build, rollouts, day_classes):
    now = after(build, 33)
    seen = 0
    grid = product(
        rollouts,
        (None, True, False),
        (None, True, False),
        (0, 3),
        (0, 3),
        (0, 2),
        day_classes.items(),
        (None, ROLLBACK, HOLD, RESUME),
    )
    for rollout, ready, target_ready, mine, its, divergence, (name, days), command in grid:
        evidence = Evidence(
            ready=ready,
            target_ready=target_ready,
            incidents={"rel-new": mine, "rel-old": its},
            divergence=divergence,
            days=days,
            command=command,
        )
        action = decide(rollout, evidence, now)
        check_sane(rollout, evidence, action, now)
        seen += 1
        if rollout.state in FINISHED or command == ROLLBACK:
            continue
        phase = rollout.phase
        paired = phase in {S.SHADOW, S.CANARY, S.PROBATION}
        must_end = (
            ready is False or (mine >= 3 and phase is not S.QUEUED) or (paired and (divergence >= 2 or name == "worse"))
        )
        if must_end:
            assert action.state is (S.ABORTED if phase is S.QUEUED else S.TRIPPED), (rollout.state, action)
            assert action.recall is (phase is not S.QUEUED)
            # I9: both bad -> ladder alone, with an alarm.
            if its >= 3 and phase not in {S.QUEUED, S.SHADOW}:
                assert action.target is not None
                assert action.target.champion is None
                assert "fallback ladder" in action.alarm
        else:
            assert action.state not in FINISHED
    assert seen == len(rollouts) * 3 * 3 * 2 * 2 * 2 * 4 * 4


def test_gates_over_every_state_and_evidence(build, rollouts, day_classes):
    grid = product(
        rollouts,
        (None, True),
        day_classes.items(),
        ("", "storm"),
        (None, "rel-newer"),
        *([(False, True)] * 3),
        (1, 33, 60),
    )
    promoted = 0
    for rollout, ready, (name, days), freeze, newer, lease_lost, settled, reference, elapsed in grid:
        if name == "worse":
            continue
        now = after(build, elapsed)
        evidence = Evidence(
            ready=ready,
            target_ready=True,
            days=days,
            freeze=freeze,
            newer=newer,
            lease_lost=lease_lost,
            settled=settled,
            reference_serves=reference,
            slot_free=settled,
        )
        action = decide(rollout, evidence, now)
        check_sane(rollout, evidence, action, now)
        phase, moves_on = rollout.phase, action.state in {S.CANARY, S.PROBATION, S.CHAMPION, S.SHADOW}
        if rollout.state in FINISHED:
            continue
        # I5: a newer release ends the trial.
        if newer and phase in {S.QUEUED, S.SHADOW, S.CANARY}:
            assert action.state is S.ABORTED
        # I6: the deadline ends it, by a rollback where it is on trial.
        elif elapsed == 60 and rollout.state is not S.CHAMPION and (reference or phase in {S.QUEUED, S.PROBATION}):
            assert action.state is (S.ABORTED if phase is S.QUEUED else S.ROLLED_BACK)
        # I8: a lost lease takes the traffic.
        elif lease_lost and phase is S.CANARY and reference:
            assert applied(rollout, action, now).share == 0.0
        elif freeze or (phase in {S.SHADOW, S.CANARY, S.PROBATION} and (name == "none" or not settled)):
            advanced = moves_on and (action.state, action.step) != (rollout.state, rollout.step)
            pulled = (action.state is S.SHADOW and action.recall) or action.state is rollout.held_from
            assert not advanced or pulled, (rollout.state, action)
        if action.state is S.PROBATION and rollout.state is S.CANARY:
            promoted += 1
            assert (name, elapsed, ready, freeze, settled, newer) == ("good", 33, True, "", True, None)
    assert promoted > 0


@pytest.mark.parametrize("policy", list(Promotion))
def test_promotion_needs_what_its_policy_says(build, policy):
    plan = replace(PLAN, promotion=policy, harmless_days=14)
    canary = build.rollout(S.CANARY, plan, step=1)
    now = after(build, 35)
    ready = Evidence(ready=True, target_ready=True)
    undecided = build.days([0.04, -0.04] * 10)
    few = build.days([0.0] * 9)
    good = build.days(GOOD)
    outcomes = {
        name: decide(canary, replace(ready, days=days), now).state
        for name, days in {"undecided": undecided, "few": few, "good": good}.items()
    }
    weaker = policy is Promotion.NO_EVIDENCE_OF_HARM
    assert outcomes == {"undecided": S.PROBATION if weaker else S.CANARY, "few": S.CANARY, "good": S.PROBATION}
    harmful = build.days([0.09, 0.07] * 10)
    assert decide(canary, replace(ready, days=harmful), now).state in {S.CANARY, S.SHADOW}


def test_pulled_traffic_comes_back_only_on_strict_evidence(build):
    canary = build.rollout(S.CANARY, replace(PLAN, promotion=Promotion.NO_EVIDENCE_OF_HARM), step=1)
    pulled = decide(canary, Evidence(ready=True, days=build.days(SOMEWHAT)), after(build, 20))
    assert (pulled.state, pulled.recall, pulled.pulled, pulled.tier) == (S.SHADOW, True, True, "T2")
    assert pulled.target is not None
    assert (pulled.target.canary, pulled.target.shadow) == (None, "rel-new")
    shadow = applied(canary, pulled, after(build, 20))
    assert shadow.step == 0
    calm = build.days([*SOMEWHAT, *[-0.02] * 14])
    assert decide(shadow, Evidence(ready=True, days=calm), after(build, 38)).state is S.SHADOW
    proven = build.days([*SOMEWHAT, *[-0.5] * 20])
    assert decide(shadow, Evidence(ready=True, days=proven), after(build, 38)).state is S.CANARY


def test_unsure_is_never_worse_than_hold(build):
    """No scale, no labels: the rollout stays, says so, and ends at its deadline."""
    canary = build.rollout(S.CANARY, PLAN, scale=None)
    blind = Evidence(ready=True, days=build.days(GOOD))
    stays = decide(canary, blind, after(build, 30))
    assert (stays.state, "no data" in stays.reason) == (S.CANARY, True)
    missing = Evidence(ready=True, days=build.days(GOOD), labels_missing_since=build.t0)
    assert "labels are missing" in decide(build.rollout(S.CANARY, PLAN), missing, after(build, 30)).reason
    assert decide(canary, blind, after(build, 41)).state is S.ROLLED_BACK


def test_the_first_champion_is_promoted_at_once_and_says_why(build):
    first = build.rollout(S.QUEUED, PLAN, champion=None)
    action = decide(first, Evidence(ready=True), after(build, 0))
    assert action.state is S.CHAMPION
    assert action.target is not None
    assert action.target.champion == "rel-new"
    assert "first champion" in action.reason
    assert decide(first, Evidence(), after(build, 0)).state is S.QUEUED
    assert decide(first, Evidence(ready=True, freeze="storm"), after(build, 0)).state is S.QUEUED
    assert applied(first, action, after(build, 0)).promoted_at == after(build, 0)


def test_hold_stops_promotion_and_nothing_else(build):
    canary = build.rollout(S.CANARY, PLAN, step=1)
    held = applied(canary, decide(canary, Evidence(command=HOLD), after(build, 5)), after(build, 5))
    assert (held.state, held.phase, held.share) == (S.HELD, S.CANARY, 0.5)
    good = Evidence(ready=True, target_ready=True, days=build.days(GOOD))
    assert decide(held, good, after(build, 33)).state is S.HELD
    assert decide(held, replace(good, incidents={"rel-new": 3}), after(build, 33)).state is S.TRIPPED
    assert decide(held, good, after(build, 41)).state is S.ROLLED_BACK
    still = decide(held, replace(good, command=HOLD), after(build, 33))
    assert not still.changes(held)
    resumed = applied(held, decide(held, replace(good, command=RESUME), after(build, 33)), after(build, 33))
    assert (resumed.state, resumed.step, resumed.tried_at) == (S.CANARY, 1, canary.tried_at)
    again = decide(resumed, replace(good, command=RESUME), after(build, 34))
    assert not again.changes(resumed)


def test_a_held_canary_that_loses_its_lease_stays_held_without_traffic(build):
    held = build.rollout(S.HELD, PLAN, held_from=S.CANARY, step=1)
    following = applied(held, decide(held, Evidence(lease_lost=True), after(build, 2)), after(build, 2))
    assert (following.state, following.phase, following.share) == (S.HELD, S.SHADOW, 0.0)


def test_days_before_the_promotion_do_not_count_in_probation(build):
    probation = build.rollout(S.PROBATION, PLAN, promoted_at=after(build, 20), since=after(build, 20))
    before = build.days(GOOD[:18])
    worse = (*before, *build.days([0.9] * 18, start=after(build, 21).date()))
    action = decide(probation, Evidence(target_ready=True, days=worse), after(build, 39))
    assert (action.state, action.tier) == (S.TRIPPED, "T3")
    assert action.target is not None
    assert (action.target.champion, action.target.shadow) == ("rel-old", None)
    fine = (*before, *build.days([0.0, 0.01] * 6, start=after(build, 21).date()))
    assert decide(probation, Evidence(target_ready=True, days=fine), after(build, 35)).state is S.CHAMPION
    assert decide(probation, Evidence(target_ready=True, days=before), after(build, 35)).state is S.PROBATION


@pytest.mark.parametrize("phase", [S.SHADOW, S.CANARY, S.PROBATION])
@pytest.mark.parametrize(
    ("gap", "limit", "trips"),
    [(-0.12, 0.07, True), (0.12, 0.07, True), (0.069, 0.07, False), (None, 0.07, False), (0.5, None, False)],
)
def test_a_whole_issue_off_the_other_model_trips_at_once(build, phase, gap, limit, trips):
    promoted = build.t0 if phase is S.PROBATION else None
    rollout = build.rollout(phase, PLAN, tried_at=build.t0, promoted_at=promoted)
    evidence = Evidence(ready=True, target_ready=True, level_gap=gap, level_limit=limit)
    action = decide(rollout, evidence, after(build, 1))
    assert (action.state is S.TRIPPED, action.tier, action.recall) == (trips, "T1" if trips else "", trips)
    if trips:
        assert "12.0% of the recent level" in action.reason
        assert ("below" if gap < 0 else "above") in action.reason
        assert action.target is not None
        assert action.target.champion == rollout.champion


def test_a_level_that_is_no_number_is_a_divergence(build):
    rollout = build.rollout(S.CANARY, PLAN, tried_at=build.t0)
    evidence = Evidence(ready=True, target_ready=True, level_gap=float("nan"), level_limit=0.07)
    assert decide(rollout, evidence, after(build, 1)).tier == "T1"


@pytest.mark.parametrize("phase", [S.SHADOW, S.CANARY, S.PROBATION])
def test_an_issue_that_does_not_look_like_the_other_models_trips_at_once_and_again_on_replay(build, phase):
    promoted = build.t0 if phase is S.PROBATION else None
    rollout = build.rollout(phase, PLAN, tried_at=build.t0, promoted_at=promoted)
    evidence = Evidence(ready=True, target_ready=True, odd=("the same course at another hour (3 areas)",))
    action = decide(rollout, evidence, after(build, 1))
    assert (action.state, action.tier, action.recall) == (S.TRIPPED, "T1", True)
    assert "another hour (3 areas)" in action.reason
    assert decide(rollout, evidence, after(build, 1)) == action
    assert "odd" in evidence.summary()
    assert "odd" not in Evidence().summary()  # digests of evidence from before there was such a field stay the same


def test_input_faults_are_never_held_against_a_model(build):
    for state in (S.SHADOW, S.CANARY, S.PROBATION, S.CHAMPION):
        rollout = build.rollout(state, PLAN)
        assert not decide(rollout, Evidence(input_incidents=1000), after(build, 1)).changes(rollout)
