"""When to retrain: every rule by example, and the hard ones (bad data, budget, one run) as properties."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recloser.core import InvalidInput
from recloser.ledger import SignalRecord
from recloser.triggers import (
    Code,
    Every,
    History,
    Past,
    Schedule,
    Trigger,
    TriggerKind,
    TriggerPolicy,
    api_trigger,
    commit_trigger,
    data_trigger,
    decide,
    from_signals,
)
from recloser.triggers.decide import queue_after

K = TriggerKind
NOW = datetime(2020, 6, 1, 3, tzinfo=UTC)
DAY = timedelta(days=1)
AREAS = frozenset("abcdefgh")
HISTORY = History(begun_at=NOW - 300 * DAY, areas=AREAS)
POLICY = TriggerPolicy()
DRIFT = Trigger("signal:1", K.DRIFT, NOW - DAY, "load down 9 %", ("a", "b"))


def only(policy, history, *requests, now=NOW):
    (decision,) = decide(policy, history, requests, now)
    return decision.decision, decision.code


def started(days_ago, key="old", kind=K.API):
    return Past(key, kind, Code.STARTED, NOW - days_ago * DAY)


def test_a_drift_starts_a_run():
    assert only(POLICY, HISTORY, DRIFT) == ("start", Code.STARTED)
    assert decide(POLICY, HISTORY, [], NOW) == []


@pytest.mark.parametrize("field", ["faults", "unmasked"])
@pytest.mark.parametrize("kind", list(K))
def test_nothing_retrains_on_bad_data(field, kind):
    bad = replace(HISTORY, **{field: frozenset({"b"})})
    assert only(POLICY, bad, replace(DRIFT, kind=kind)) == ("skip", Code.DATA_FAULT)
    assert only(POLICY, bad, replace(DRIFT, kind=kind, areas=())) == ("skip", Code.DATA_FAULT)
    assert only(POLICY, bad, replace(DRIFT, kind=kind, areas=("c",))) == ("start", Code.STARTED)


def test_a_policy_may_leave_few_faulty_areas_out_of_the_run():
    lenient = TriggerPolicy(excludable=0.25)
    bad = replace(HISTORY, faults=frozenset({"c"}), unmasked=frozenset({"d"}))
    (decision,) = decide(lenient, bad, [replace(DRIFT, areas=())], NOW)
    assert (decision.decision, decision.excluded) == ("start", ("c", "d"))
    assert "without the faulty areas c, d" in decision.why
    worse = replace(bad, faults=frozenset({"c", "e"}))
    assert only(lenient, worse, replace(DRIFT, areas=())) == ("skip", Code.DATA_FAULT)


def test_the_same_trigger_never_starts_twice_and_a_skip_is_said_once():
    assert decide(POLICY, replace(HISTORY, past=(started(30, DRIFT.key, K.DRIFT),)), [DRIFT], NOW) == []
    fault = replace(HISTORY, faults=frozenset({"a"}))
    said = replace(fault, past=(Past(DRIFT.key, K.DRIFT, Code.DATA_FAULT, NOW - DAY),))
    assert decide(POLICY, said, [DRIFT], NOW) == []
    assert only(POLICY, replace(said, faults=frozenset()), DRIFT) == ("start", Code.STARTED)


def test_cooldown_and_who_need_not_wait_for_it():
    recent = replace(HISTORY, past=(started(3),))
    assert only(POLICY, recent, DRIFT) == ("skip", Code.COOLDOWN)
    assert only(POLICY, recent, DRIFT, now=NOW + 4 * DAY) == ("start", Code.STARTED)
    assert only(POLICY, recent, api_trigger("ann", "new meter", NOW)) == ("start", Code.STARTED)


def test_nobody_is_exempt_from_the_budget():
    spent = replace(HISTORY, past=tuple(started(8 + n, f"old-{n}") for n in range(4)))
    assert only(POLICY, spent, api_trigger("ann", "again", NOW)) == ("skip", Code.BUDGET)
    assert only(POLICY, spent, DRIFT, now=NOW + 30 * DAY) == ("start", Code.STARTED)


def test_a_rollout_lets_all_wait_but_what_a_person_asks_for():
    live = replace(HISTORY, rollout_live=True)
    (waiting,) = decide(POLICY, live, [DRIFT], NOW)
    assert waiting.code is Code.QUEUED
    assert only(POLICY, live, data_trigger("d1", 100, NOW)) == ("skip", Code.QUEUED)
    hasty = TriggerPolicy(during_rollout={K.DATA: "skip"})
    assert only(hasty, live, data_trigger("d1", 100, NOW)) == ("skip", Code.ROLLOUT)
    assert only(POLICY, live, api_trigger("ann", "now", NOW)) == ("start", Code.STARTED)
    queued = replace(HISTORY, queued=queue_after(live, [waiting]))
    assert queued.queued == (DRIFT,)
    (later,) = decide(POLICY, queued, [DRIFT], NOW + DAY)
    assert (later.trigger, later.code) == (DRIFT, Code.STARTED)
    assert queue_after(queued, [later]) == ()
    for requests, after in (([DRIFT], 40 * DAY), ([], DAY)):  # waited too long; its signal closed
        (stale,) = decide(POLICY, queued, requests, NOW + after)
        assert stale.code is Code.EXPIRED
        assert queue_after(queued, [stale]) == ()


def test_the_most_urgent_starts_and_covers_the_others():
    requests = [commit_trigger("c0ffee" * 6, NOW), DRIFT, replace(DRIFT, key="signal:2", kind=K.DEGRADATION)]
    decisions = decide(POLICY, HISTORY, requests, NOW)
    assert [(d.kind, d.code) for d in decisions] == [
        (K.DEGRADATION, Code.STARTED),
        (K.DRIFT, Code.COVERED),
        (K.COMMIT, Code.COVERED),
    ]


def test_a_switched_off_kind_and_a_run_under_way():
    assert only(TriggerPolicy(kinds=frozenset({K.API})), HISTORY, DRIFT) == ("skip", Code.DISABLED)
    assert only(POLICY, replace(HISTORY, run_live=True), DRIFT) == ("skip", Code.RUNNING)


def test_a_schedule_starts_once_per_due_date_however_many_were_missed():
    policy = TriggerPolicy(schedule=Schedule(Every.WEEKLY, ZoneInfo("UTC"), time(2), weekday=0), cooldown=2 * DAY)
    (decision,) = decide(policy, HISTORY, [], NOW)
    assert (decision.trigger.key, decision.code) == ("schedule:2020-06-01", Code.STARTED)
    assert decision.reason == "scheduled for 2020-06-01T02:00:00Z"
    done = replace(HISTORY, past=(Past(decision.trigger.key, K.SCHEDULE, Code.STARTED, NOW),))
    assert decide(policy, done, [], NOW + 6 * DAY) == []
    assert decide(policy, done, [], NOW + 7 * DAY)[0].trigger.key == "schedule:2020-06-08"


def test_a_due_date_is_put_off_by_a_rollout_and_not_lost():
    """Rollouts take five weeks: a monthly schedule that skipped would act every second month."""
    policy = TriggerPolicy(schedule=Schedule(Every.MONTHLY, ZoneInfo("UTC"), time(2)), cooldown=2 * DAY, budget=99)
    live = replace(HISTORY, rollout_live=True)
    (put_off,) = decide(policy, live, [], NOW)
    assert (put_off.code, put_off.trigger.key) == (Code.QUEUED, "schedule:2020-06-01")
    assert "waits until it has ended" in put_off.why
    waiting = replace(
        HISTORY,
        queued=queue_after(live, [put_off]),
        past=(Past(put_off.trigger.key, K.SCHEDULE, Code.QUEUED, NOW),),
    )
    assert decide(policy, replace(waiting, rollout_live=True), [], NOW + 5 * DAY) == []
    (later,) = decide(policy, waiting, [], NOW + 6 * DAY)
    assert (later.code, later.trigger.key) == (Code.STARTED, "schedule:2020-06-01")
    assert queue_after(waiting, [later]) == ()


@pytest.mark.parametrize("weeks", [1, 5])
def test_a_monthly_schedule_acts_every_month_however_long_its_rollouts_take(weeks):
    """A year as a loop lives it: asks daily, and each run begins a rollout of so many weeks."""
    policy = TriggerPolicy(schedule=Schedule(Every.MONTHLY, ZoneInfo("UTC"), time(2)), cooldown=7 * DAY, budget=99)
    begun = datetime(2020, 1, 1, tzinfo=UTC)
    past, queued, ends, starts = [], (), begun, []
    for day in range(365):
        now = begun + day * DAY + timedelta(hours=3)
        history = History(begun, tuple(past), queued, areas=AREAS, rollout_live=now < ends)
        decisions = decide(policy, history, [], now)
        queued = queue_after(history, decisions)
        past += [Past(item.trigger.key, item.kind, item.code, now) for item in decisions]
        if any(item.decision == "start" for item in decisions):
            starts.append(now)
            ends = now + 7 * weeks * DAY
    assert len(starts) == {1: 12, 5: 11}[weeks]  # five weeks are longer than a month: as often as rollouts allow
    assert max(later - first for first, later in pairwise(starts)) <= (31 if weeks == 1 else 36) * DAY


def test_new_data_that_a_later_run_knows_start_nothing():
    live = replace(HISTORY, rollout_live=True)
    (waiting,) = decide(POLICY, live, [data_trigger("run-1", 8, NOW)], NOW)
    queued = replace(HISTORY, queued=queue_after(live, [waiting]))
    (gone,) = decide(POLICY, queued, [], NOW + DAY)
    assert (gone.code, gone.why) == (Code.EXPIRED, "a later run knows these data")
    assert queue_after(queued, [gone]) == ()
    assert only(POLICY, queued, data_trigger("run-1", 8, NOW), now=NOW + DAY) == ("start", Code.STARTED)


def test_of_several_due_dates_that_wait_only_the_latest_does():
    policy = TriggerPolicy(schedule=Schedule(Every.WEEKLY, ZoneInfo("UTC"), time(2), weekday=0), cooldown=2 * DAY)
    (first,) = decide(policy, replace(HISTORY, rollout_live=True), [], NOW)
    waiting = replace(
        HISTORY,
        rollout_live=True,
        queued=queue_after(HISTORY, [first]),
        past=(Past(first.trigger.key, K.SCHEDULE, Code.QUEUED, NOW),),
    )
    gone, second = decide(policy, waiting, [], NOW + 7 * DAY)
    assert (gone.trigger.key, gone.code) == ("schedule:2020-06-01", Code.EXPIRED)
    assert gone.why == "the next date has come: scheduled for 2020-06-08T02:00:00Z"
    assert (second.trigger.key, second.code) == ("schedule:2020-06-08", Code.QUEUED)
    assert [item.key for item in queue_after(waiting, [gone, second])] == ["schedule:2020-06-08"]


def test_a_due_date_waits_for_the_cooldown_too():
    policy = TriggerPolicy(schedule=Schedule(Every.MONTHLY, ZoneInfo("UTC"), time(2)), cooldown=7 * DAY)
    recent = replace(HISTORY, past=(started(3),))
    assert only(policy, recent) == ("skip", Code.COOLDOWN)
    said = replace(recent, past=(*recent.past, Past("schedule:2020-06-01", K.SCHEDULE, Code.COOLDOWN, NOW)))
    assert decide(policy, said, [], NOW + DAY) == []
    assert only(policy, said, now=NOW + 4 * DAY) == ("start", Code.STARTED)


def test_what_a_person_asked_for_is_given_up_after_a_day_and_a_commit_is_not():
    spent = replace(HISTORY, past=tuple(started(8 + n, f"old-{n}") for n in range(4)))
    asked, pushed = api_trigger("ann", "again", NOW), commit_trigger("c0ffee" * 6, NOW)
    assert {d.code for d in decide(POLICY, spent, [asked, pushed], NOW)} == {Code.BUDGET}
    days = {
        trigger.key: d.code for d in decide(POLICY, spent, [asked, pushed], NOW + 2 * DAY) if (trigger := d.trigger)
    }
    assert days == {asked.key: Code.EXPIRED, pushed.key: Code.BUDGET}
    assert only(POLICY, spent, pushed, now=NOW + 31 * DAY) == ("skip", Code.EXPIRED)


def test_open_signals_make_triggers_and_faults():
    def signal(key, signal_class, closed=None):
        return SignalRecord(key, NOW, signal_class, "high", ["a"], NOW, "why", {}, closed)

    triggers, faults = from_signals(
        [
            signal("1", "concept_drift"),
            signal("2", "degradation"),
            signal("3", "data_fault"),
            signal("4", "covariate_shift"),
            signal("5", "concept_drift", NOW),
        ]
    )
    assert [(t.key, t.kind) for t in triggers] == [("signal:1", K.DRIFT), ("signal:2", K.DEGRADATION)]
    assert faults == frozenset({"a"})


TRIGGERS = st.builds(
    Trigger,
    key=st.sampled_from("tuvwxyz"),
    kind=st.sampled_from(list(K)),
    at=st.integers(0, 60).map(lambda days: NOW - days * DAY),
    reason=st.just("why"),
    areas=st.lists(st.sampled_from(sorted(AREAS)), unique=True, max_size=3).map(tuple),
)
PASTS = st.builds(
    Past,
    key=st.sampled_from("tuvwxyz"),
    kind=st.sampled_from(list(K)),
    code=st.sampled_from(list(Code)),
    at=st.integers(0, 60).map(lambda days: NOW - days * DAY),
)
SOME_AREAS = st.frozensets(st.sampled_from(sorted(AREAS)), max_size=2)
HISTORIES = st.builds(
    History,
    begun_at=st.just(NOW - 90 * DAY),
    past=st.lists(PASTS, max_size=6).map(tuple),
    queued=st.lists(TRIGGERS, max_size=3, unique_by=lambda t: t.key).map(tuple),
    faults=SOME_AREAS,
    unmasked=SOME_AREAS,
    areas=st.just(AREAS),
    run_live=st.booleans(),
    rollout_live=st.booleans(),
)
POLICIES = st.builds(
    TriggerPolicy,
    schedule=st.sampled_from([None, Schedule(Every.MONTHLY, ZoneInfo("Europe/Berlin"))]),
    cooldown=st.integers(0, 20).map(lambda days: days * DAY),
    budget=st.integers(1, 3),
    excludable=st.sampled_from([0.0, 0.3]),
)


@settings(deadline=None)  # a busy machine is no fault
@given(POLICIES, HISTORIES, st.lists(TRIGGERS, max_size=5))
def test_a_start_always_obeys_every_rule(policy, history, requests):
    decisions = decide(policy, history, requests, NOW)
    assert decisions == decide(policy, history, list(requests), NOW)
    starts = [d for d in decisions if d.decision == "start"]
    assert len(starts) <= 1
    assert all(d.why for d in decisions)
    bad = history.faults | history.unmasked
    for decision in starts:
        concerned = frozenset(decision.trigger.areas) or AREAS
        assert (concerned & bad) == set(decision.excluded)
        assert len(decision.excluded) <= policy.excludable * len(concerned)
        assert not history.run_live
        spent = [p for p in history.past if p.code is Code.STARTED and NOW - p.at < policy.budget_window]
        assert len(spent) < policy.budget
        assert not history.rollout_live or decision.kind is K.API
        assert not any(p.key == decision.trigger.key and p.code is Code.STARTED for p in history.past)
    # Told the decisions, asked again at once: nothing new and no second run.
    said = tuple(Past(d.trigger.key, d.kind, d.code, NOW) for d in decisions)
    after = replace(history, past=history.past + said, queued=queue_after(history, decisions), run_live=bool(starts))
    again = decide(policy, after, requests, NOW)
    assert all(d.decision == "skip" for d in again) or not starts


@pytest.mark.parametrize("wrong", [{"budget": 0}, {"excludable": 1.0}, {"cooldown": -DAY}])
def test_a_policy_out_of_range_is_refused(wrong):
    with pytest.raises(InvalidInput):
        TriggerPolicy(**wrong)


def test_triggers_survive_json():
    assert Trigger.from_dict(DRIFT.to_dict()) == DRIFT
