"""The loop's view of the past: never more than could be known, whichever way it was read; issues made once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from recloser.app import Platform, run_pipeline
from recloser.app.loop.control_loop import ControlLoop, LoopOptions, issue_shapes, level_gap, step_distances
from recloser.app.loop.history import FeatureFrames, History
from recloser.core import LOAD, Served, VirtualClock, forecast_id
from recloser.ledger import ForecastRecord
from recloser.serving import Answer
from recloser.store import Store
from recloser.testing import sample_panel

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
START = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Twenty days of two areas; some values corrected days later."""
    store = Store.open(tmp_path_factory.mktemp("history"), HOUR)
    panel = sample_panel(days=20)
    store.append(panel.frame, source="test")
    late = panel.frame.filter((pl.col("quantity") == LOAD) & (pl.col("at").dt.hour() % 7 == 0))
    store.append(late.with_columns(pl.col("value") + 1.0, pl.col("available_at") + 3 * DAY), source="late")
    return store


def served(area: str, ours: list[float], theirs: list[float] | None) -> Served:
    """One area's answers of two models, three equal quantiles each."""
    band = {"new": np.repeat(np.array(ours)[:, None], 3, axis=1)}
    if theirs is not None:
        band["old"] = np.repeat(np.array(theirs)[:, None], 3, axis=1)
    targets = tuple(START + DAY + k * HOUR for k in range(len(ours)))
    name = forecast_id(area, START, START, "new")
    return Served(name, area, START, START, targets, (0.1, 0.5, 0.9), "new", "champion", "", band)


def test_the_level_gap_is_the_typical_areas_and_signed() -> None:
    areas = [
        served("A", [9.0, 11.0], [10.0, 12.0]),  # 1 MW below of 10: -0.1
        served("B", [4.0, 4.0], [5.0, 5.0]),  # 1 MW below of 5: -0.2
        served("C", [300.0, 300.0], [100.0, 100.0]),  # one feeder alone does not decide
        served("D", [1.0, 1.0], None),
    ]
    answer, scale = Answer(areas, [], {}, {}), {"A": 10.0, "B": 5.0, "C": 100.0, "D": 1.0}
    assert level_gap(answer, "new", "old", scale) == pytest.approx(-0.1)
    assert level_gap(answer, "new", None, scale) is None
    assert level_gap(answer, "new", "old", {}) is None
    assert step_distances(answer, "new", "old", scale) == pytest.approx([0.2, 0.2])


def test_the_shapes_of_an_issue_are_those_of_areas_that_both_answered() -> None:
    hours = np.arange(24)
    curve = 10.0 + 2.0 * np.sin(hours / 24 * 2 * np.pi)
    late, same = list(np.roll(curve, 2)), list(curve)
    answer = Answer([served("A", late, same), served("B", same, None), served("C", same, same)], [], {}, {})
    found = issue_shapes(answer, "new", "old", {"A": 10.0, "B": 10.0, "C": 10.0})
    assert set(found) == {"A", "C"}
    assert (found["A"].lag_h, found["C"].lag_h) == (2.0, 0.0)
    assert issue_shapes(answer, "new", "old", {"A": 10.0}) == {"A": found["A"]}


moments = st.integers(0, 20 * 24).map(lambda hour: START + hour * HOUR)


@settings(max_examples=25, deadline=None)
@given(asked=st.lists(st.tuples(moments, st.integers(0, 10)), min_size=1, max_size=6), ahead=st.integers(0, 10))
def test_what_is_kept_in_memory_is_what_the_store_would_say(
    store: Store, asked: list[tuple[datetime, int]], ahead: int
) -> None:
    history = History(store, ["A", "B"], ahead=ahead * DAY)
    for now, back in sorted(asked):
        start = now - back * DAY
        seen = history.panel(now, start)
        assert seen.as_of == now
        assert_frame_equal(seen.frame, store.read(["A", "B"], start=start, as_of=now).frame)
        assert seen.frame.filter(pl.col("available_at") > now).is_empty()


def test_issues_computed_ahead_are_the_same_as_one_by_one(project: Path) -> None:
    with Platform.open(project) as platform:
        issues = list(platform.horizon.issues(START + 100 * DAY, START + 106 * DAY))
        ahead = FeatureFrames(
            platform.features, History(platform.store, platform.areas, ahead=9 * DAY), platform.areas, batch=4
        )
        single = FeatureFrames(platform.features, History(platform.store, platform.areas), platform.areas)
        for issue in issues:
            assert_frame_equal(ahead.frame(issue, issue, issues[-1]), single.frame(issue, issue))


def test_a_cycle_may_be_repeated_and_issues_once(project: Path) -> None:
    ran = run_pipeline(project, as_of=None, engine="local", progress=lambda _line: None)
    assert ran["verdict"] == "pass"
    now = datetime(2020, 4, 30, 7, tzinfo=UTC)
    for _ in range(2):
        with Platform.open(project, clock=VirtualClock(now)) as platform:
            loop = ControlLoop(platform, LoopOptions())
            loop.cycle(now)
            loop.cycle(now)
            records = platform.ledger.find(ForecastRecord)
            assert sorted((record.area, record.issued_at) for record in records) == [("F01", now), ("F02", now)]
            assert {record.release for record in records} == {ran["candidate"]}
            issued = [entry for entry in platform.ledger.entries() if entry.action == "forecast.issue"]
            assert len(issued) == 1


def test_an_issue_that_nobody_can_answer_is_tried_again_and_told_once(project: Path) -> None:
    run_pipeline(project, as_of=None, engine="local", progress=lambda _line: None)
    later = datetime(2026, 4, 30, 8, tzinfo=UTC)  # the newest load is six years old
    clock = VirtualClock(later)
    with Platform.open(project, clock=clock) as platform:
        loop = ControlLoop(platform, LoopOptions())
        for minute in range(4):
            clock.advance_to(later + timedelta(minutes=minute))
            loop.cycle(later)
        told = [entry for entry in platform.ledger.entries() if entry.action == "forecast.issue"]
        assert platform.ledger.find(ForecastRecord, issued_at=later) == []
    assert len(told) == 1
    assert told[0].facts["unavailable"]
