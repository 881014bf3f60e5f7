"""A waiver that has expired holds every step forward in every state, and no step back in any."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from recloser.rollout import CanaryStep, Command, CommandKind, Evidence, Promotion, RolloutPlan, RolloutState, decide

S, K = RolloutState, CommandKind
LAPSED = "the waiver of coverage by ann expired 2020-03-09T00:00:00Z"
PLAN = RolloutPlan(
    shadow_days=1,
    steps=(CanaryStep(0.25, 1), CanaryStep(0.5, 1)),
    probation_days=1,
    deadline_days=30,
    promotion=Promotion.NO_EVIDENCE_OF_HARM,
    harmless_days=2,
)
FORWARD = {S.QUEUED: S.SHADOW, S.SHADOW: S.CANARY, S.CANARY: S.PROBATION, S.PROBATION: S.CHAMPION}


def ready(build) -> Evidence:
    return Evidence(ready=True, target_ready=True, package="p", days=build.days([-0.1] * 5))


@pytest.mark.parametrize("phase", FORWARD)
def test_it_holds_each_step_forward_and_nobody_overrides_it(build, phase):
    rollout, now = build.rollout(phase, PLAN, step=1), build.t0 + timedelta(days=8)
    assert decide(rollout, ready(build), now).state is FORWARD[phase]
    lapsed = replace(ready(build), gate=LAPSED)
    held = decide(rollout, lapsed, now)
    assert not held.changes(rollout)
    assert held.reason == f"the staging gate no longer passes it: {LAPSED}"
    order = Command("c", K.OVERRIDE, "ann", "needed tonight")
    assert decide(rollout, replace(ready(build), command=order), now).state is FORWARD[phase]
    assert not decide(rollout, replace(lapsed, command=order), now).changes(rollout)


@pytest.mark.parametrize("phase", [*FORWARD, S.CHAMPION])
def test_it_holds_no_step_back(build, phase):
    rollout, now = build.rollout(phase, PLAN), build.t0 + timedelta(days=8)
    lapsed = replace(ready(build), gate=LAPSED)
    back = {S.ROLLED_BACK, S.TRIPPED, S.ABORTED}
    order = Command("c", K.ROLLBACK, "ann", "odd")
    assert decide(rollout, replace(lapsed, command=order), now).state is S.ROLLED_BACK
    if phase is not S.QUEUED:
        assert decide(rollout, replace(lapsed, incidents={"rel-new": 3}), now).state is S.TRIPPED
    if phase is not S.CHAMPION:
        assert decide(rollout, lapsed, now + timedelta(days=31)).state in back


def test_the_summary_names_it_only_when_it_is_so():
    assert "gate" not in Evidence().summary()
    assert Evidence(gate=LAPSED).summary()["gate"] == LAPSED
