"""History that no check has seen: its faults are masked before the first model learns, once, and without alarms."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from recloser.app import Platform, run_pipeline
from recloser.app.loop.past.walking import PAST, check_past
from recloser.core import LOAD, Quality, VirtualClock, format_utc
from recloser.ledger import SignalRecord, StateRecord
from recloser.testing import small_grid, small_project

NOW = datetime(2020, 4, 30, tzinfo=UTC)
FAULT = (datetime(2020, 2, 20, tzinfo=UTC), datetime(2020, 2, 23, tzinfo=UTC))
HOURS = 72


def in_fault() -> pl.Expr:
    return (pl.col("area") == "F01") & (pl.col("quantity") == LOAD) & pl.col("at").is_between(*FAULT, closed="left")


@pytest.fixture
def spoilt(tmp_path: Path) -> Path:
    """A project just ingested, in which F01 was in kilowatts for three days, ten weeks ago."""
    thousand = pl.when(in_fault()).then(pl.col("value") * 1000.0).otherwise(pl.col("value"))
    return small_project(tmp_path / "grid", frame=small_grid().frame().with_columns(value=thousand))


def flagged(platform: Platform) -> pl.DataFrame:
    latest = platform.store.read(quantities=[LOAD], as_of=platform.clock.now()).latest()
    return latest.filter((pl.col("quality").cast(pl.Int64) & int(Quality.UNUSABLE)) != 0)


def test_the_first_model_of_a_project_just_ingested_learns_from_no_fault_of_weeks_ago(spoilt: Path) -> None:
    told: list[str] = []
    outcome = run_pipeline(spoilt, as_of=None, engine="local", progress=told.append)
    assert outcome["verdict"] == "pass", outcome["reason"]
    faults = next(check for check in outcome["checks"] if check["name"] == "data.faults")
    assert "repaired" in faults["reason"]
    assert f"unit of F01 {FAULT[0]:%Y-%m-%d %H:%M} .. {FAULT[1]:%Y-%m-%d %H:%M} UTC" in told[0]
    with Platform.open(spoilt) as platform:
        assert flagged(platform).filter(in_fault()).height == HOURS
        assert not platform.ledger.find(SignalRecord)  # nobody is called for what was over long ago
        (entry,) = [one for one in platform.ledger.entries(subject="past") if one.action == "data.check"]
    spans = [(one["kind"], one["areas"], one["start"], one["end"]) for one in entry.facts["first"]]
    assert ("unit", ["F01"], format_utc(FAULT[0]), format_utc(FAULT[1])) in spans


def test_flags_are_known_when_a_running_loop_would_have_known_them(spoilt: Path) -> None:
    with Platform.open(spoilt, clock=VirtualClock(NOW)) as platform:
        assert check_past(platform, FAULT[0]).flagged == 0
        assert check_past(platform, FAULT[0] + timedelta(days=1)).flagged == HOURS / 3
        check_past(platform, NOW)
        marks = flagged(platform).filter(in_fault()).with_columns(late=pl.col("available_at") - pl.col("at"))
        assert marks.height == HOURS
        assert marks["late"].max() <= timedelta(days=2)  # type: ignore[operator]


def test_history_is_walked_over_once_and_again_where_it_was_corrected(spoilt: Path) -> None:
    with Platform.open(spoilt, clock=VirtualClock(NOW)) as platform:
        check_past(platform, NOW)
        version, entries = platform.store.version(), len(platform.ledger.entries())
        assert check_past(platform, NOW).flagged == 0
        assert (platform.store.version(), len(platform.ledger.entries())) == (version, entries)

        begun = platform.ledger.get(StateRecord, PAST)
        good = small_grid().frame().filter(in_fault())
        corrected = pl.lit(NOW - timedelta(days=1)).dt.cast_time_unit("us")
        platform.store.append(good.with_columns(available_at=corrected), source="corrected")
        check_past(platform, NOW)
        assert len(platform.ledger.entries()) == entries + 1
        assert platform.ledger.get(StateRecord, PAST) != begun
        assert flagged(platform).filter(in_fault()).is_empty()
