"""What people ask of a gateway is done once a key, by the code of the verbs, and proven by the ledger."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from recloser.app import Platform
from recloser.app.loop.control_loop import ControlLoop, LoopOptions
from recloser.app.people.desk import LoopDesk
from recloser.core import InvalidInput, Refused
from recloser.ledger import FreezeRecord, StateRecord
from recloser.serving.http import Wish

STORM = Wish("freeze", None, "ann", "storm", {"from": None, "to": None}, "key-1")


@pytest.fixture
def platform(project: Path) -> Iterator[Platform]:
    with Platform.open(project) as opened:
        yield opened


def desk_of(platform: Platform) -> LoopDesk:
    return LoopDesk(ControlLoop(platform, LoopOptions()))


def test_the_same_wish_under_a_key_is_carried_out_once_over_all_processes(platform: Platform) -> None:
    first = desk_of(platform).carry_out(STORM)
    again = desk_of(platform).carry_out(STORM)
    assert (first.repeated, again.repeated) == (False, True)
    assert first.document == again.document
    assert len(platform.ledger.find(FreezeRecord)) == 1
    assert desk_of(platform).carry_out(replace(STORM, actor="ben")).repeated is False  # a key is its caller's own
    assert desk_of(platform).carry_out(replace(STORM, key=None)).repeated is False
    assert len(platform.ledger.find(FreezeRecord)) == 3
    with pytest.raises(InvalidInput, match="another wish"):
        desk_of(platform).carry_out(replace(STORM, reason="peak"))


def test_what_was_refused_may_be_asked_again_and_what_a_kill_cut_off_may_not(platform: Platform) -> None:
    wish, desk = Wish("rollback", None, "ann", "flaps", key="key-2"), desk_of(platform)
    for _ in range(2):
        with pytest.raises(Refused, match="nothing serves yet"):
            desk.carry_out(wish)
    (kept,) = [record for record in platform.ledger.find(StateRecord) if record.key.startswith("http.wish/")]
    with platform.ledger.change("test", platform.clock.now()) as change:
        change.put(replace(kept, state={**kept.state, "state": "begun"}))
        change.note("test", "killed in between")
    with pytest.raises(Refused, match="under way"):
        desk.carry_out(wish)
    assert platform.ledger.verify().ok


def test_the_desk_tells_freezes_and_rollouts(platform: Platform) -> None:
    desk = desk_of(platform)
    freeze = str(desk.carry_out(replace(STORM, key=None)).document["freeze"])
    assert [row["freeze"] for row in desk.tell("freezes", None)["declared"]] == [freeze]
    assert desk.carry_out(Wish("lift", freeze, "ann", "over")).document["freeze"] == freeze
    assert desk.tell("freezes", None)["declared"] == []
    assert desk.tell("rollouts", None) == {"rollouts": []}
    assert desk.carry_out(Wish("retrain", None, "ann", "new feeder")).document["actor"] == "ann"
    with pytest.raises(InvalidInput, match="no such rollout"):
        desk.tell("explain", "rel-0")


@pytest.mark.parametrize("name", ["from", "to"])
def test_a_freeze_of_another_age_is_refused_whoever_asks(platform: Platform, name: str) -> None:
    for at in (datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=timezone(timedelta(hours=14)))):
        with pytest.raises(InvalidInput, match="time out"):
            desk_of(platform).carry_out(replace(STORM, key=None, more={"from": None, "to": None} | {name: at}))
    assert platform.ledger.find(FreezeRecord) == []


def test_of_one_wish_asked_at_one_moment_by_two_processes_one_is_carried_out(project: Path) -> None:
    """Whichever comes second is told that it is under way, or what it came to; not that somebody wrote."""
    said: list[str] = []
    gate = threading.Barrier(4)

    def ask() -> None:
        with Platform.open(project) as platform:
            desk = desk_of(platform)
            gate.wait()
            try:
                said.append("repeated" if desk.carry_out(STORM).repeated else "done")
            except Refused as error:
                said.append(error.what)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert said.count("done") == 1
    assert set(said) <= {"done", "repeated", "the same wish is under way, or was when a process ended"}
    with Platform.open(project) as platform:
        assert len(platform.ledger.find(FreezeRecord)) == 1
