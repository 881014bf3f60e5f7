"""Recall: what is still ahead is re-issued from stored answers, once, and what cannot be is said aloud."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recloser.core import InvalidInput, Served, forecast_id
from recloser.rollout import recall_plan, record_of, served_of
from recloser.rollout.recall import return_plan

HOUR = timedelta(hours=1)
ISSUED = datetime(2020, 3, 2, 9, tzinfo=UTC)
FIRST = datetime(2020, 3, 3, tzinfo=UTC)
Q = (0.1, 0.5, 0.9)


def served(area="a", hours=24, made_at=ISSUED, **answers):
    values = {"rel-new": 900.0, "rel-old": 50.0, "seasonal_naive": 40.0, **answers}
    return Served(
        id=forecast_id(area, ISSUED, made_at, "rel-new"),
        area=area,
        issued_at=ISSUED,
        made_at=made_at,
        targets=tuple(FIRST + i * HOUR for i in range(hours)),
        quantiles=Q,
        release="rel-new",
        served_by="canary",
        answers={
            name: np.full((hours, 3), level) + np.arange(hours)[:, None] + np.array([-1.0, 0.0, 1.0])
            for name, level in values.items()
            if level is not None
        },
    )


@given(st.integers(-600, 2000), st.lists(st.sampled_from("abc"), unique=True))
def test_exactly_the_unexpired_targets_are_reissued(minutes, areas):
    now = FIRST + timedelta(minutes=minutes)
    old = [served(area) for area in areas]
    plan = recall_plan(old, now, "rel-old", resolution=HOUR)
    alive = [at for at in old[0].targets if at + HOUR > now] if old else []
    assert [recall.new.area for recall in plan.recalls] == (sorted(areas) if alive else [])
    for recall in plan.recalls:
        new = recall.new
        assert list(new.targets) == alive
        assert np.array_equal(
            new.handed_out(), next(s for s in old if s.id == recall.old).answers["rel-old"][-len(alive) :]
        )
        assert (new.release, new.served_by, new.made_at, new.issued_at) == ("rel-old", "champion", now, ISSUED)
        assert new.id == forecast_id(new.area, ISSUED, now, "rel-old")
        assert recall.old in new.reason


def test_planning_twice_is_the_same_and_void_ones_are_left_out():
    now = FIRST + 5 * HOUR
    forecasts = [served("a"), served("b")]
    ids = [[(r.old, r.new.id) for r in recall_plan(forecasts, now, "rel-old", resolution=HOUR).recalls] for _ in "12"]
    assert ids[0] == ids[1]
    assert recall_plan([f.voided() for f in forecasts], now, "rel-old", resolution=HOUR).recalls == ()
    assert len(recall_plan([forecasts[0].voided(), forecasts[1]], now, "rel-old", resolution=HOUR).recalls) == 1


def test_an_interval_that_has_begun_is_still_ahead():
    half_past = FIRST + timedelta(hours=23, minutes=30)
    assert len(recall_plan([served()], half_past, "rel-old", resolution=HOUR).recalls[0].new.targets) == 1
    assert recall_plan([served()], FIRST + 24 * HOUR, "rel-old", resolution=HOUR).recalls == ()


def test_without_the_champions_answers_the_next_rung_serves():
    plan = recall_plan([served(**{"rel-old": None})], ISSUED, "rel-old", resolution=HOUR)
    assert plan.recalls[0].new.served_by == "fallback:seasonal_naive"
    assert plan.recalls[0].new.release == "seasonal_naive"
    ladder_only = recall_plan([served()], ISSUED, None, resolution=HOUR)
    assert ladder_only.recalls[0].new.release == "seasonal_naive"


def test_a_champion_answer_with_a_hole_ahead_is_not_used():
    holed = served()
    holed.answers["rel-old"][20, 1] = np.nan
    assert recall_plan([holed], ISSUED, "rel-old", resolution=HOUR).recalls[0].new.release == "seasonal_naive"
    passed = served()
    passed.answers["rel-old"][2, 1] = np.nan
    assert recall_plan([passed], FIRST + 3 * HOUR, "rel-old", resolution=HOUR).recalls[0].new.release == "rel-old"


def test_what_nobody_else_answered_is_reported():
    alone = served(**{"rel-old": None, "seasonal_naive": None})
    plan = recall_plan([alone, served("b")], ISSUED, "rel-old", resolution=HOUR)
    assert plan.unrecallable == (alone.id,)
    assert [recall.new.area for recall in plan.recalls] == ["b"]


def test_two_answers_for_one_issue_share_one_reissue_of_the_later():
    early, late = served(), served(made_at=ISSUED + HOUR, **{"rel-old": 70.0})
    plan = recall_plan([early, late], FIRST, "rel-old", resolution=HOUR)
    assert {recall.old for recall in plan.recalls} == {early.id, late.id}
    assert {recall.new.id for recall in plan.recalls} == {forecast_id("a", ISSUED, FIRST, "rel-old")}
    assert all(recall.new.handed_out()[0, 1] == 70.0 for recall in plan.recalls)


def test_a_return_gives_back_what_a_recall_took_and_nothing_that_the_ladder_answered_itself():
    recalled = recall_plan([served()], FIRST, None, resolution=HOUR).recalls[0].new
    assert recalled.served_by == "fallback:seasonal_naive"
    guarded = replace(served("b"), release="seasonal_naive", served_by="fallback:seasonal_naive", reason="not finite")
    unknown = replace(recalled, id="other", answers={"seasonal_naive": recalled.answers["seasonal_naive"]})
    asked = [recalled, guarded, unknown]
    assert return_plan(asked, FIRST, "rel-new", resolution=HOUR).recalls == ()  # made at this very instant
    plan = return_plan(asked, FIRST + HOUR, "rel-new", resolution=HOUR)
    assert [recall.old for recall in plan.recalls] == [recalled.id]
    assert plan.unrecallable == ()
    back = plan.recalls[0].new
    assert (back.release, back.served_by) == ("rel-new", "champion")
    assert back.targets == recalled.targets[1:]
    assert back.handed_out().tolist() == served().answers["rel-new"][1:].tolist()


def test_a_served_forecast_survives_its_record():
    original = served()
    original.answers["rel-old"][0, 0] = np.nan
    back = served_of(record_of(original))
    assert {name: answer.tolist() for name, answer in back.answers.items() if name != "rel-old"} == {
        name: answer.tolist() for name, answer in original.answers.items() if name != "rel-old"
    }
    assert np.array_equal(back.answers["rel-old"], original.answers["rel-old"], equal_nan=True)
    assert replace(back, answers={}) == replace(original, answers={})


def test_an_hour_that_comes_twice_is_two_targets_in_a_record_whatever_zone_they_are_given_in():
    zone = ZoneInfo("Europe/Amsterdam")
    twice = tuple(datetime(2020, 10, 25, 2, tzinfo=zone, fold=fold) for fold in (0, 1))
    texts = [record_of(replace(served(hours=1), targets=(at,))).targets for at in (*twice, *twice)]
    assert texts == [["2020-10-25T00:00:00Z"], ["2020-10-25T01:00:00Z"]] * 2


def test_the_targets_of_a_record_are_read_as_texts_and_as_times_and_else_the_record_is_named():
    record = record_of(served(hours=2))
    assert served_of(replace(record, targets=list(served(hours=2).targets))).targets == served(hours=2).targets
    with pytest.raises(InvalidInput, match="unreadable time") as caught:
        served_of(replace(record, targets=["2020-03-03T00:00:00Z", "soon"]))
    assert caught.value.facts()["where"] == record.key
