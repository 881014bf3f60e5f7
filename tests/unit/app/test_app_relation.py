"""The watch over single areas: what it learns from, what it says of a drift in one area, what a crash leaves behind."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from recloser.app import Platform
from recloser.app.loop.history import History
from recloser.app.loop.relation.areas import FROZEN, STATE
from recloser.app.loop.relation.learning import from_row, month_key, remember, remembered, to_row
from recloser.app.loop.signals import record_of_signal
from recloser.app.loop.watch import Watch, why_closed
from recloser.core import LOAD, VirtualClock
from recloser.ledger import RouteRecord, SignalRecord, StateRecord
from recloser.monitoring import Finding, signal_of
from recloser.monitoring.detectors import DayErrors
from recloser.simulation import LevelDrift, apply
from recloser.testing import empty_project, small_grid, small_project

DAY = timedelta(days=1)
BEGIN = datetime(2020, 11, 2, 8, tzinfo=UTC)
ONSET = BEGIN + 20 * DAY
DAYS = 45


@pytest.fixture(scope="module")
def drifting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A year of two areas, of which one loses a fifth of its load."""
    events = [LevelDrift(ONSET, -0.2, areas=("F01",), onset=3 * DAY)]
    return small_project(tmp_path_factory.mktemp("drift") / "grid", frame=apply(small_grid(366).frame(), events))


@pytest.fixture
def platform(drifting: Path, tmp_path: Path) -> Iterator[Platform]:
    folder = shutil.copytree(drifting, tmp_path / "grid")
    with Platform.open(folder, clock=VirtualClock(BEGIN), isolated=True) as opened:
        serve(opened)
        yield opened


def serve(platform: Platform) -> None:
    """Let a champion serve, as far as the ledger tells."""
    route = RouteRecord("route", 1, "rel-000000000001", None, 0.0, [], None, [], None, "a test", BEGIN)
    with platform.ledger.change("test", BEGIN) as change:
        change.put(route)
        change.note("route.set", "route", {"reason": "a test"})


def live(platform: Platform, first: int, last: int, watch: Watch | None = None) -> Watch:
    """Show the days, each at eight on the next morning; the same again in between, as after a crash."""
    watch = watch or Watch(platform, History(platform.store, platform.watched))
    for k in range(first, last):
        now = BEGIN + k * DAY
        if now > platform.clock.now():
            platform.clock.advance_to(now)  # type: ignore[attr-defined]
        for _ in range(2):
            watch.areas.see([now.date() - DAY], now)
    return watch


def told(platform: Platform) -> list[SignalRecord]:
    return platform.ledger.find(SignalRecord, order_by="at")


def test_a_drift_of_one_area_is_a_notice_of_that_area_alone(platform: Platform) -> None:
    watch = live(platform, 0, 20)
    state = platform.ledger.get(StateRecord, STATE)
    assert state is not None
    assert (state.state["basis"], state.state["detector"]) == ("reference", "channels")
    assert told(platform) == []
    live(platform, 20, DAYS, watch)
    (signal,) = told(platform)
    assert (signal.signal_class, signal.severity, signal.areas) == ("concept_drift", "notice", ["F01"])
    assert (signal.evidence["kind"], signal.evidence["direction"]) == ("level", "below")
    assert signal.evidence["cause"] == "unknown"
    assert ONSET - 5 * DAY < signal.since < signal.at < ONSET + 21 * DAY
    assert "It may be the meter" in signal.reason


def test_a_watch_begun_again_says_the_same(platform: Platform, drifting: Path, tmp_path: Path) -> None:
    live(platform, 0, DAYS)
    other = shutil.copytree(drifting, tmp_path / "other")
    for begin, end in ((0, 9), (9, 24), (24, 25), (25, DAYS)):
        with Platform.open(other, clock=VirtualClock(BEGIN + begin * DAY), isolated=True) as again:
            if begin == 0:
                serve(again)
            live(again, begin, end)
            records = told(again)
            states = [again.ledger.get(StateRecord, key) for key in (STATE, FROZEN)]
    assert records == told(platform)
    assert states == [platform.ledger.get(StateRecord, key) for key in (STATE, FROZEN)]


def test_an_open_fault_explains_the_change(platform: Platform) -> None:
    evidence = {"kind": "low", "quantity": LOAD, "confidence": "likely"}
    fault = SignalRecord("sig-0", ONSET, "data_fault", "warning", ["F01"], ONSET, "low", evidence, None)
    with platform.ledger.change("test", BEGIN) as change:
        change.put(fault)
        change.note("signal.open", fault.key, {"reason": "low"})
    live(platform, 0, DAYS)
    assert told(platform) == [fault]


def test_without_weather_the_forecasts_own_errors_are_watched(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    with Platform.open(empty_project(tmp_path / "grid"), clock=VirtualClock(BEGIN), isolated=True) as platform:
        serve(platform)
        first = BEGIN.date() - 100 * DAY
        for k in range(100):
            day = first + k * DAY
            errors = {area: DayErrors(day, tuple(rng.normal(0.0, 0.02, 8)), 0.02) for area in platform.areas}
            with platform.ledger.change("test", BEGIN) as change:
                known = platform.ledger.get(StateRecord, month_key(day))
                remember(change, None if known is None else known.state, errors, BEGIN)
                change.note("monitor.step", "areas", {})
        histories = remembered(platform, BEGIN)
        assert {area: [day.day for day in days] for area, days in histories.items()} == {
            area: [first + k * DAY for k in range(100)] for area in platform.areas
        }
        watch = Watch(platform, History(platform.store, platform.watched))
        watch.areas.see([BEGIN.date() - DAY], BEGIN)
        state = platform.ledger.get(StateRecord, STATE)
        assert state is not None
        assert (state.state["basis"], state.state["days"]) == ("forecast", 100)


def test_a_days_errors_are_kept_as_json() -> None:
    day = DayErrors(date(2020, 4, 1), (float("nan"), *[0.25] * 7), 0.25, off=True, special=False)
    again = from_row(day.day, to_row(day))
    assert (again.blocks[1:], again.absolute, again.off, again.special) == (day.blocks[1:], 0.25, True, False)
    assert again.blocks[0] != again.blocks[0]


@pytest.mark.parametrize(
    ("confidence", "said"), [("unknown", "can no longer be told"), ("likely", "the fault is over")]
)
def test_a_level_of_unknown_cause_that_is_not_seen_any_more_is_not_called_over(
    confidence: Literal["unknown", "likely"], said: str
) -> None:
    finding = Finding("low", LOAD, ("F01",), BEGIN - 7 * DAY, BEGIN, confidence=confidence)
    assert said in why_closed(record_of_signal(signal_of(finding, BEGIN), None))
