"""A champion that a changed relation harms now falls back, to whom it may, and only where that is surely better."""

from __future__ import annotations

from itertools import product

import pytest

from recloser.core import Refused
from recloser.ledger import NoticeRecord, ReleaseRecord, TripRecord
from recloser.rollout import Command, CommandKind, Evidence, Harm, Rival, RolloutState, decide, explain

S = RolloutState
ROLLBACK = Command("cmd-r", CommandKind.ROLLBACK, "ann", "looks odd")


def rival(name, loss, *, better=True):
    return Rival(name, name.startswith("rel-"), 9, 1.0, loss, 0.1 if better else -0.1, 1.0 - loss, better)


def harm(*rivals, critical=False):
    ordered = tuple(sorted(rivals, key=lambda one: one.loss))
    return Harm(("sig-1",), critical, "The error is 1.60 times what staging measured.", ordered)


@pytest.fixture
def champion(build):
    return build.rollout(S.CHAMPION)


def test_the_best_that_may_serve_takes_over(build, champion):
    found = harm(rival("rel-old", 0.6), rival("seasonal_naive", 0.7), rival("persistence", 0.9))
    action = decide(champion, Evidence(ready=True, target_ready=True, harm=found), build.t0)
    assert (action.state, action.event, action.tier, action.alarm) == (S.ROLLED_BACK, "harm", "harm", "")
    assert (action.target.champion, action.recall) == ("rel-old", False)
    assert "1.60 times" in action.reason
    assert "Rel-old would have lost 40% less over 9 days" in action.reason

    unfit = decide(champion, Evidence(ready=True, target_ready=False, harm=found), build.t0)
    assert (unfit.target.champion, unfit.target.rung) == (None, "seasonal_naive")
    assert "ladder" in unfit.alarm
    bad = Evidence(ready=True, target_ready=True, incidents={"rel-old": 3}, harm=found)
    assert decide(champion, bad, build.t0).target.rung == "seasonal_naive"


def test_nobody_better_means_no_fall_back(build, champion):
    worse = harm(rival("rel-old", 1.1, better=False), rival("seasonal_naive", 1.4, better=False), critical=True)
    action = decide(champion, Evidence(ready=True, target_ready=True, harm=worse), build.t0)
    assert not action.changes(champion)
    stranger = harm(rival("rel-other", 0.5))  # was never the champion before it
    assert not decide(champion, Evidence(ready=True, target_ready=True, harm=stranger), build.t0).changes(champion)
    told = explain(champion, Evidence(ready=True, harm=worse), build.t0)["would_end"][-1]
    assert "seasonal naive would have lost 40% more" in told


def test_a_trial_decides_unless_the_champion_is_below_the_naive_floor(build, champion):
    mild, severe = harm(rival("seasonal_naive", 0.7)), harm(rival("seasonal_naive", 0.7), critical=True)
    busy = {"ready": True, "target_ready": True, "slot_free": False}
    assert not decide(champion, Evidence(harm=mild, **busy), build.t0).changes(champion)
    assert decide(champion, Evidence(harm=severe, **busy), build.t0).state is S.ROLLED_BACK


def test_only_a_champion_falls_back_and_a_rollback_is_never_kept_waiting(build):
    found = harm(rival("rel-old", 0.6), rival("seasonal_naive", 0.7), critical=True)
    for state, ready, target_ready in product(S, (None, True, False), (None, True, False)):
        rollout = build.rollout(state, held_from=S.SHADOW if state in {S.HELD, S.AWAITING_APPROVAL} else None)
        evidence = Evidence(ready=ready, target_ready=target_ready, harm=found)
        action = decide(rollout, evidence, build.t0)
        assert (action.event == "harm") == (state is S.CHAMPION and ready is not False)
        if action.event == "harm":
            wanted = "rel-old" if target_ready is True else None
            assert action.target.champion == wanted
            assert bool(action.alarm) == (wanted is None)
        if not rollout.finished:
            commanded = Evidence(ready=ready, target_ready=target_ready, harm=found, command=ROLLBACK)
            assert decide(rollout, commanded, build.t0).event == "rollback"


def harmed(*rivals, at_hand="seasonal_naive"):
    return Evidence(harm=harm(*rivals), rung_at_hand=at_hand)


def promoted(canary):
    canary.pass_days(12, "rel-2")
    assert (canary.state("rel-2"), canary.route().champion) == ("champion", "rel-2")
    return canary


def test_back_to_the_former_champion_in_one_change(canary):
    bench = promoted(canary)
    forecast = bench.serve("rel-2")
    bench.source.by_release["rel-2"] = harmed(rival("rel-1", 0.5), rival("seasonal_naive", 0.8))
    bench.controller.tick(bench.source)
    assert (bench.route().champion, bench.router.route) == ("rel-1", bench.route())
    assert (bench.state("rel-1"), bench.state("rel-2")) == ("champion", "rolled_back")
    entry = bench.ledger.entries()[-1]
    assert (entry.action, entry.facts["tier"]) == ("rollout.fall_back", "harm")
    assert entry.facts["numbers"]["rivals"][0]["name"] == "rel-1"
    assert bench.ledger.find(TripRecord) == []  # nothing was kept of it that could be issued in its place
    assert bench.ledger.find(NoticeRecord, kind="alarm") == []
    assert bench.ledger.get(ReleaseRecord, "rel-2").state == "retired"
    bench.controller.tick(bench.source)
    assert bench.route().champion == "rel-1"
    with pytest.raises(Refused):
        bench.controller.rollback(to="rel-1", reason="again", actor="ann")
    bench.controller.rollback(to="rel-2", reason="it is over", actor="ann")
    assert bench.route().champion == "rel-2"
    assert forecast.id


def test_a_former_champion_that_does_not_verify_leaves_the_ladder_with_an_alarm_and_a_recall(canary):
    bench = promoted(canary)
    forecast = bench.serve("rel-2")
    bench.tampered.add("rel-1")
    bench.source.by_release["rel-2"] = harmed(rival("rel-1", 0.5), rival("seasonal_naive", 0.8))
    bench.controller.tick(bench.source)
    assert (bench.route().champion, bench.route().fallback[0]) == (None, "seasonal_naive")
    (trip,) = bench.ledger.find(TripRecord)
    assert (trip.tier, trip.recalled) == ("harm", [forecast.id])
    assert len(bench.ledger.find(NoticeRecord, kind="alarm")) == 1
    assert bench.ledger.verify().ok


def test_the_better_rung_comes_first_and_nothing_is_recalled_that_was_not_kept(canary):
    bench = promoted(canary)
    bench.serve("rel-2")
    bench.source.by_release["rel-2"] = harmed(rival("persistence", 0.5), rival("seasonal_naive", 0.8))
    bench.controller.tick(bench.source)
    assert (bench.route().champion, bench.route().fallback) == (None, ["persistence", "seasonal_naive"])
    assert bench.ledger.find(TripRecord) == []
    bench.accept("rel-3")
    bench.controller.tick(bench.source)
    assert (bench.route().champion, bench.route().fallback[0]) == ("rel-3", "seasonal_naive")
