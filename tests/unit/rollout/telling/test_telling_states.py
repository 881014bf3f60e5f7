"""Every state of the machine says what would move it on and what would end it, with dates, numbers and names."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from recloser.rollout import (
    Approval,
    CanaryStep,
    Evidence,
    Promotion,
    Proposers,
    RolloutPlan,
    RolloutState,
    decide,
    explain,
)
from recloser.rollout.gates import t2_numbers

S = RolloutState
DAY = timedelta(days=1)
CASE = "ab" * 32
PLAN = RolloutPlan(
    shadow_days=7,
    steps=(CanaryStep(0.0, 2, ("north", "south")), CanaryStep(0.5, 7)),
    approve_before=("promotion",),
    approver_roles=("lead",),
)
BETTER = [-0.01, 0.02, -0.03, 0.0, -0.02, -0.05, 0.01, -0.03, -0.02]


def known(build, **more) -> Evidence:
    evidence = Evidence(ready=True, target_ready=True, package="p", days=build.days(BETTER), today=build.t0 + 12 * DAY)
    return replace(evidence, **more)


def tell(build, rollout, evidence=None, after=12):
    return explain(rollout, evidence or known(build), build.t0 + after * DAY)


@pytest.mark.parametrize("state", RolloutState)
def test_every_state_has_a_way_on_and_only_finished_ones_no_end(build, state):
    stopped = {"held_from": S.CANARY, "case": CASE if state is S.AWAITING_APPROVAL else ""}
    rollout = build.rollout(state, PLAN, **(stopped if state in {S.HELD, S.AWAITING_APPROVAL} else {}))
    told = tell(build, rollout)
    assert told["would_advance"]
    assert bool(told["would_end"]) is not rollout.finished
    assert told["next"]["state"] == str(decide(rollout, known(build), build.t0 + 12 * DAY).state)
    on_trial = {S.QUEUED, S.SHADOW, S.CANARY, S.PROBATION, S.HELD, S.AWAITING_APPROVAL}
    assert (told["deadline"] is not None) is (state in on_trial)
    assert told["phase"] == ("canary" if state in {S.HELD, S.AWAITING_APPROVAL} else str(state))
    for line in (*told["would_advance"], *told["would_end"]):
        assert line == line.strip()
        assert "None" not in line
        assert "nan" not in line


def test_queued_names_freeze_trial_and_the_day_it_is_taken_from_the_queue(build):
    frozen = "storm (until 2020-03-20T00:00:00Z)"
    told = tell(build, build.rollout(S.QUEUED, PLAN), known(build, slot_free=False, freeze=frozen))
    assert told["would_advance"] == [f"promotions are frozen: {frozen}", "another rollout is on trial"]
    assert told["would_end"][-1] == "it is undecided for 60 days: taken from the queue at 2020-05-01T09:00:00Z"
    first = tell(build, build.rollout(S.QUEUED, PLAN, champion=None), known(build, gate="the waiver of x expired"))
    assert first["would_advance"] == [
        "the staging gate no longer passes it: the waiver of x expired",
        "then 2 people approve it, one of them as lead",
    ]


def test_shadow_and_canary_name_what_they_wait_for(build):
    shadow = tell(build, build.rollout(S.SHADOW, PLAN), after=3)
    assert shadow["would_advance"][0] == "shadow lasts until 2020-03-09T09:00:00Z"
    first = tell(build, build.rollout(S.CANARY, PLAN, since=build.t0 + 11 * DAY))
    assert first["would_advance"] == [
        "canary lasts until 2020-03-15T09:00:00Z",
        "no data: 0 of 1 paired days closed since 2020-03-13T09:00:00Z",
    ]
    assert (first["cohort"], first["step"]) == (["north", "south"], {"index": 0, "of": 2})
    labels = tell(build, build.rollout(S.CANARY, PLAN), known(build, labels_missing_since=build.t0 + 9 * DAY))
    assert "no data: labels are missing since 2020-03-11T09:00:00Z" in labels["would_advance"]


def test_the_last_step_tells_how_much_wealth_is_missing_and_when_at_this_rate(build):
    rollout = build.rollout(S.CANARY, PLAN, step=1)
    told = tell(build, rollout)
    good = told["outlook"]["good"]
    assert (good["needed"], good["days"], good["more_days"], good["about"]) == (20.0, 9, 30, "2020-04-13")
    factor = f"{good['needed'] / good['wealth']:.3g}"
    assert told["would_advance"][-2:] == [
        f"the test's wealth must grow {factor} times: at the rate of the 9 days so far in about 30 days, on 2020-04-13",
        "then 2 people approve it, one of them as lead",
    ]
    days = np.resize(np.array(BETTER), 9 + good["more_days"])  # what it says is what the test would say
    through = [t2_numbers(rollout, build.days(list(days[:n])))["good"] for n in (days.size - 1, days.size)]
    assert through == [False, True]
    soon = replace(rollout, plan=replace(PLAN, deadline_days=20))
    assert "; the deadline comes first (rolled back at 2020-03-22T09:00:00Z)" in tell(build, soon)["would_advance"][-2]
    harmless = replace(rollout, plan=replace(PLAN, promotion=Promotion.NO_EVIDENCE_OF_HARM))
    assert tell(build, harmless)["would_advance"][0] == "9 of 14 paired days without harm"


def test_worse_days_tell_when_they_would_trip(build):
    rollout = build.rollout(S.CANARY, PLAN, step=1)
    harmful = known(build, days=build.days([0.2, 0.3, 0.1, 0.25, 0.2]))
    told = tell(build, rollout, harmful)
    worse = told["outlook"]["worse"]
    assert worse["needed"] == 100.0
    assert worse["more_days"] >= 1
    line = next(line for line in told["would_end"] if "betting wealth of 'worse'" in line)
    assert f"on {worse['about']}" in line
    none = tell(build, rollout, known(build, days=()))
    assert "no paired day yet" in next(line for line in none["would_end"] if "betting wealth" in line)


def test_awaiting_names_whose_yes_is_missing_in_which_role(build):
    asked = build.rollout(
        S.AWAITING_APPROVAL, PLAN, held_from=S.CANARY, step=1, case=CASE, proposers=Proposers(("eve",))
    )
    strong = known(build, days=build.days([-0.2] * 30), today=build.t0 + 40 * DAY)
    yes = Approval("ben", "owner", CASE, build.t0 + 50 * DAY)
    gone = Approval("ann", "lead", CASE, build.t0 + 30 * DAY)
    told = tell(build, asked, replace(strong, approvals=(yes, gone)), after=41)
    assert told["approval"]["missing"] == [
        "1 of 2 people have approved: ben",
        "nobody has approved as lead",
        "expired: ann",
    ]
    assert [line.partition(": ")[2] for line in told["would_advance"]] == told["approval"]["missing"]
    assert (told["approval"]["needed"], told["approval"]["roles"], told["proposers"]["known"]) == (2, ["lead"], ["eve"])
    overridden = replace(asked, overridden="override by ben: storm damage")
    told = tell(build, overridden, replace(strong, approvals=(yes,)), after=41)
    assert (told["approval"]["roles"], told["approval"]["overridden"]) == ([], "override by ben: storm damage")


def test_approvals_expire_by_the_clock_not_by_the_time_of_the_data(build):
    asked = build.rollout(S.AWAITING_APPROVAL, PLAN, held_from=S.CANARY, step=1, case=CASE)
    yes = Approval("ann", "lead", CASE, build.t0 + 100 * DAY)
    strong = known(build, days=build.days([-0.2] * 30), approvals=(yes,))
    fresh = tell(build, asked, replace(strong, today=build.t0 + 99 * DAY), after=41)
    late = tell(build, asked, replace(strong, today=build.t0 + 100 * DAY), after=41)
    assert ([row["name"] for row in fresh["approval"]["given"]], late["approval"]["given"]) == (["ann"], [])


def test_held_says_who_resumes_it_and_that_its_time_starts_anew(build):
    held = build.rollout(S.HELD, PLAN, held_from=S.SHADOW, reason="held by ann: switching")
    told = tell(build, held, known(build, freeze="storm (until it is lifted)"))
    assert told["would_advance"] == [
        "somebody resumes it, and the time of shadow starts anew: recloser resume rel-new --as NAME --reason TEXT",
        "then: promotions are frozen: storm (until it is lifted)",
    ]
    assert told["next"] == {"state": "held", "reason": "on hold: held by ann: switching"}
    assert told["would_end"][-1].endswith("rolled back at 2020-05-01T09:00:00Z")


def test_probation_and_champion(build):
    told = tell(build, build.rollout(S.PROBATION, PLAN))
    assert told["would_advance"] == ["probation lasts until 2020-03-16T09:00:00Z"]
    assert (told["outlook"]["good"], told["outlook"]["worse"]["needed"]) == (None, 20.0)
    assert not any("rejects" in line for line in told["would_end"])
    champion = tell(build, build.rollout(S.CHAMPION, PLAN), known(build, incidents={"rel-new": 2}))
    assert champion["would_advance"] == [
        "nothing: it serves as champion until a newer release is promoted or it is stopped"
    ]
    assert "T0: 3 refused answers (2 now), or a gateway cuts it off" in champion["would_end"]
    assert (champion["outlook"], champion["deadline"]) == (None, None)


@pytest.mark.parametrize(
    ("state", "promoted", "says"),
    [
        (S.TRIPPED, True, "a release that tripped never serves again"),
        (S.RETIRED, True, "recloser rollback --to rel-new --reason TEXT"),
        (S.ROLLED_BACK, True, "recloser rollback --to rel-new --reason TEXT"),
        (S.ROLLED_BACK, False, "no rollback leads to it"),
        (S.ABORTED, False, "no rollback leads to it"),
    ],
)
def test_what_is_finished_says_whether_anybody_can_return_to_it(build, state, promoted, says):
    ended = build.rollout(state, PLAN, promoted_at=build.t0 if promoted else None)
    (line,) = tell(build, ended)["would_advance"]
    assert line.endswith((says, f"({says})"))


def test_a_plan_without_end_has_no_deadline(build):
    endless = build.rollout(S.SHADOW, replace(PLAN, deadline_days=1e8))
    told = tell(build, endless)
    assert (told["deadline"], any("undecided" in line for line in told["would_end"])) == (None, False)
