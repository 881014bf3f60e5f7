"""What is held out is never learned from: not by the candidate, not by the champion of an earlier run."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recloser.core import LOAD, TIME, Horizon, InvalidInput, Panel
from recloser.pipelines import shared_out, split
from recloser.pipelines.windows import LEAST_DAYS, starts
from recloser.testing import sample_panel

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
def test_a_fleet_takes_turns_day_by_day_over_the_whole_history(count: int, fleet: int, most: int) -> None:
    issues, areas = [FIRST + k * DAY for k in range(count)], [f"F{k:02d}" for k in range(fleet)]
    shares = shared_out(issues, areas, 48, most, ZoneInfo("UTC"))
    seen = Counter((issue, area) for share in shares for issue in share.issues for area in share.areas)
    assert max(seen.values()) == 1
    assert any(issue == issues[-1] for issue, _ in seen)
    turns = -(-48 * count * fleet // most)
    groups = min(turns, fleet, 24)
    largest = -(-fleet // groups)
    assert 48 * len(seen) <= most + 48 * largest * (4 + count // 7)
    if turns <= 1:
        assert len(seen) == count * fleet
    if turns == groups:  # turns are enough: every day is learned from in some area
        assert {issue for issue, _ in seen} == set(issues)
    assert all(list(share.issues) == sorted(share.issues) for share in shares)


@pytest.mark.parametrize("turns", [2, 3, 4, 6, 7, 8, 14, 21])
def test_turns_keep_weekdays_balanced_and_weeks_covered_in_every_area(turns: int) -> None:
    issues, areas = [FIRST + k * DAY for k in range(7 * 104)], [f"F{k:02d}" for k in range(24)]
    shares = shared_out(issues, areas, 48, 48 * len(issues) * len(areas) // turns + 48, ZoneInfo("UTC"))
    for area in areas:
        mine = [issue for share in shares if area in share.areas for issue in share.issues]
        assert len(mine) == pytest.approx(len(issues) / turns, rel=0.1)
        weekdays = Counter(issue.weekday() for issue in mine)
        assert min(weekdays.values()) >= 0.6 * len(mine) / 7
        weeks = {issue.toordinal() // 7 for issue in mine}
        assert len(weeks) >= (104 if turns <= 3 else 0.8 * min(104, len(mine)))


def test_nothing_to_share_out_is_nothing() -> None:
    assert shared_out([], ["a"], 48, 1000, ZoneInfo("UTC")) == ()
    assert shared_out([FIRST], [], 48, 1000, ZoneInfo("UTC")) == ()


ISSUES = [FIRST + k * DAY for k in range(100)]


def of_two(first_of_b: datetime) -> Panel:
    """Return a hundred days of A and B, B without load before `first_of_b`; both with all their weather."""
    panel = sample_panel(("A", "B"), 100, start=FIRST)
    kept = (pl.col("area") != "B") | (pl.col("quantity") != LOAD) | (pl.col("at") >= first_of_b)
    return Panel(panel.frame.filter(kept), panel.resolution, panel.as_of)


@pytest.mark.parametrize("days", range(LEAST_DAYS - 2, LEAST_DAYS + 2))
def test_an_area_counts_once_it_has_four_weeks_to_learn_from(days: int) -> None:
    memory = 28 * DAY
    first_of_b = ISSUES[-days] - memory
    found = starts(of_two(first_of_b), ["A", "B"], memory, ISSUES)
    enough = days >= LEAST_DAYS
    assert found.since == {"A": FIRST + memory} | ({"B": ISSUES[-days]} if enough else {})
    assert found.left_out == ({} if enough else {"B": days})
    rows = pl.DataFrame({"area": ["A", "B", "B"], "issued_at": [ISSUES[-1], ISSUES[-days] - DAY, ISSUES[-1]]})
    rows = rows.with_columns(pl.col("issued_at").cast(TIME))
    assert found.rows(rows).equals(rows[[0, 2]] if enough else rows[[0]])
    assert set(found.later_than(FIRST + memory)) == ({"B"} if enough else set())


def test_areas_that_begin_together_lose_no_row() -> None:
    panel, memory = of_two(FIRST), 28 * DAY
    found = starts(panel, ["A", "B"], memory, [at for at in ISSUES if at >= FIRST + memory])
    assert not found.left_out
    assert not found.later_than(FIRST + memory)
    rows = panel.frame.select("area", issued_at=pl.col("at")).filter(pl.col("issued_at") >= FIRST + memory)
    assert found.rows(rows).equals(rows)


def test_an_area_without_any_load_is_left_out_and_none_with_enough_is_refused() -> None:
    panel = of_two(FIRST)
    assert starts(panel, ["A", "NONE"], 28 * DAY, ISSUES).left_out == {"NONE": 0}
    with pytest.raises(InvalidInput, match="too little history"):
        starts(panel, ["NONE"], 28 * DAY, ISSUES)
