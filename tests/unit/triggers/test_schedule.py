"""Schedules in local time: due dates, clock changes, month ends."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recloser.core import InvalidInput
from recloser.triggers import Every, Schedule

MELBOURNE = ZoneInfo("Australia/Melbourne")
BERLIN = ZoneInfo("Europe/Berlin")
BEGUN = datetime(2020, 1, 1, tzinfo=UTC)


def utc(*parts):
    return datetime(*parts, tzinfo=UTC)


def test_weekly_is_the_local_weekday_and_time():
    weekly = Schedule(Every.WEEKLY, MELBOURNE, time(2, 0), weekday=0)
    day, due = weekly.latest(BEGUN, utc(2020, 6, 10))
    assert (day, due) == (date(2020, 6, 8), utc(2020, 6, 7, 16))
    assert weekly.latest(BEGUN, due) == (day, due)
    assert weekly.latest(BEGUN, due - timedelta(seconds=1))[0] == date(2020, 6, 1)


def test_the_local_time_stays_over_a_clock_change():
    daily = Schedule(Every.DAYS, BERLIN, time(9, 0), days=1)
    assert daily.latest(BEGUN, utc(2020, 3, 28, 12))[1] == utc(2020, 3, 28, 8)
    assert daily.latest(BEGUN, utc(2020, 3, 29, 12))[1] == utc(2020, 3, 29, 7)


def test_a_skipped_wall_time_and_one_that_comes_twice_are_due_once():
    skipped = Schedule(Every.DAYS, BERLIN, time(2, 30), days=1)
    assert skipped.latest(BEGUN, utc(2020, 3, 29, 12)) == (date(2020, 3, 29), utc(2020, 3, 29, 1, 30))
    assert skipped.latest(BEGUN, utc(2020, 10, 25, 1, 45)) == (date(2020, 10, 25), utc(2020, 10, 25, 0, 30))


def test_the_thirty_first_is_the_last_day_of_a_short_month():
    monthly = Schedule(Every.MONTHLY, ZoneInfo("UTC"), time(0), day=31)
    dues = [monthly.latest(BEGUN, utc(2020, month, 28))[0] for month in range(3, 7)]
    assert dues == [date(2020, 2, 29), date(2020, 3, 31), date(2020, 4, 30), date(2020, 5, 31)]


def test_nothing_is_due_before_the_beginning():
    for every in Every:
        assert Schedule(every, BERLIN).latest(BEGUN, BEGUN) is None
    assert Schedule(Every.MONTHLY, BERLIN, day=15).latest(BEGUN, utc(2020, 1, 14)) is None


SCHEDULES = st.builds(
    Schedule,
    every=st.sampled_from(list(Every)),
    zone=st.just(MELBOURNE),
    at=st.integers(0, 23).map(time),
    days=st.integers(1, 40),
    weekday=st.integers(0, 6),
    day=st.integers(1, 31),
)


@given(SCHEDULES, st.integers(0, 900), st.integers(0, 900))
def test_the_latest_due_date_never_goes_back(schedule, first, later):
    early = schedule.latest(BEGUN, BEGUN + timedelta(hours=7 * first))
    late = schedule.latest(BEGUN, BEGUN + timedelta(hours=7 * (first + later)))
    if early is not None:
        assert late is not None
        assert early[1] <= late[1] <= BEGUN + timedelta(hours=7 * (first + later))
        assert schedule.latest(BEGUN, early[1]) == early


@pytest.mark.parametrize("wrong", [{"days": 0}, {"weekday": 7}, {"day": 32}])
def test_a_schedule_out_of_range_is_refused(wrong):
    with pytest.raises(InvalidInput, match="schedule out of range"):
        Schedule(Every.DAYS, BERLIN, **wrong)
