"""Plans and rollout records survive the ledger and refuse what makes no sense."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recloser.core import InvalidInput
from recloser.rollout import CanaryStep, Promotion, Proposers, Rollout, RolloutPlan, RolloutState
from recloser.rollout.machine.table import TABLE
from recloser.rollout.rollout import FINISHED


def test_a_rollout_survives_its_record(build):
    for state in RolloutState:
        rollout = build.rollout(state, scale=0.125, step=2, pulled=True, handled="cmd-1", facts={"days": 3})
        assert Rollout.from_record(rollout.to_record()) == rollout
    held = build.rollout(RolloutState.HELD, held_from=RolloutState.CANARY, step=1)
    assert Rollout.from_record(held.to_record()) == held
    assert held.to_record().share == 0.25
    asked = build.rollout(RolloutState.AWAITING_APPROVAL, held_from=RolloutState.CANARY, case="c" * 64)
    asked = replace(asked, overridden="override by ann: storm", proposers=Proposers(("eve",), ("x <x@y.org>",)))
    assert Rollout.from_record(asked.to_record()) == asked


def test_a_rollout_written_before_there_were_approvals_is_read(build):
    record = build.rollout(RolloutState.CANARY).to_record()
    memory = {k: v for k, v in record.evidence["memory"].items() if k not in {"case", "overridden", "proposers"}}
    plan = {k: v for k, v in record.plan.items() if not k.startswith("approve")}
    old = Rollout.from_record(replace(record, plan=plan, evidence={"memory": memory, "facts": {}}))
    assert (old.case, old.overridden, old.proposers, old.plan.approve_before) == ("", "", Proposers(), ())
    one = {**memory, "proposer": "eve"}  # as it was written when one person at most was known
    asked = Rollout.from_record(replace(record, plan=plan, evidence={"memory": one, "facts": {}}))
    assert asked.proposers == Proposers(("eve",))


def test_waves_widen_by_areas_then_by_share():
    pilots = (CanaryStep(0.0, 2, ("north",)), CanaryStep(0.0, 2, ("south", "west")), CanaryStep(0.5, 3))
    plan = RolloutPlan(steps=pilots, cohort=("lab",))
    assert RolloutPlan.from_dict(plan.to_dict()) == plan
    assert [plan.cohort_at(step) for step in range(3)] == [
        ("lab", "north"),
        ("lab", "north", "south", "west"),
        ("lab", "north", "south", "west"),
    ]
    for wrong in ((CanaryStep(0.0, 2),), (CanaryStep(0.0, 2, ("a",)), CanaryStep(0.0, 2, ("a",)))):
        with pytest.raises(InvalidInput, match="steps"):
            RolloutPlan(steps=wrong)


def test_a_foreign_record_is_refused(build):
    record = replace(build.rollout(RolloutState.SHADOW).to_record(), evidence={})
    with pytest.raises(InvalidInput, match="not a rollout record"):
        Rollout.from_record(record)


@given(
    st.lists(st.tuples(st.floats(0.01, 1.0), st.floats(0.0, 9.0)), min_size=1, max_size=5, unique_by=lambda x: x[0]),
    st.sampled_from(list(Promotion)),
    st.lists(st.text("abc", min_size=1), max_size=2),
)
def test_a_plan_survives_its_dictionary(steps, promotion, cohort):
    ordered = tuple(CanaryStep(share, days) for share, days in sorted(steps))
    plan = RolloutPlan(steps=ordered, promotion=promotion, cohort=tuple(cohort))
    assert RolloutPlan.from_dict(plan.to_dict()) == plan


@pytest.mark.parametrize(
    "wrong",
    [
        {"alpha": 0.0},
        {"alpha": float("nan")},
        {"margin": -0.1},
        {"steps": ()},
        {"steps": (CanaryStep(0.5, 1), CanaryStep(0.5, 1))},
        {"steps": (CanaryStep(1.5, 1),)},
        {"steps": (CanaryStep(0.5, -1),)},
        {"deadline_days": 10.0},
        {"deadline_days": float("nan")},
        {"deadline_days": float("inf")},
        {"shadow_days": float("nan")},
        {"trip_count": 0},
        {"label_share": 0.0},
    ],
)
def test_a_plan_out_of_range_says_which_number(wrong):
    with pytest.raises(InvalidInput) as caught:
        RolloutPlan(**wrong)
    assert caught.value.where == f"plan.{next(iter(wrong))}"


def test_a_misspelt_plan_key_names_the_nearest():
    with pytest.raises(InvalidInput, match="Did you mean 'shadow_days'"):
        RolloutPlan.from_dict({"shadow_day": 3})
    with pytest.raises(InvalidInput, match="Did you mean 'no_evidence_of_harm'"):
        RolloutPlan.from_dict({"promotion": "no_evidence_of_har"})


def test_every_unfinished_state_can_be_ended():
    for state in RolloutState:
        ends = {to for found in TABLE[state].values() for to in found}
        assert bool(ends) is (state not in FINISHED)
        if state not in FINISHED:
            assert RolloutState.ROLLED_BACK in ends
            assert RolloutState.TRIPPED in ends or state is RolloutState.QUEUED  # a queued one is aborted
