"""What is absent, by a pure rule: one absence a cause, and none before there is anything to miss."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from recloser.monitoring.absence import AbsenceKind, AbsencePlan, Attendance, absences

NOW = datetime(2020, 3, 2, 10, tzinfo=UTC)
DUE = datetime(2020, 3, 2, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)
PLAN = AbsencePlan()
WELL = Attendance(True, DUE, {"a": DUE, "b": DUE}, NOW - HOUR, NOW + HOUR)


def test_nothing_is_absent_when_all_is_there() -> None:
    assert absences(WELL, PLAN, NOW) == ()


def test_before_a_model_serves_nothing_is_missed() -> None:
    nothing = Attendance(False, DUE, {"a": None}, None, None)
    assert absences(nothing, PLAN, NOW) == ()


@pytest.mark.parametrize(
    ("issued", "areas"), [({"a": DUE, "b": DUE - 24 * HOUR}, ("b",)), ({"a": None, "b": None}, ("a", "b"))]
)
def test_a_forecast_that_is_due_and_not_there(issued: dict[str, datetime | None], areas: tuple[str, ...]) -> None:
    (found,) = absences(replace(WELL, issued=issued), PLAN, NOW)
    assert (found.kind, found.areas) == (AbsenceKind.FORECAST, areas)
    assert found.since == DUE + PLAN.forecast_within
    assert "2020-03-02T08:30:00Z" in found.sentence
    assert ("any area" in found.sentence) == (len(areas) == 2)


def test_a_thousand_areas_are_one_absence_with_a_few_names() -> None:
    issued: dict[str, datetime | None] = {f"F{k:04}": None if k % 2 else DUE for k in range(1000)}
    (found,) = absences(replace(WELL, issued=issued), PLAN, NOW)
    assert len(found.areas) == 500
    assert "500 of 1000 areas (F0001, F0003, F0005, F0007, F0009 and 495 more)" in found.sentence


def test_load_that_ended() -> None:
    late = replace(WELL, load_until=NOW - PLAN.load_within)
    assert absences(late, PLAN, NOW) == ()
    (found,) = absences(late, PLAN, NOW + HOUR)
    assert (found.kind, found.since, found.areas) == (AbsenceKind.LOAD, NOW, ("a", "b"))
    assert "31 h ago" in found.sentence
    (found,) = absences(replace(late, led_until=None), PLAN, NOW + 100 * HOUR)
    assert "5 days ago" in found.sentence


def test_a_controller_whose_lease_ran_out() -> None:
    (found,) = absences(replace(WELL, led_until=NOW - HOUR), PLAN, NOW)
    assert (found.kind, found.since) == (AbsenceKind.CONTROLLER, NOW - HOUR)
    assert absences(replace(WELL, led_until=NOW), PLAN, NOW) == ()


def test_several_at_once_are_told_apart() -> None:
    worst = Attendance(True, DUE, {"a": None}, NOW - 99 * HOUR, NOW - HOUR)
    assert [found.kind for found in absences(worst, PLAN, NOW)] == list(AbsenceKind)
