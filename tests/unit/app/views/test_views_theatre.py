"""Any moment as it was known then: nothing that came later, every decision with its reason; and what is shown of it."""

from __future__ import annotations

import json
import shutil
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recloser.app import ControlRoom, Platform, Where, replayed
from recloser.app.loop.control_loop import ControlLoop, LoopOptions
from recloser.app.replay.policies.scratch import MARK
from recloser.app.verbs import rollback_in
from recloser.app.views.theatre.course import worst_of_stretches
from recloser.core import LOAD, InvalidInput, VirtualClock, format_utc, jsonable, parse_utc
from recloser.ledger import ForecastRecord, SignalRecord
from recloser.testing import empty_project

Lived = tuple[Path, datetime]
HOUR = timedelta(hours=1)


@pytest.fixture
def own(lived: Lived, tmp_path: Path) -> Lived:
    """A copy that a test may change."""
    return Path(shutil.copytree(lived[0], tmp_path / "grid")), lived[1]


def at(lived: Lived, moment: datetime | None, area: str | None = None) -> dict[str, Any]:
    """Return what a room that stands at the end of the life tells of a moment."""
    room = ControlRoom(lived[0], VirtualClock(lived[1]))
    try:
        return room.theatre(area, Where(moment))
    finally:
        room.close()


def test_the_latest_moment_is_what_the_area_page_shows(lived: Lived) -> None:
    room = ControlRoom(lived[0], VirtualClock(lived[1]))
    view, now = room.theatre("F02", Where()), room.area("F02")
    assert view["at"] == format_utc(lived[1])
    assert (view["view"]["trust"], view["view"]["why"]) == (now["trust"], now["why"])
    begin, end = (pick(view["view"][name], now[name]) for pick, name in ((max, "from"), (min, "to")))
    for kind in ("band", "load"):
        mine, other = ([p for p in page[kind] if begin <= p[0] < end] for page in (view["view"], now))
        assert mine == other
        assert len(mine) > 40
    assert view["counts"] == room.overview()["counts"]
    json.dumps(jsonable(view))


def test_nothing_that_came_later_is_known(lived: Lived) -> None:
    folder, now = lived
    with Platform.open(folder, clock=VirtualClock(now)) as platform:
        records = platform.ledger.find(ForecastRecord, area="F01", order_by="made_at")
    for record in records[2:5]:
        before, after = (at(lived, record.made_at + by, "F01")["view"] for by in (-timedelta(minutes=1), timedelta()))
        assert parse_utc(before["issued_at"]) < record.issued_at == parse_utc(after["issued_at"])
        last = format_utc(record.last_target)
        assert last not in {point[0] for point in before["band"]}
        assert last in {point[0] for point in after["band"]}
        for then in (before, after):
            known = {parse_utc(point[0]) for point in then["load"]}
            assert max(known) + HOUR <= parse_utc(then["now"])
            assert min(parse_utc(point[0]) for point in then["later"]) > max(known)
            assert parse_utc(then["data_until"]) == max(known) + HOUR


def test_a_correction_that_came_later_is_not_known_yet(own: Lived) -> None:
    folder, now = own
    target = now.replace(minute=0) - timedelta(days=2)
    with Platform.open(folder, clock=VirtualClock(now)) as platform:
        row = {"area": "F01", "quantity": LOAD, "at": target, "available_at": now - HOUR, "value": 99.0, "quality": 0}
        schema = platform.store.read(["F01"], [LOAD], target, as_of=now).frame.schema
        platform.store.append(pl.DataFrame([{**row, "source": "test"}], schema=schema), "test")
    first, last = (dict(at(own, moment, "F01")["view"]["load"]) for moment in (now - 2 * HOUR, now))
    assert first[format_utc(target)] != 99.0
    assert last[format_utc(target)] == 99.0


def test_a_recall_is_known_from_its_instant_on_with_its_reason(own: Lived) -> None:
    folder, now = own
    with Platform.open(folder, clock=VirtualClock(now)) as platform:
        rollback_in(ControlLoop(platform, LoopOptions()), to=None, reason="numbers look wrong", actor="ann")
    before, after = at(own, now - timedelta(seconds=1)), at((folder, now + HOUR), now + HOUR)
    assert before["view"]["void"] == []
    assert before["view"]["served_by"] == "champion"
    assert "numbers look wrong" not in json.dumps(jsonable({**before, "course": None}))
    assert before["counts"]["as_planned"] == 2
    assert after["view"]["void"]
    assert after["view"]["served_by"].startswith("fallback")
    assert after["counts"]["with_care"] == 2
    assert [row["area"] for row in after["abnormal"]] == ["F01", "F02"]
    assert any("numbers look wrong" in row["reason"] for row in after["decisions"])
    assert any(mark["kind"] == "trip" or "numbers look wrong" in mark["text"] for mark in after["course"]["marks"])


def test_a_signal_is_open_from_when_it_came_up_until_it_was_closed(own: Lived) -> None:
    folder, now = own
    since, up, over = now - timedelta(days=3), now - timedelta(days=2), now - timedelta(days=1)
    record = SignalRecord("s-1", up, "data_fault", "warning", ["F02"], since, "stuck at 7 MW", {}, over)
    with Platform.open(folder, clock=VirtualClock(now)) as platform, platform.ledger.change("test", up) as change:
        change.put(record)
        change.note("signal.open", "s-1", {"reason": "stuck at 7 MW"})
    for moment, seen in ((up - HOUR, False), (up, True), (over - HOUR, True), (over, False), (now, False)):
        view = at(own, moment, "F02")
        assert bool(view["signals"]) is seen
        assert (view["view"]["trust"] == "with care") is seen
        assert all(signal["closed_at"] is None for signal in view["signals"])
    assert [mark["kind"] for mark in at(own, now, "F02")["course"]["marks"]].count("signal") == 1
    assert [mark["kind"] for mark in at(own, now, "F01")["course"]["marks"]].count("signal") == 0


def test_a_canary_is_told_from_when_it_had_traffic(rivals: Lived) -> None:
    latest = at(rivals, None)
    (row,) = latest["rollouts"]
    assert (row["state"], row["share"]) == ("canary", 0.5)
    earlier = at(rivals, parse_utc(row["since"]) - timedelta(minutes=1))
    assert [move["state"] for move in earlier["rollouts"]] == ["shadow"]
    assert at(rivals, parse_utc(latest["first"]))["rollouts"] == []
    day_errors = [error for _, error in latest["course"]["days"]]
    assert len(day_errors) >= 8
    assert all(0.0 < error < 100.0 for error in day_errors)


def test_one_goes_from_decision_to_decision_and_never_out_of_the_life(lived: Lived, rivals: Lived) -> None:
    view = at(rivals, None)
    seen = [view["at"]]
    while view["previous"] is not None:
        view = at(rivals, parse_utc(view["previous"]))
        seen.append(view["at"])
    assert len(seen) > 3
    assert seen == sorted(seen, reverse=True)
    assert all(row["reason"] is not None for row in view["decisions"])
    first = at(lived, parse_utc("2001-01-01T00:00:00Z"))
    assert (first["at"], first["step"]) == (first["first"], 0)
    room = ControlRoom(lived[0], VirtualClock(lived[1]))
    stepped = room.theatre(None, Where(step=30))
    assert parse_utc(stepped["at"]) == parse_utc(stepped["first"]) + 30 * HOUR
    assert (stepped["step"], stepped["stride_h"]) == (30, 1.0)
    assert room.theatre(None, Where(step=10**7))["at"] == format_utc(lived[1])


def test_an_unknown_area_is_refused_and_an_empty_project_says_so(lived: Lived, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="F01"):
        at(lived, None, "F1")
    empty = empty_project(tmp_path / "grid")
    assert ControlRoom(empty, None).theatre(None, Where())["course"] is None


def test_the_worst_day_of_a_stretch_is_kept() -> None:
    rows = [[str(k), float(k % 7)] for k in range(1000)]
    kept = worst_of_stretches(rows, 100)
    assert len(kept) <= 100
    assert all(row in rows for row in kept)
    assert {row[1] for row in kept} == {6.0}
    assert worst_of_stretches(rows[:5], 100) == rows[:5]
    assert worst_of_stretches([], 100) == []


def test_what_a_replay_left_is_found_or_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no report"):
        replayed(tmp_path)
    report = {"to": "2020-04-01T00:00:00Z", "policies": {"never": {}, "weekly": {}}}
    (tmp_path / "report.json").write_text(json.dumps(report))
    with pytest.raises(InvalidInput, match="not there"):
        replayed(tmp_path)
    folder = tmp_path / "work" / "never"
    folder.mkdir(parents=True)
    (folder / MARK).write_text("{}")
    assert (replayed(tmp_path).folder, replayed(tmp_path).at) == (folder, parse_utc(report["to"]))  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="policy"):
        replayed(tmp_path, "wekly")
    (tmp_path / "report.json").write_text('{"policies": []}')
    with pytest.raises(InvalidInput, match="no report"):
        replayed(tmp_path)
