"""Schedules in local time: due dates, clock changes, month ends."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recloser.core import InvalidInput
from recloser.core.cron import Cron
from recloser.triggers import CronSchedule, Every, Schedule

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


def cron(text, zone=BERLIN):
    return CronSchedule(Cron.parse(text, zone))


def dues(schedule, first, last):
    """Return every due date of (first, last], found by asking every quarter of an hour as a loop does."""
    found, now = {}, first
    while now <= last:
        due = schedule.latest(first, now)
        if due is not None:
            found[due[1]] = due[0].isoformat()[:19]
        now += timedelta(minutes=15)
    return found


def test_a_cron_schedule_is_in_local_time_and_named_by_it():
    monthly = cron("30 2 1 * *")
    name, due = monthly.latest(BEGUN, utc(2020, 6, 10))
    assert (name.isoformat(), due) == ("2020-06-01T02:30:00+02:00", utc(2020, 6, 1, 0, 30))
    assert monthly.latest(BEGUN, utc(2020, 12, 1, 1, 29))[0].isoformat() == "2020-11-01T02:30:00+01:00"
    assert monthly.latest(BEGUN, BEGUN) is None
    assert monthly.latest(utc(2020, 6, 1, 0, 30), utc(2020, 6, 30)) is None  # what was due at the beginning is past


def test_a_time_that_the_spring_skips_is_due_once_an_hour_later_by_the_clock():
    """02:30 does not exist on 29 March: due at 03:30 summer time, not lost and not twice."""
    found = dues(cron("30 2 * * *"), utc(2020, 3, 28, 12), utc(2020, 3, 30, 12))
    assert found == {utc(2020, 3, 29, 1, 30): "2020-03-29T03:30:00", utc(2020, 3, 30, 0, 30): "2020-03-30T02:30:00"}


def test_a_time_that_the_autumn_repeats_is_due_at_its_first_occurrence_alone():
    found = dues(cron("30 2 * * *"), utc(2020, 10, 24, 12), utc(2020, 10, 26, 12))
    assert found == {utc(2020, 10, 25, 0, 30): "2020-10-25T02:30:00", utc(2020, 10, 26, 1, 30): "2020-10-26T02:30:00"}


def test_a_schedule_that_asks_every_hour_has_a_name_for_each_and_rests_in_the_repeated_one():
    found = dues(cron("0 * * * *"), utc(2020, 10, 24, 22), utc(2020, 10, 25, 3))
    names = ["2020-10-25T01:00:00", "2020-10-25T02:00:00", "2020-10-25T03:00:00", "2020-10-25T04:00:00"]
    assert list(found.values()) == names
    assert list(found) == [utc(2020, 10, 24, 23), utc(2020, 10, 25, 0), utc(2020, 10, 25, 2), utc(2020, 10, 25, 3)]


@pytest.mark.parametrize("zone", ["Asia/Kathmandu", "Australia/Lord_Howe", "America/St_Johns", "UTC"])
def test_every_day_is_due_once_in_every_zone(zone):
    found = dues(cron("5 2 * * *", ZoneInfo(zone)), utc(2020, 3, 1), utc(2020, 4, 30))
    assert len(found) in {60, 61}
    assert len({name[:10] for name in found.values()}) == len(found)


def test_months_and_weekdays_have_names():
    named, numbered = Cron.parse("0 6 * JAN,nov-dec Mon-Fri", BERLIN), Cron.parse("0 6 * 1,11,12 1-5", BERLIN)
    assert named == numbered
    assert Cron.parse("0 6 * * fri-sun", BERLIN).weekdays == {5, 6, 0}
    for wrong in ("0 6 * mon *", "0 6 jan * *", "0 6 * * sat-mon", "0 6 * * x"):
        with pytest.raises(InvalidInput, match="cannot read"):
            Cron.parse(wrong, BERLIN)


def test_a_day_that_never_comes_is_refused_and_a_rare_one_is_not():
    for never in ("0 0 30 2 *", "0 0 31 4,6,9,11 *"):
        with pytest.raises(InvalidInput, match="never comes"):
            Cron.parse(never, BERLIN)
    assert cron("0 2 29 2 *").latest(BEGUN, utc(2024, 1, 1))[1] == utc(2020, 2, 29, 1)
    assert Cron.parse("0 0 31 2 5", BERLIN).either  # Fridays of February
