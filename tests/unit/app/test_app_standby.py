"""A controller that may not lead yet stands by: it moves what its own host has logged, and leads once it may."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from recloser.app import Platform
from recloser.app.predictions.mover import Moved
from recloser.app.predictions.opening import PredictionUpkeep
from recloser.app.processes.controller import Standby, leading, stand_by
from recloser.app.project.storage.section import StoreSection
from recloser.core import Unavailable, VirtualClock

NOW = datetime(2020, 4, 30, 7, tzinfo=UTC)


class Counting(PredictionUpkeep):
    """Counts how often it was asked to move, and ends the waiting after a few times."""

    def __init__(self, platform: Platform, ended: threading.Event, *, trouble: bool = False) -> None:
        super().__init__(platform)
        self.ticks, self._ended, self._trouble = 0, ended, trouble

    def tick(self, now: datetime) -> Moved:
        assert now == NOW
        self.ticks += 1
        if self.ticks == 2:
            self._ended.set()
        if self._trouble:
            raise Unavailable("the bucket is away")
        return Moved()


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recloser.app.processes.controller.TICK_S", 0.01)


def opened(project: Path, url: str | None = None) -> Platform:
    platform = Platform.open(project, clock=VirtualClock(NOW))
    section = StoreSection(url=url)
    platform.project = platform.project.model_copy(update={"store": section})
    return platform


@pytest.mark.parametrize("trouble", [False, True])
def test_it_moves_logs_while_another_leads_and_says_once_why(project: Path, *, trouble: bool) -> None:
    ended, said = threading.Event(), list[str]()
    with opened(project) as first, opened(project, "s3://grid/north") as second, leading(first):
        upkeep = Counting(second, ended, trouble=trouble)
        with ExitStack() as stack:
            assert stand_by(second, stack, Standby(ended, upkeep, said.append)) is None
        assert upkeep.ticks == 2
    assert sum("another process leads" in line for line in said) == 1


def test_with_a_store_of_its_own_host_it_moves_nothing(project: Path) -> None:
    ended, said = threading.Event(), list[str]()
    with opened(project) as first, opened(project) as second, leading(first):
        upkeep = Counting(second, ended)

        def heard(line: str) -> None:
            said.append(line)
            ended.set()

        with ExitStack() as stack:
            assert stand_by(second, stack, Standby(ended, upkeep, heard)) is None
    assert upkeep.ticks == 0


def test_it_leads_once_the_other_has_ended(project: Path) -> None:
    ended = threading.Event()
    with opened(project) as first, opened(project) as second, ExitStack() as of_first:
        of_first.enter_context(leading(first))

        def heard(_line: str) -> None:
            of_first.close()

        with ExitStack() as stack:
            lead: Any = stand_by(second, stack, Standby(ended, Counting(second, ended), heard))
            assert lead is not None
            assert lead.epoch == 2
