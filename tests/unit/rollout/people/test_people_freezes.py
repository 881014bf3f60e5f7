"""Freezes: weekly, yearly and declared windows in local time, over both clock changes; nothing forward, always back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from recloser.core.cron import Cron
from recloser.ledger import FreezeRecord
from recloser.rollout import Recurring, freeze_reason, in_force

ZONE = ZoneInfo("Europe/Amsterdam")
HOUR = timedelta(hours=1)


def window(begins: str, hours: float, zone: ZoneInfo = ZONE) -> Recurring:
    return Recurring("peak", Cron.parse(begins, zone), hours * HOUR)


def frozen_hours(found: Recurring, start: datetime, hours: int) -> list[datetime]:
    return [at for k in range(hours) if in_force([found], (), at := start + k * HOUR)]


def test_a_weekly_window_keeps_its_local_hour_over_both_clock_changes() -> None:
    weekly = window("0 16 * * 5", 5)
    for first in (datetime(2026, 3, 20, tzinfo=UTC), datetime(2026, 10, 16, tzinfo=UTC)):
        hours = frozen_hours(weekly, first, 24 * 22)
        local = [at.astimezone(ZONE) for at in hours]
        assert {(at.weekday(), at.hour) for at in local} == {(4, hour) for hour in (16, 17, 18, 19, 20)}
        assert len(hours) == 4 * 5
        assert len({at.utcoffset() for at in local}) == 2  # the change lies between


@pytest.mark.parametrize(
    ("night", "ends"),
    [
        (datetime(2026, 3, 28, 22, tzinfo=ZONE), datetime(2026, 3, 29, 7, tzinfo=ZONE)),  # an hour is skipped
        (datetime(2026, 10, 24, 22, tzinfo=ZONE), datetime(2026, 10, 25, 5, tzinfo=ZONE)),  # an hour comes twice
        (datetime(2026, 6, 6, 22, tzinfo=ZONE), datetime(2026, 6, 7, 6, tzinfo=ZONE)),
    ],
)
def test_a_window_over_a_clock_change_lasts_its_hours_not_its_wall_times(night: datetime, ends: datetime) -> None:
    nightly = window("0 22 * * 6", 8)
    begins, ends = night.astimezone(UTC), ends.astimezone(UTC)
    assert ends - begins == 8 * HOUR
    second = timedelta(seconds=1)
    seen = [bool(in_force([nightly], (), at)) for at in (begins - second, begins, ends - second, ends)]
    assert seen == [False, True, True, False]
    (frozen,) = in_force([nightly], (), begins + HOUR)
    assert (frozen.since, frozen.until) == (begins, ends)


def test_a_yearly_window_covers_the_turn_of_the_year_and_comes_again() -> None:
    holidays = window("0 0 23 12 *", 24 * 12)
    for year in (2025, 2026, 2027):
        begins = datetime(year, 12, 23, tzinfo=ZONE).astimezone(UTC)
        (frozen,) = in_force([holidays], (), datetime(year + 1, 1, 1, 12, tzinfo=UTC))
        assert (frozen.since, frozen.until) == (begins, begins + 12 * 24 * HOUR)
        assert not in_force([holidays], (), begins + 12 * 24 * HOUR)
        assert not in_force([holidays], (), begins - timedelta(seconds=1))


def test_a_window_of_leap_days_comes_in_leap_years_only() -> None:
    leap = window("0 0 29 2 *", 24)
    assert in_force([leap], (), datetime(2028, 2, 29, 12, tzinfo=UTC))
    for year in (2026, 2027):
        assert not frozen_hours(leap, datetime(year, 2, 27, tzinfo=UTC), 24 * 4)


def test_a_window_of_a_whole_year_is_always_in_force() -> None:
    always = window("0 0 1 1 *", 8784)
    assert len(frozen_hours(always, datetime(2026, 1, 1, tzinfo=UTC), 24 * 30)) == 24 * 30


def test_windows_of_other_zones_and_declared_ones_are_told_together() -> None:
    at = datetime(2026, 12, 24, 12, tzinfo=UTC)
    kolkata = window("0 17 * * *", 2, ZoneInfo("Asia/Kolkata"))  # from 11:30 UTC
    storm = FreezeRecord("freeze-1", at, "ann", "storm", at - HOUR, None, None, None, None)
    lifted = FreezeRecord("freeze-2", at, "ann", "peak", at - HOUR, at + HOUR, at, "ben", "over")
    ahead = FreezeRecord("freeze-3", at, "ann", "outage", at + HOUR, at + 2 * HOUR, None, None, None)
    found = in_force([kolkata], [storm, lifted, ahead], at)
    assert freeze_reason(found) == "storm (until it is lifted); peak (until 2026-12-24T13:30:00Z)"
    assert freeze_reason(in_force([], [ahead], at + 2 * HOUR)) == ""
