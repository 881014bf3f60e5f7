"""The controller's rounds: a failing step starves no other, new code is read before a run, restarts are bounded."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recloser.app.loop.control_loop import ControlLoop, LoopOptions
from recloser.app.platform import Platform
from recloser.app.predictions.opening import PredictionUpkeep
from recloser.app.processes.controller import Rounds, leading, maintain
from recloser.core import Refused, Unavailable, VirtualClock
from recloser.ledger import ForecastRecord, TriggerRecord
from recloser.serving.log import LogPolicy, PredictionLog

NOW = datetime(2020, 4, 30, 7, tzinfo=UTC)

RESTLESS = """
import itertools
from dataclasses import replace

import polars as pl

from recloser.features import Extra

NUMBER = itertools.count()


def build_features(standard):
    own = Extra(f"own_{next(NUMBER)}", pl.col("temperature_c"), known_ahead=True)
    return replace(standard, extra=(own,))
"""


class StandingClock:
    """A clock of real operation that stands still."""

    def now(self) -> datetime:
        return NOW


def rounds_of(platform: Platform, said: list[str]) -> Rounds:
    loop = ControlLoop(platform, LoopOptions(say=said.append))
    return Rounds(loop, PredictionUpkeep(platform), said.append)


def commit(folder: Path, *, named: str, text: str) -> None:
    (folder / named).write_text(text, encoding="utf-8")
    words = ("-c", "user.name=T", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    for line in (("add", named), ("commit", "-q", "-m", "change")):
        subprocess.run(["git", "-C", str(folder), *words, *line], check=True, capture_output=True)


def test_a_forecast_that_cannot_be_made_keeps_logged_predictions_moving(project: Path) -> None:
    with Platform.open(project, clock=StandingClock()) as platform:
        folder = platform.layout.predictions / "log" / "gateway-0"
        for _ in range(2):  # the second one's beginning seals what the first one wrote
            PredictionLog(folder, LogPolicy(), platform.clock).close()
        assert list(folder.glob("*.seg"))
        said: list[str] = []
        loop = ControlLoop(platform, LoopOptions(say=said.append))

        class Broken(ControlLoop):
            def cycle(self, issued_at: datetime) -> None:
                raise Unavailable("no forecast today", where=str(issued_at))

        rounds = Rounds(Broken(platform, loop.options), PredictionUpkeep(platform), said.append)
        assert rounds.go(NOW) == ""
        assert rounds.go(NOW + timedelta(minutes=1)) == ""
        assert not list(folder.glob("*.seg"))
        assert not platform.ledger.find(ForecastRecord)
    assert len([line for line in said if "no forecast today" in line]) == 1  # the same failure is told once


def test_a_commit_is_read_before_the_run_that_it_asks_for(project: Path) -> None:
    subprocess.run(["git", "-C", str(project), "init", "-q"], check=True)
    commit(project, named="pipeline.py", text="")
    with Platform.open(project, clock=StandingClock()) as platform:
        rounds = rounds_of(platform, [])
        assert rounds.go(NOW) == ""
        commit(project, named="pipeline.py", text="ONE = 1\n")
        assert "another commit" in rounds.go(NOW + timedelta(minutes=1))
        assert not platform.ledger.find(TriggerRecord)  # with the old code in memory nothing is begun
    with Platform.open(project, clock=StandingClock()) as platform:
        assert rounds_of(platform, []).go(NOW) == ""
        (asked,) = platform.ledger.find(TriggerRecord)
        assert asked.kind == "commit"


def test_commits_elsewhere_in_the_repository_neither_restart_nor_retrain(project: Path) -> None:
    above = project.parent
    subprocess.run(["git", "-C", str(above), "init", "-q"], check=True)
    commit(project, named="pipeline.py", text="")
    with Platform.open(project, clock=StandingClock()) as platform:
        rounds = rounds_of(platform, [])
        assert rounds.go(NOW) == ""
        for minute in (1, 2):
            commit(above, named="others.txt", text=str(minute))
            assert rounds.go(NOW + timedelta(minutes=minute)) == ""
        assert not platform.ledger.find(TriggerRecord)


def test_columns_that_differ_at_each_reading_do_not_restart_for_ever(project: Path) -> None:
    (project / "pipeline.py").write_text(RESTLESS, encoding="utf-8")
    with Platform.open(project, clock=StandingClock()) as platform:
        assert platform.wanted_features().digest != platform.features.digest
        rounds = rounds_of(platform, [])
        assert [rounds.go(NOW + timedelta(minutes=k)) for k in range(3)] == ["", "", ""]


def test_a_controller_ends_once_another_leads_and_goes_on_while_that_cannot_be_found_out(project: Path) -> None:
    said: list[str] = []

    def away() -> bool:
        raise Unavailable("the disk is full", where="ledger")

    with Platform.open(project, clock=StandingClock()) as platform:
        loop, upkeep = ControlLoop(platform, LoopOptions(say=said.append)), PredictionUpkeep(platform)
        before = len(platform.ledger.entries())
        assert Rounds(loop, upkeep, said.append, lambda: False).go(NOW) == "another controller leads"
        assert len(platform.ledger.entries()) == before
        assert Rounds(loop, upkeep, said.append, away).go(NOW) == ""
    assert "control: ledger: the disk is full." in said


def test_what_a_controller_writes_after_another_took_the_lead_is_refused(project: Path) -> None:
    clock = VirtualClock(NOW)
    with Platform.open(project, clock=clock) as paused, Platform.open(project, clock=clock) as other:
        with leading(paused):
            clock.advance_to(NOW + timedelta(hours=1))
            with leading(other):
                assert paused.ledger is not other.ledger
                maintain(other)
                with pytest.raises(Refused, match="another process leads by now"):
                    maintain(paused)
        assert paused.ledger.verify().ok
