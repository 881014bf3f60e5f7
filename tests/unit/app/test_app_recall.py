"""A recall of the only release there is: what the ladder had answered at the issue stands in for it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from recloser.app import Platform, run_pipeline
from recloser.app.loop.control_loop import ControlLoop, LoopOptions
from recloser.app.verbs import rollback_in
from recloser.core import LOAD, VirtualClock
from recloser.ledger import ForecastRecord, NoticeRecord, RolloutRecord, RouteRecord
from recloser.rollout import CommandKind, Order, RolloutPlan
from recloser.testing import Meeting


@pytest.mark.slow
def test_a_recall_of_the_only_release_falls_back_to_the_ladder(project: Path) -> None:
    assert run_pipeline(project, as_of=None, engine="local", progress=lambda _line: None)["verdict"] == "pass"
    with Platform.open(project) as platform:
        extent = platform.store.extent(LOAD)
        assert extent is not None
        now = extent[1] + timedelta(hours=1)
        issued_at = max(platform.horizon.issues(now - timedelta(days=2), now))
        platform.clock = VirtualClock(now)
        loop = ControlLoop(platform, LoopOptions())
        loop.advance()
        loop.router.refresh(now)
        assert loop.issue(issued_at) is not None
        made = platform.ledger.find(ForecastRecord, issued_at=issued_at)
        assert sorted(record.area for record in made) == sorted(platform.areas)
        for record in made:
            assert record.served_by == "champion"
            assert set(record.answers) == {record.release, "seasonal_naive"}
        rollback_in(loop, to=None, reason="it looks wrong", actor="a person")
        for record in made:
            void = platform.ledger.get(ForecastRecord, record.key)
            assert void is not None
            assert void.void
            assert void.replaced_by is not None
            instead = platform.ledger.get(ForecastRecord, void.replaced_by)
            assert instead is not None
            assert (instead.served_by, instead.void) == ("fallback:seasonal_naive", False)
            assert instead.answers["seasonal_naive"] == record.answers["seasonal_naive"][-len(instead.targets) :]
        alarms = [text for notice in platform.ledger.find(NoticeRecord, kind="alarm") for text in notice.data["alarms"]]
        assert len(alarms) == 1  # only the ladder is left
        assert "no replacement" not in alarms[0]
        now += timedelta(minutes=1)
        platform.clock.advance_to(now)
        _return_gives_its_own_answers_back(loop, made)


def _return_gives_its_own_answers_back(loop: ControlLoop, made: list[ForecastRecord]) -> None:
    ledger, release = loop.platform.ledger, made[0].release
    told = rollback_in(loop, to=release, reason="it was right", actor="a person")
    assert told["sentence"].startswith(
        f"{release} serves now; 0 forecasts recalled. {len(made)} forecasts that stood in"
    )
    assert told["recalled"] == []
    assert "until the next issue" not in told["sentence"]
    in_force = ledger.find(ForecastRecord, issued_at=made[0].issued_at, void=False)
    assert [(record.area, record.served_by) for record in sorted(in_force, key=lambda one: one.area)] == [
        (area, "champion") for area in sorted(loop.platform.areas)
    ]
    for record in in_force:
        own = next(one for one in made if one.area == record.area)
        assert record.answers[release] == own.answers[release][-len(record.targets) :]
        stood_in = ledger.find(ForecastRecord, replaced_by=record.key)
        assert [(one.served_by, one.void) for one in stood_in] == [("fallback:seasonal_naive", True)]
    notice = ledger.find(NoticeRecord, kind="recall", order_by="at", descending=True)[0]
    assert notice.data["release"] == notice.subject == "seasonal_naive"
    assert notice.data["new_ids"] == sorted(record.key for record in in_force)


@pytest.mark.slow
def test_who_stops_what_somebody_else_stopped_a_moment_before_is_told_so(project: Path) -> None:
    assert run_pipeline(project, as_of=None, engine="local", progress=lambda _line: None)["verdict"] == "pass"
    with Platform.open(project) as platform, Platform.open(project) as theirs:
        other = ControlLoop(theirs, LoopOptions())
        champion = getattr(platform.ledger.get(RouteRecord, "route"), "champion", None)
        meeting: Any = Meeting(platform.ledger, lambda: rollback_in(other, to=None, reason="it flaps", actor="ben"))
        platform.ledger = meeting
        told = rollback_in(ControlLoop(platform, LoopOptions()), to=None, reason="it looks wrong", actor="ann")
    assert (told["from"], told["to"], told["recalled"], told["reason"]) == (champion, None, [], "it looks wrong")
    assert told["sentence"].startswith(
        f"{champion} was stopped a moment before (rolled_back: rolled back by ben: it flaps"
    )
    assert "nothing more was done: the fallback ladder serves now" in told["sentence"]


@pytest.mark.slow
def test_a_look_that_meets_a_persons_order_looks_again(project: Path) -> None:
    assert run_pipeline(project, as_of=None, engine="local", progress=lambda _line: None)["verdict"] == "pass"
    with Platform.open(project) as platform, Platform.open(project) as theirs:
        other = ControlLoop(theirs, LoopOptions())
        release = getattr(platform.ledger.get(RouteRecord, "route"), "champion", "")
        rollback_in(other, to=None, reason="it flaps", actor="ben")
        other.controller.submit(release, RolloutPlan(), scale=None, reason="once more")
        hold = Order(CommandKind.HOLD, "ben", "storm", rollout=release)
        meeting: Any = Meeting(platform.ledger, lambda: other.controller.order(hold))
        platform.ledger = meeting
        ControlLoop(platform, LoopOptions()).advance()
        assert [record.state for record in theirs.ledger.find(RolloutRecord, finished_at=None)] == ["held"]
