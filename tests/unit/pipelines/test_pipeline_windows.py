"""What is held out is never learned from: not by the candidate, not by the champion of an earlier run."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recloser.core import Horizon, InvalidInput
from recloser.pipelines import split, thinned

ZONES = ("UTC", "Europe/Amsterdam", "Australia/Melbourne", "America/New_York", "Pacific/Apia")
FIRST = datetime(2019, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)

horizons = st.builds(
    Horizon,
    zone=st.sampled_from(ZONES).map(ZoneInfo),
    resolution=st.just(timedelta(hours=6)),
    issue_time=st.sampled_from([time(0), time(9), time(23, 30)]),
    days=st.integers(1, 7),
)
# Any minute of two years, clock changes included.
instants = st.integers(300 * 1440, 1000 * 1440).map(lambda minute: FIRST + timedelta(minutes=minute))


def targets(horizon: Horizon, issues: tuple[datetime, ...]) -> set[datetime]:
    return {at for issue in issues for at in horizon.targets(issue)}


@settings(max_examples=40, deadline=None)
@given(horizon=horizons, as_of=instants, holdout=st.integers(28, 90))
def test_no_held_out_interval_is_learned_from_and_none_lies_in_the_future(
    horizon: Horizon, as_of: datetime, holdout: int
) -> None:
    windows = split(horizon, as_of, (200, holdout), FIRST, None)
    learned, held = targets(horizon, windows.training), targets(horizon, windows.holdout)
    assert not learned & held
    assert held
    assert max(learned | held) < as_of
    assert min(windows.training) >= max(FIRST, as_of - 200 * DAY)
    assert list(windows.training) == sorted(set(windows.training))
    assert list(windows.holdout) == sorted(set(windows.holdout))


@settings(max_examples=40, deadline=None)
@given(horizon=horizons, as_of=instants, later=st.integers(0, 200), holdout=st.integers(14, 90))
def test_a_candidates_hold_out_was_never_seen_by_the_champion(
    horizon: Horizon, as_of: datetime, later: int, holdout: int
) -> None:
    champion = split(horizon, as_of, (200, holdout), FIRST, None)
    candidate = split(horizon, as_of + later * DAY, (200, 90), FIRST, champion.holdout[0])
    assert not targets(horizon, candidate.holdout) & targets(horizon, champion.training)
    assert not targets(horizon, candidate.holdout) & targets(horizon, candidate.training)
    assert min(candidate.holdout, default=champion.holdout[0]) >= champion.holdout[0]


@settings(max_examples=30, deadline=None)
@given(horizon=horizons, as_of=instants)
def test_each_weekday_has_its_turn(horizon: Horizon, as_of: datetime) -> None:
    windows = split(horizon, as_of + 430 * DAY, (720, 300), FIRST, None)
    turns = Counter(issue.astimezone(horizon.zone).weekday() for issue in windows.holdout)
    assert len(turns) == 7
    assert max(turns.values()) - min(turns.values()) <= 1


def test_a_single_day_is_held_out_every_second_day() -> None:
    windows = split(Horizon(ZoneInfo("UTC"), timedelta(hours=1)), FIRST + 300 * DAY, (365, 56), FIRST, None)
    assert len(windows.holdout) == 28
    assert {b - a for a, b in zip(windows.holdout, windows.holdout[1:], strict=False)} == {2 * DAY}
    assert len(windows.training) == 298 - 28


def test_too_little_history_is_told() -> None:
    with pytest.raises(InvalidInput, match="28 days"):
        split(Horizon(ZoneInfo("UTC"), timedelta(hours=1)), FIRST + 20 * DAY, (365, 56), FIRST, None)


@settings(max_examples=40, deadline=None)
@given(count=st.integers(0, 1500), most=st.integers(40, 400))
def test_thinning_keeps_order_the_newest_whole_and_weekdays_balanced(count: int, most: int) -> None:
    issues = [FIRST + k * DAY for k in range(count)]
    kept = thinned(issues, most)
    assert list(kept) == [issue for issue in issues if issue in set(kept)]
    assert len(kept) <= most or len(kept) == count <= most
    recent = issues[-min(count, 28) :] if count else []
    assert set(recent) <= set(kept)
    older = Counter(issue.weekday() for issue in kept[: len(kept) - len(recent)])
    assert not older or max(older.values()) - min(older.get(day, 0) for day in range(7)) <= 1
