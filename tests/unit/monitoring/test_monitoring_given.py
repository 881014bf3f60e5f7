"""Whose stamps are off, how an operator's forecast does, and what is said of it: never more than the numbers bear."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from recloser.core import INCUMBENT, LOAD
from recloser.monitoring import Finding
from recloser.monitoring.accuracy.incumbent import GivenDay, GivenPlan, given_signals, given_summary
from recloser.monitoring.detectors import Change
from recloser.monitoring.questions.given import feed_signal, relation_signal, stamp_signal
from recloser.monitoring.questions.stamped import Stamped, whose_stamps

FIRST = date(2020, 3, 1)
NOW = datetime(2020, 4, 20, 9, tzinfo=UTC)
PLAN = GivenPlan()
NAME = "operator's forecast"


@pytest.mark.parametrize(
    ("by_model", "by_upstream", "found"),
    [
        (1, None, Stamped("load", 1, sure=True)),
        (0, None, Stamped("")),
        (None, None, Stamped("")),
        (None, -1, Stamped("load", -1)),
        (1, 1, Stamped("load", 1, sure=True)),
        (0, 1, Stamped("upstream", -1, sure=True)),
        (1, 0, Stamped("")),
        (1, -1, Stamped("")),
        (0, 0, Stamped("")),
    ],
)
def test_three_measurements_tell_whose_stamps_are_off(by_model: int, by_upstream: int, found: Stamped) -> None:
    assert whose_stamps(by_model, by_upstream) == found


def days(count: int, error: float = 0.03, bias: float = 0.0, ours: float = 0.02, naive: float = 0.06) -> list[GivenDay]:
    """Days of a load of 100 MW; shares of it, a little different each day."""
    rng = np.random.default_rng(1)
    spread = 1.0 + 0.2 * rng.standard_normal(count)
    wander = 0.3 * rng.standard_normal(count)
    return [
        GivenDay(
            FIRST + timedelta(days=k),
            24,
            100.0,
            100.0 * error * abs(spread[k]),
            100.0 * (bias + 0.01 * wander[k]),
            100.0 * naive,
            100.0 * ours,
        )
        for k in range(count)
    ]


def test_the_newest_four_weeks_are_told_beside_ours_and_the_floor() -> None:
    told = given_summary(days(40, bias=-0.01), PLAN)
    assert told is not None
    assert (told["first"], told["last"], told["days"]) == ("2020-03-13", "2020-04-09", 28)
    assert (told["naive_pct"], told["champion_pct"], told["better"]) == (
        pytest.approx(6.0),
        pytest.approx(2.0),
        "champion",
    )
    assert told["bias_pct"] == pytest.approx(-1.0, abs=0.2)
    assert given_summary([], PLAN) is None
    few = given_summary(days(5), PLAN)
    assert few is not None
    assert few["better"] is None  # five days tell nothing
    lone = given_summary([GivenDay(FIRST, 24, 100.0, 3.0, 0.0, float("nan"), float("nan"))], PLAN)
    assert lone is not None
    assert (lone["naive_pct"], lone["champion_pct"]) == (None, None)


def test_bias_and_a_floor_not_reached_are_said_and_little_things_are_not() -> None:
    assert given_signals("A", days(28), NAME, PLAN, NOW) == []
    assert given_signals("A", days(19, bias=0.1), NAME, PLAN, NOW) == []  # too few days
    (bias,) = given_signals("A", days(28, bias=0.04), NAME, PLAN, NOW)
    assert (bias.signal_class, bias.evidence["kind"], bias.areas) == ("degradation", "bias", ("A",))
    assert bias.reason.startswith("Load of A was 4.")
    assert "above the operator's forecast over 28 days" in bias.reason
    (floor,) = given_signals("A", days(28, error=0.08, naive=0.05), NAME, PLAN, NOW)
    assert floor.evidence["kind"] == "floor"
    assert "a week before" in floor.reason


def test_a_day_is_kept_as_json() -> None:
    for one in (*days(2), GivenDay(FIRST, 3, 1.0, 2.0, -1.0, float("nan"), float("nan"))):
        again = GivenDay.from_row(one.day, one.to_row())
        assert again.to_row() == one.to_row()


def change(since: date, direction: str = "below") -> Change:
    return Change(since + timedelta(days=6), since, "level", direction, 12.0, -0.04)  # type: ignore[arg-type]


def test_a_change_that_our_own_watch_saw_too_is_loads_and_else_the_forecasts() -> None:
    both = relation_signal("A", change(FIRST), change(FIRST + timedelta(days=5)), NAME, NOW)
    assert both.evidence["cause"] == "load"
    assert "load has changed" in both.reason
    for ours in (None, change(FIRST, "above"), change(FIRST - timedelta(days=60))):
        alone = relation_signal("A", change(FIRST), ours, NAME, NOW)
        assert alone.evidence["cause"] == "forecast"
        assert "runs 4.0% below the operator's forecast since about 2020-03-01" in alone.reason


def test_faults_of_the_feed_are_named_after_it() -> None:
    finding = Finding("missing", LOAD, ("A",), NOW - timedelta(days=1), NOW)
    said = feed_signal(finding, NAME, NOW)
    assert (said.signal_class, said.evidence["quantity"]) == ("data_fault", INCUMBENT)
    assert said.reason.startswith("The operator's forecast of A:")
    assert said.key != feed_signal(Finding("stuck", LOAD, ("A",), finding.start, NOW), NAME, NOW).key
    late = stamp_signal("A", 1, NOW, NAME, NOW)
    assert late.reason == "The operator's forecast of A is stamped an hour late since 2020-04-20."
