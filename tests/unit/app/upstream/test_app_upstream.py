"""Stamps and operators' forecasts in virtual time: found, attributed, masked, told, the same after a restart."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from recloser.app import Platform, project_status, run_pipeline
from recloser.app.loop.control_loop import ControlLoop, LoopOptions
from recloser.app.loop.upstream.record import incumbent_state
from recloser.app.loop.upstream.stamps import STATE
from recloser.app.loop.upstream.telling import incumbent_document
from recloser.core import INCUMBENT, LOAD, SAMPLE_SCHEMA, Quality, VirtualClock
from recloser.ledger import SignalRecord, StateRecord
from recloser.testing import small_grid, small_project
from recloser.testing.projects import FIRST

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
LEARNED, LIVED = 110, 66
BEGIN = FIRST + LEARNED * DAY
ONSET = datetime(2020, 6, 8, tzinfo=UTC) - 2 * HOUR  # a local midnight
END = ONSET + 7 * DAY
SPAN = (pl.col("at") >= ONSET) & (pl.col("at") < END)


def late_by_an_hour(frame: pl.DataFrame, quantity: str, area: str = "F01") -> pl.DataFrame:
    """Return the frame with a week of one series stamped an hour late."""
    mine = (pl.col("quantity") == quantity) & (pl.col("area") == area) & SPAN
    moved = frame.filter(mine).sort("at").with_columns(pl.col("value").shift(1).backward_fill())
    return pl.concat([frame.filter(~mine), moved]).sort("area", "quantity", "at", "available_at")


def with_operator(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the frame with a day-ahead forecast of both feeders: load within 2 %, known the day before at 05:00."""
    load = frame.filter(pl.col("quantity") == LOAD).sort("area", "at")
    rng = np.random.default_rng(5)
    given = load.with_columns(
        quantity=pl.lit(INCUMBENT),
        value=pl.col("value") * (1.0 + 0.02 * pl.Series(rng.standard_normal(load.height))),
        available_at=pl.col("at").dt.truncate("1d") - 19 * HOUR,
    )
    return pl.concat([frame, given.select(frame.columns)])


def live(folder: Path, frame: pl.DataFrame, until: datetime = BEGIN + LIVED * DAY) -> Path:
    small_project(folder, days=LEARNED)
    with Platform.open(folder) as platform:
        platform.store.append(frame.select(list(SAMPLE_SCHEMA)), source="test")
    run_pipeline(folder, as_of=BEGIN, engine="local", progress=lambda _line: None)
    live_on(folder, BEGIN, until)
    return folder


def live_on(folder: Path, start: datetime, until: datetime) -> None:
    clock = VirtualClock(start)
    with Platform.open(folder, clock=clock) as platform:
        loop = ControlLoop(platform, LoopOptions(retrain=False))
        for issue in platform.horizon.issues(start, until):
            clock.advance_to(issue)
            loop.cycle(issue)


def seen(folder: Path) -> tuple[dict[str, Any], list[SignalRecord]]:
    with Platform.open(folder) as platform:
        state = platform.ledger.get(StateRecord, STATE)
        faults = platform.ledger.find(SignalRecord, signal_class="data_fault", order_by="at")
        return {} if state is None else state.state, [one for one in faults if one.evidence["kind"] == "shift"]


@pytest.fixture(scope="module")
def history() -> pl.DataFrame:
    return with_operator(small_grid(LEARNED + LIVED + 5).frame())


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory, history: pl.DataFrame) -> Callable[[str], Path]:
    """Return lives by name, each made once: 'load', 'operator' or 'nothing' stamped late."""
    made: dict[str, Path] = {}

    def life(name: str) -> Path:
        if name not in made:
            quantity = {"load": LOAD, "operator": INCUMBENT}.get(name)
            frame = history if quantity is None else late_by_an_hour(history, quantity)
            made[name] = live(tmp_path_factory.mktemp(name) / "grid", frame)
        return made[name]

    return life


def test_load_stamped_late_is_found_masked_and_over(make: Callable[[str], Path]) -> None:
    state, faults = seen(make("load"))
    assert state["open"] == {}
    assert [(area, first) for area, first, _ in state["past"]] == [("F01", "2020-06-08")]
    (fault,) = faults
    assert fault.areas == ["F01"]
    assert ONSET - DAY < fault.since < ONSET + 2 * DAY
    assert fault.at <= ONSET + 4 * DAY
    assert fault.closed_at is not None
    with Platform.open(make("load")) as platform:
        latest = platform.store.read(["F01", "F02"], [LOAD], ONSET, END, as_of=END + 20 * DAY).latest()
    flagged = latest.filter((pl.col("quality").cast(pl.Int64) & int(Quality.SHIFT_SUSPECT)) != 0)
    assert set(flagged["area"]) == {"F01"}
    assert flagged.height >= 5 * 24


def test_an_operators_forecast_stamped_late_is_not_loads_fault(make: Callable[[str], Path]) -> None:
    state, faults = seen(make("operator"))
    assert faults == []
    assert [(area, first) for area, first, _ in state["past"]] == [("F01", "2020-06-08")]
    with Platform.open(make("operator"), clock=VirtualClock(BEGIN + LIVED * DAY)) as platform:
        document = incumbent_document(platform, open_only=False)
    assert document is not None
    shifts = [one for one in document["signals"] if one["kind"] == "shift"]
    assert [one["areas"] for one in shifts] == [["F01"]]
    assert "is stamped an hour late since 2020-06-0" in shifts[0]["reason"]
    assert shifts[0]["closed_at"] is not None


def test_a_quiet_life_says_nothing_of_stamps_and_tells_how_the_operator_does(make: Callable[[str], Path]) -> None:
    state, faults = seen(make("nothing"))
    assert (state.get("open", {}), faults) == ({}, [])
    document = project_status(make("nothing"))["incumbent"]
    assert document["signals"] == []
    assert set(document["lately"]) == {"F01", "F02"}
    row = document["lately"]["F01"]
    assert row["days"] == 28
    assert row["error_pct"] == pytest.approx(1.6, abs=0.3)
    assert row["champion_pct"] > row["error_pct"]
    assert row["better"] == "incumbent"


def test_holidays_have_hours_of_their_own(make: Callable[[str], Path]) -> None:
    """The Whit holiday of 1 June 2020 and the days beside it are not judged; the days after are."""
    now = BEGIN + LIVED * DAY
    with Platform.open(make("nothing"), clock=VirtualClock(now)) as platform:
        stamps = ControlLoop(platform, LoopOptions()).watch.stamps
        stamps.see(now)
        judged = {day: bool(np.isfinite(found["upstream"]).all()) for day, found in stamps.compared.items()}
    assert [judged[date(2020, 6, 1) + k * DAY] for k in (-1, 0, 1, 2)] == [False, False, False, True]


def test_a_life_in_two_parts_says_the_same(make: Callable[[str], Path], history: pl.DataFrame, tmp_path: Path) -> None:
    folder = live(tmp_path / "grid", late_by_an_hour(history, LOAD), ONSET + 3 * DAY)
    live_on(folder, ONSET + 3 * DAY, BEGIN + LIVED * DAY)
    assert seen(folder) == seen(make("load"))
    with Platform.open(folder) as ours, Platform.open(make("load")) as theirs:
        assert incumbent_state(ours) == incumbent_state(theirs)


def test_faults_of_the_feed_are_flagged_and_stop_no_retraining(history: pl.DataFrame, tmp_path: Path) -> None:
    dead = (pl.col("quantity") == INCUMBENT) & (pl.col("area") == "F01") & SPAN
    frame = history.with_columns(value=pl.when(dead).then(0.0).otherwise("value"))
    folder = live(tmp_path / "grid", frame, ONSET + 5 * DAY)
    with Platform.open(folder, clock=VirtualClock(ONSET + 5 * DAY)) as platform:
        assert platform.ledger.find(SignalRecord, signal_class="data_fault") == []
        document = incumbent_document(platform)
        assert document is not None
        (stuck,) = [one for one in document["signals"] if one["class"] == "data_fault"]
        assert (stuck["kind"], stuck["areas"]) == ("stuck", ["F01"])
        usable = platform.store.read(["F01"], [INCUMBENT], ONSET, ONSET + 2 * DAY, as_of=ONSET + 5 * DAY).wide()
        assert usable[INCUMBENT].null_count() == usable.height
    with Platform.open(Path(shutil.copytree(folder, tmp_path / "other"))) as platform:
        off = platform.project.monitoring.model_copy(update={"incumbent": ""})
        platform.project = platform.project.model_copy(update={"monitoring": off})
        assert incumbent_document(platform) is None
