"""A relation turns over in virtual time: a harmed champion falls back where that pays, and nowhere else.

In one life a plant with a fixed night shift takes over, so that the day before is the best guide to a load that the
model has never seen; in the other each day comes out at a level that nobody can know, which costs the model dearly and
the ladder more.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recloser.app import Platform, run_pipeline
from recloser.app.explanations import explain_rollout
from recloser.app.loop.control_loop import ControlLoop, LoopOptions
from recloser.app.loop.harm.judging import HARM, harm_in
from recloser.app.replay.scenario import Scenario
from recloser.app.replay.story import policy_result
from recloser.core import LOAD, VirtualClock
from recloser.ledger import Entry, ForecastRecord, NoticeRecord, RouteRecord, SignalRecord, StateRecord
from recloser.testing import QUICK, small_grid, small_project
from recloser.testing.projects import FIRST, ZONE

pytestmark = pytest.mark.story

DAY = timedelta(days=1)
LEARNED, LIVED = 110, 50
BEGIN = FIRST + LEARNED * DAY
ONSET = BEGIN + 14 * DAY
SETTINGS = QUICK.replace("[model]", "[model]\nonline_calibration = false")


def drifted(changed: pl.Expr) -> pl.DataFrame:
    """Return the history of a small grid whose loads are changed from the onset on."""
    frame = small_grid(LEARNED + LIVED + 5).frame().sort("area", "quantity", "at")
    load = (pl.col("quantity") == LOAD) & (pl.col("at") >= ONSET)
    return frame.with_columns(value=pl.when(load).then(changed).otherwise("value"))


VALUE, FEED = pl.col("value"), ("area", "quantity")
LOCAL = pl.col("at").dt.convert_time_zone(ZONE)
HOURS = LOCAL.dt.hour() + 0.0
NIGHT_SHIFT = VALUE.mean().over(FEED) * (1.0 + 0.4 * ((HOURS - 2.0) * (np.pi / 12.0)).cos())
TOOK_OVER = NIGHT_SHIFT + 0.1 * (VALUE - VALUE.mean().over(*FEED, LOCAL.dt.date()))
DAY_NUMBER = LOCAL.dt.date().to_physical() + 0.0
ERRATIC = VALUE * (1.0 + 0.25 * (DAY_NUMBER * DAY_NUMBER * 0.7).sin())


def live(folder: Path, changed: pl.Expr) -> tuple[list[SignalRecord], list[Entry], RouteRecord]:
    small_project(folder, frame=drifted(changed), settings=SETTINGS)
    run_pipeline(folder, as_of=BEGIN, engine="local", progress=lambda _line: None)
    clock = VirtualClock(BEGIN)
    with Platform.open(folder, clock=clock, isolated=True) as platform:
        loop = ControlLoop(platform, LoopOptions(retrain=False))
        for issue in platform.horizon.issues(BEGIN, BEGIN + LIVED * DAY):
            clock.advance_to(issue)
            loop.cycle(issue)
        route = platform.ledger.get(RouteRecord, "route")
        assert route is not None
        return platform.ledger.find(SignalRecord, order_by="at"), platform.ledger.entries(), route


def harmful(signals: list[SignalRecord]) -> list[SignalRecord]:
    return [one for one in signals if one.signal_class in {"degradation", "concept_drift"} and one.severity != "notice"]


def test_a_harmed_champion_gives_way_to_a_better_ladder(tmp_path: Path) -> None:
    signals, entries, route = live(tmp_path / "grid", TOOK_OVER)
    assert harmful(signals), "the drift was not found"
    (fell,) = [entry for entry in entries if entry.action == "rollout.fall_back"]
    assert fell.at >= harmful(signals)[0].at
    assert route.champion is None
    best = fell.facts["numbers"]["rivals"][0]
    assert best["better"]
    assert best["name"] == route.fallback[0]
    assert best["loss"] < best["served"]
    with Platform.open(tmp_path / "grid", clock=VirtualClock(BEGIN + LIVED * DAY), isolated=True) as platform:
        served = platform.ledger.find(ForecastRecord, since=("issued_at", fell.at))
        assert {one.served_by for one in served} == {f"fallback:{best['name']}"}
        assert len(served) >= 2 * ((BEGIN + LIVED * DAY - fell.at) // DAY - 1)
        result = policy_result(platform, "recloser", Scenario())
        assert result.counts["fall_backs"] == 1
        assert any("harmed now" in line for _, line in result.timeline)
        (alarm,) = platform.ledger.find(NoticeRecord, kind="alarm", subject=fell.subject)
        assert "the fallback ladder serves" in alarm.data["alarms"][0]
    why = explain_rollout(tmp_path / "grid", fell.subject)
    assert "harmed now" in why["reason"]


def test_a_harmed_champion_stays_where_everybody_else_would_be_worse(tmp_path: Path) -> None:
    signals, entries, route = live(tmp_path / "grid", ERRATIC)
    assert harmful(signals), "the drift was not found"
    assert not [entry for entry in entries if entry.action == "rollout.fall_back"]
    assert route.champion is not None
    looks = [entry for entry in entries if entry.action == "harm.look"]
    assert looks
    assert any("more over" in entry.facts["reason"] for entry in looks)
    with Platform.open(tmp_path / "grid", isolated=True) as platform:
        state = platform.ledger.get(StateRecord, f"{HARM}/{route.champion}")
        harm = harm_in(state)
        assert harm is None or not any(rival.better for rival in harm.rivals)
