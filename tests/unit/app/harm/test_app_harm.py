"""The daily look at who would serve better: as known at each issue, never by faulty data, the same after a restart."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recloser.app import Platform
from recloser.app.loop.control_loop import ControlLoop, LoopOptions
from recloser.app.loop.harm.answering import PastAnswers
from recloser.app.loop.harm.judging import HARM, asking_signals, harm_in
from recloser.core import VirtualClock
from recloser.ledger import RouteRecord, SignalRecord, StateRecord
from recloser.rollout import Harm
from recloser.testing.lives import lived_project

DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, datetime]:
    """Sixteen days of a champion that does well."""
    return lived_project(tmp_path_factory.mktemp("harm") / "grid", days=16)


@pytest.fixture
def loop(lived: tuple[Path, datetime], tmp_path: Path) -> Iterator[ControlLoop]:
    folder = shutil.copytree(lived[0], tmp_path / "grid")
    with opened(folder, lived[1]) as platform:
        yield ControlLoop(platform, LoopOptions())


def opened(folder: Path, at: datetime) -> Platform:
    return Platform.open(folder, clock=VirtualClock(at), isolated=True)


def say(loop: ControlLoop, name: str, kind: str = "degradation", **extra: Any) -> SignalRecord:
    """Write a signal down that began twelve days ago."""
    now = loop.platform.clock.now()
    since, evidence = now - 12 * DAY, {"kind": "error"}
    values: dict[str, Any] = {"severity": "warning", "areas": [], "since": since, "evidence": evidence}
    values |= {"key": name, "at": now, "signal_class": kind, "reason": f"{name} says so.", "closed_at": None} | extra
    record = SignalRecord(**values)
    with loop.platform.ledger.change("test", now) as change:
        change.put(record)
        change.note("signal.open", name)
    return record


def champion(loop: ControlLoop) -> str:
    route = loop.platform.ledger.get(RouteRecord, "route")
    assert route is not None
    assert route.champion is not None
    return route.champion


def looked(loop: ControlLoop) -> Harm | None:
    loop.harm.look(loop.platform.clock.now())
    return harm_in(loop.platform.ledger.get(StateRecord, f"{HARM}/{champion(loop)}"))


def test_a_champion_that_does_well_has_no_better_rival(loop: ControlLoop) -> None:
    assert looked(loop) is None
    say(loop, "sig-1")
    harm = looked(loop)
    assert harm is not None
    assert [rival.name for rival in harm.rivals if rival.better] == []
    assert {rival.name for rival in harm.rivals} == {"seasonal_naive", "persistence"}
    assert all(rival.days >= 10 and rival.gain < 0.0 for rival in harm.rivals)
    assert harm.rivals[0].loss <= harm.rivals[1].loss
    before = champion(loop)
    loop.advance()
    assert champion(loop) == before


def test_a_look_may_be_repeated_and_a_restart_says_the_same(loop: ControlLoop, tmp_path: Path) -> None:
    say(loop, "sig-1")
    first, entries = looked(loop), len(loop.platform.ledger.entries())
    assert looked(loop) == first
    assert len(loop.platform.ledger.entries()) == entries
    with opened(loop.platform.layout.root, loop.platform.clock.now()) as platform:
        again = ControlLoop(platform, LoopOptions())
        assert looked(again) == first
        assert len(platform.ledger.entries()) == entries
    with opened(
        Path(shutil.copytree(loop.platform.layout.root, tmp_path / "other")), loop.platform.clock.now()
    ) as fresh:
        with fresh.ledger.change("test", fresh.clock.now()) as change:  # as if it had never looked
            change.put(StateRecord(f"{HARM}/{champion(loop)}", fresh.clock.now(), {"harm": None, "days": {}}))
            change.note("test", HARM)
        assert looked(ControlLoop(fresh, LoopOptions())) == first


def test_a_signal_that_is_over_ends_the_look(loop: ControlLoop) -> None:
    say(loop, "sig-1")
    assert looked(loop) is not None
    say(loop, "sig-1", closed_at=loop.platform.clock.now())
    assert looked(loop) is None
    entry = loop.platform.ledger.entries()[-1]
    assert (entry.action, entry.facts["reason"]) == ("harm.look", "no signal says so any more")


def test_days_and_areas_with_faulty_data_tell_nothing(loop: ControlLoop) -> None:
    say(loop, "sig-1")
    say(loop, "sig-2", "data_fault", areas=["F01"], since=loop.platform.clock.now() - 6 * DAY)
    assert looked(loop) is not None
    state = loop.platform.ledger.get(StateRecord, f"{HARM}/{champion(loop)}")
    assert state is not None
    areas = [int(row[2]) for _, row in sorted(state.state["days"]["seasonal_naive"].items())]
    assert (areas[0], areas[-1]) == (2, 1)
    assert areas == sorted(areas, reverse=True)


def test_a_fault_of_the_whole_fleet_leaves_nothing_to_judge_by(loop: ControlLoop) -> None:
    say(loop, "sig-1")
    say(loop, "sig-2", "data_fault", areas=["F01", "F02"], since=loop.platform.clock.now() - 20 * DAY)
    harm = looked(loop)
    assert harm is not None
    assert [(rival.days, rival.better) for rival in harm.rivals] == [(0, False), (0, False)]


def test_only_a_changed_relation_asks(loop: ControlLoop) -> None:
    asking = [
        say(loop, "error"),
        say(loop, "drift", "concept_drift", evidence={"kind": "level", "cause": "drift"}),
        say(loop, "fleet", "concept_drift", evidence={}),
    ]
    silent = [
        say(loop, "band", evidence={"kind": "coverage"}),
        say(loop, "alone", "concept_drift", evidence={"kind": "level", "cause": "unknown"}, areas=["F01"]),
        say(loop, "fault", "data_fault", areas=["F01"]),
        say(loop, "inputs", "covariate_shift"),
    ]
    assert asking_signals([*silent, *asking]) == asking


def test_a_project_that_does_not_want_it_never_looks(loop: ControlLoop) -> None:
    project = loop.platform.project
    rollout = project.rollout.model_copy(update={"fall_back": False})
    loop.platform.project = project.model_copy(update={"rollout": rollout})
    say(loop, "sig-1")
    assert looked(loop) is None


def test_past_answers_are_those_that_were_given(loop: ControlLoop) -> None:
    """The champion asked again about past issues says what it said then, so no look sees what came later."""
    platform, name = loop.platform, champion(loop)
    now = platform.clock.now()
    days = [day for back in range(12, 0, -1) if (day := loop.watch.book.closed((now - back * DAY).date(), now))]
    assert len(days) >= 10
    past, release = PastAnswers(platform, loop.history, days), platform.load(name).with_online(None)
    for day in days:
        given = day.answers[name] - day.shifts.get(name, 0.0)
        np.testing.assert_allclose(past.answer(release, release.features, day), given, rtol=1e-6)
