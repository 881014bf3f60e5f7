"""What is held out is never learned from: not by the candidate, not by the champion of an earlier run."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recloser.core import Horizon, InvalidInput
from recloser.pipelines import shared_out, split

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


@settings(max_examples=60, deadline=None)
@given(count=st.integers(1, 1500), fleet=st.integers(1, 40), most=st.integers(2_000, 200_000))
def test_a_fleet_takes_turns_week_by_week_and_the_newest_weeks_are_whole(count: int, fleet: int, most: int) -> None:
    issues, areas = [FIRST + k * DAY for k in range(count)], [f"F{k:02d}" for k in range(fleet)]
    shares = shared_out(issues, areas, 48, most, ZoneInfo("UTC"))
    seen = Counter((issue, area) for share in shares for issue in share.issues for area in share.areas)
    assert max(seen.values()) == 1
    recent = issues[-28:]
    assert all(seen[issue, area] for issue in recent for area in areas)
    older = [key for key in seen if key[0] not in set(recent)]
    week = 7 * 48 * fleet
    assert 48 * len(older) <= most + 2 * week
    weeks = {issue.toordinal() // 7 for issue, _ in older}
    everything = 48 * (count - len(recent)) * fleet
    if everything <= most:
        assert len(older) == (count - len(recent)) * fleet
    if everything <= most * min(fleet, 12):  # turns are enough: no week is left out
        assert weeks == {issue.toordinal() // 7 for issue in issues[:-28]}
    each = Counter(area for _, area in older)
    assert not each or max(each.values()) - min(each[area] for area in areas) <= 14
    assert all(list(share.issues) == sorted(share.issues) for share in shares)
