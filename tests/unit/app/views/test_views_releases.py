"""The documents of releases: verdict, rollout, the course of the paired tests, trips and history."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from recloser.app import ControlRoom, Platform
from recloser.app.loop.control_loop import ControlLoop, LoopOptions
from recloser.app.verbs import rollback_in
from recloser.core import InvalidInput, Refused, VirtualClock, jsonable
from recloser.ledger import PairedDayRecord, RolloutRecord
from recloser.rollout import PairedDay, Rollout, RolloutPlan, RolloutState
from recloser.rollout.paired.path import evidence_path

Lived = tuple[Path, datetime]
NOW = datetime(2020, 1, 10, tzinfo=UTC)


def rollout(scale: float | None = 0.1, promoted: datetime | None = None) -> Rollout:
    state = RolloutState.CANARY if promoted is None else RolloutState.PROBATION
    return Rollout("r", "rel-1", "rel-0", state, NOW, NOW, RolloutPlan(), scale=scale, promoted_at=promoted)


def days(*differences: float) -> list[PairedDay]:
    return [PairedDay(date(2020, 1, 11) + timedelta(days=k), d, 48, NOW) for k, d in enumerate(differences)]


def test_the_course_ends_where_the_tests_stand_and_crosses_the_limit_when_it_is_worse() -> None:
    path = evidence_path(rollout(), days(*[0.3] * 30))
    worse = [day["worse"] for day in path["trial"]["days"]]
    assert worse == sorted(worse)
    assert worse[-1] > path["trial"]["limits"]["worse"] == pytest.approx(100.0)
    assert path["trial"]["days"][-1]["good"] < 1.0
    assert path["probation"]["days"] == []


def test_days_without_points_or_scale_bet_nothing() -> None:
    empty = PairedDay(date(2020, 1, 20), 0.0, 0, NOW)
    path = evidence_path(rollout(scale=None), [*days(0.1, 0.2), empty])
    assert [(day["difference"], day["worse"]) for day in path["trial"]["days"]] == [(0.1, None), (0.2, None)]


def test_probation_has_a_course_of_its_own() -> None:
    path = evidence_path(rollout(promoted=datetime(2020, 1, 12, tzinfo=UTC)), days(0.1, 0.1, 0.4, 0.4))
    assert [len(path[name]["days"]) for name in ("trial", "probation")] == [2, 2]
    assert path["probation"]["limits"]["good"] is None


def test_a_canary_is_told_with_its_evidence(rivals: Lived) -> None:
    folder, now = rivals
    room = ControlRoom(folder, VirtualClock(now))
    listed = room.releases()
    canary = listed["route"]["canary"]
    assert [row["rollout"] for row in listed["releases"]] == ["canary", "champion"]
    found = room.release(canary)
    json.dumps(jsonable(found))
    with Platform.open(folder, clock=VirtualClock(now)) as platform:
        key = platform.ledger.find(RolloutRecord, release=canary)[0].key
        recorded = platform.ledger.find(PairedDayRecord, rollout=key, order_by="day")
    assert [day["difference"] for day in found["path"]["trial"]["days"]] == [record.difference for record in recorded]
    assert found["path"]["trial"]["days"][-1]["good"] == found["rollout"]["numbers"]["wealth_good"]
    assert {row["area"] for row in found["areas"]} == {"F01", "F02"}
    assert found["verdict"]["verdict"] == "pass"
    assert found["rollout"]["would_end"]
    assert found["history"][0]["action"] == "rollout.canary"


def test_a_rollback_is_on_the_page_of_what_was_stopped(rivals: Lived, tmp_path: Path) -> None:
    folder, now = Path(shutil.copytree(rivals[0], tmp_path / "grid")), rivals[1]
    with Platform.open(folder, clock=VirtualClock(now)) as platform:
        done = rollback_in(ControlLoop(platform, LoopOptions()), to=None, reason="numbers look wrong", actor="ann")
    room = ControlRoom(folder, VirtualClock(now))
    found = room.release(done["from"])
    assert found["rollout"]["finished"]
    assert found["path"]["trial"]["days"]
    assert any("numbers look wrong" in event["reason"] and event["actor"] == "ann" for event in found["history"])


def test_a_return_is_offered_only_to_what_has_been_champion(rivals: Lived, tmp_path: Path) -> None:
    folder, now = Path(shutil.copytree(rivals[0], tmp_path / "grid")), rivals[1]
    with Platform.open(folder, clock=VirtualClock(now)) as platform:
        loop = ControlLoop(platform, LoopOptions())
        canary = rollback_in(loop, to=None, reason="numbers look wrong", actor="ann")["from"]
        champion = rollback_in(loop, to=None, reason="these too", actor="ann")["from"]
        room = ControlRoom(folder, VirtualClock(now))
        found = {name: room.release(name) for name in (canary, champion)}
        assert [found[name]["state"] for name in (canary, champion)] == ["retired", "retired"]
        assert not found[canary]["may_return"]
        assert found[champion]["may_return"]
        with pytest.raises(Refused, match="never champion"):
            rollback_in(loop, to=canary, reason="back", actor="ann")
        assert rollback_in(loop, to=champion, reason="back", actor="ann")["to"] == champion
    assert not room.release(champion)["may_return"]


def test_an_unknown_release_names_the_nearest(rivals: Lived) -> None:
    room = ControlRoom(rivals[0], VirtualClock(rivals[1]))
    known = room.releases()["releases"][0]["release"]
    with pytest.raises(InvalidInput, match=known):
        room.release(known[:-1] + "x")
