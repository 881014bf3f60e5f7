from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recloser.core import (
    Horizon,
    InvalidInput,
    VirtualClock,
    format_utc,
    parse_utc,
    parse_zone,
    require_utc,
    within_reach,
)

MELBOURNE = ZoneInfo("Australia/Melbourne")
HALF_HOUR = timedelta(minutes=30)


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(InvalidInput, match="without a zone"):
        require_utc(datetime(2020, 1, 1), "here")  # noqa: DTZ001


@pytest.mark.parametrize(
    ("text", "expected"), [("2020-01-01T00:00:00Z", 0), ("2020-01-01T10:00:00+10:00", 0), ("2020-01-01T01:00Z", 1)]
)
def test_parse_reads_offsets(text: str, expected: int) -> None:
    assert parse_utc(text) == datetime(2020, 1, 1, expected, tzinfo=UTC)


def test_parse_says_what_and_where() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_utc("yesterday", where="--from")
    assert "--from" in caught.value.explain()
    assert "'yesterday'" in caught.value.explain()


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_beyond_the_calendar_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="outside the calendar"):
        parse_utc(text)
    with pytest.raises(InvalidInput, match="outside the calendar"):
        within_reach(datetime.fromisoformat(text), "to")


def test_what_is_asked_for_lies_within_three_centuries() -> None:
    assert within_reach(datetime.fromisoformat("2000-01-01T00:00:00+14:00"), "to") == datetime(
        1999, 12, 31, 10, tzinfo=UTC
    )
    for year, right in ((1899, False), (1900, True), (2199, True), (2200, False)):
        asked = datetime(year, 6, 1, tzinfo=UTC)
        if right:
            assert within_reach(asked, "to") == asked
        else:
            with pytest.raises(InvalidInput, match="1900 to 2199"):
                within_reach(asked, "to")


def test_parse_without_offset_needs_a_zone() -> None:
    assert parse_utc("2020-01-01T10:00", zone=ZoneInfo("Australia/Brisbane")) == datetime(2020, 1, 1, tzinfo=UTC)
    with pytest.raises(InvalidInput):
        parse_utc("2020-01-01T10:00")


@given(st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2050, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_format_and_parse_are_inverse(instant: datetime) -> None:
    assert parse_utc(format_utc(instant)) == instant


def test_unknown_zone() -> None:
    with pytest.raises(InvalidInput, match="unknown time zone"):
        parse_zone("Mars/Olympus")


def test_a_virtual_clock_does_not_go_back() -> None:
    clock = VirtualClock(datetime(2020, 1, 2, tzinfo=UTC))
    with pytest.raises(InvalidInput, match="cannot go back"):
        clock.advance_to(datetime(2020, 1, 1, tzinfo=UTC))
    clock.advance_to(datetime(2020, 1, 3, tzinfo=UTC))
    assert clock.now().day == 3


@pytest.mark.parametrize(
    ("issue_day", "points"),
    [
        (date(2014, 4, 5), 50),  # the next day has 25 hours: daylight saving ends
        (date(2014, 10, 4), 46),  # the next day has 23 hours: it begins
        (date(2014, 6, 1), 48),
    ],
)
def test_targets_cover_the_whole_next_local_day(issue_day: date, points: int) -> None:
    horizon = Horizon(MELBOURNE, HALF_HOUR)
    issued_at = horizon.issue_on(issue_day)
    targets = horizon.targets(issued_at)
    assert len(targets) == points
    assert {t.astimezone(MELBOURNE).date() for t in targets} == {issue_day + timedelta(days=1)}
    assert all(horizon.issue_for(t) == issued_at for t in targets)


def test_issues_keep_local_time_across_daylight_saving() -> None:
    horizon = Horizon(MELBOURNE, HALF_HOUR)
    issues = list(horizon.issues(datetime(2014, 4, 3, tzinfo=UTC), datetime(2014, 4, 10, tzinfo=UTC)))
    assert {i.astimezone(MELBOURNE).hour for i in issues} == {9}
    assert len(issues) == 7


@given(st.dates(min_value=date(2010, 1, 1), max_value=date(2030, 1, 1)))
def test_consecutive_issues_tile_time_without_gap_or_overlap(day: date) -> None:
    horizon = Horizon(MELBOURNE, HALF_HOUR)
    first = horizon.targets(horizon.issue_on(day))
    second = horizon.targets(horizon.issue_on(day + timedelta(days=1)))
    assert first[-1] + HALF_HOUR == second[0]


def test_a_misspelt_zone_names_the_nearest() -> None:
    for wrong in ("Europe/Amsterdan", "europe/amsterdam"):
        with pytest.raises(InvalidInput) as caught:
            parse_zone(wrong)
        assert caught.value.next_step == "Did you mean 'Europe/Amsterdam'?"
