"""Closed days and what is learned from them in use: the same after a restart, the band under control."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recloser.app import Platform, run_pipeline
from recloser.app.loop.control_loop import ControlLoop, LoopOptions
from recloser.app.loop.online.correcting import correctors_of
from recloser.core import LOAD, Quality, VirtualClock
from recloser.ledger import StateRecord
from recloser.models import AdaptiveCoverage, Calibration, covering
from recloser.models.online.corrector import bias_corrected

BEGIN = datetime(2020, 4, 6, 7, tzinfo=UTC)
DAY = timedelta(days=1)
DAYS = 19


@pytest.fixture
def lived(project: Path) -> Path:
    """A project whose first model has forecast nineteen days."""
    assert run_pipeline(project, as_of=BEGIN, engine="local", progress=lambda _line: None)["verdict"] == "pass"
    clock = VirtualClock(BEGIN)
    with Platform.open(project, clock=clock) as platform:
        loop = ControlLoop(platform, LoopOptions(retrain=False))
        for k in range(DAYS):
            clock.advance_to(BEGIN + k * DAY)
            loop.cycle(BEGIN + k * DAY)
    return project


def test_each_areas_band_is_controlled_by_what_it_missed(lived: Path) -> None:
    with Platform.open(lived, clock=VirtualClock(BEGIN + (DAYS - 1) * DAY)) as platform:
        champion = platform.champion()
        assert champion is not None
        state = platform.ledger.get(StateRecord, f"online/{champion.release}")
        assert state is not None
        controls = {area: AdaptiveCoverage.from_dict(item) for area, item in state.state["coverage"].items()}
        assert set(controls) == {"F01", "F02"}
        served = Calibration.from_dict(state.state["calibration"])
        correctors = correctors_of(platform, champion.release)
        assert set(correctors.areas) == {"F01", "F02"}
        base = Calibration.from_dict(state.state["base"])
        assert served == covering(bias_corrected(base, correctors.areas), controls)
        book = ControlLoop(platform, LoopOptions()).watch.book
        book.restore()
        assert platform.load(champion.release).online == served

        again = dict.fromkeys(controls, AdaptiveCoverage(controls["F01"].plan))
        for k in range(-1, DAYS):
            closed = book.closed((BEGIN + k * DAY).date(), BEGIN + DAYS * DAY)
            if closed is None or champion.release not in closed.answers:
                continue
            truth = closed.rows[LOAD].fill_null(float("nan")).to_numpy().astype(np.float64)
            for area in again:
                mine, answer = closed.rows["area"].to_numpy() == area, closed.answers[champion.release]
                again[area] = again[area].learned(closed.day, truth[mine], answer[mine, 0], answer[mine, -1])
        assert again == controls


def test_a_closed_day_is_what_was_known_when_it_closed(lived: Path) -> None:
    day = date(2020, 4, 15)
    with Platform.open(lived, clock=VirtualClock(BEGIN + (DAYS - 1) * DAY)) as platform:
        now = platform.clock.now()
        before = ControlLoop(platform, LoopOptions()).watch.book.closed(day, now)
        assert before is not None
        assert before.rows[LOAD].null_count() == 0
        rows = platform.store.read(["F01"], [LOAD], start=now - 15 * DAY, as_of=now).frame
        late = rows.filter(pl.col("at").dt.date() == day).with_columns(
            quality=pl.lit(int(Quality.STUCK), pl.Int32), available_at=pl.lit(now).cast(rows["available_at"].dtype)
        )
        platform.store.append(late, source="check")
        after = ControlLoop(platform, LoopOptions()).watch.book.closed(day, now + DAY)
        assert after is not None
        assert after.rows.equals(before.rows)
