"""The documents behind the console, of a project that has lived: true to ledger and store, and read again in time."""

from __future__ import annotations

import json
import shutil
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from recloser.app import ControlRoom, OverviewAsk, Platform, overview
from recloser.app.loop.control_loop import ControlLoop, LoopOptions
from recloser.app.security.accounts import Account
from recloser.app.verbs import rollback_in
from recloser.app.views.sight import Sight
from recloser.core import LOAD, InvalidInput, VirtualClock, format_utc, jsonable, parse_utc
from recloser.ledger import ForecastRecord
from recloser.serving.http import Wish

Lived = tuple[Path, datetime]


@pytest.fixture
def own(lived: Lived, tmp_path: Path) -> Lived:
    """A copy that a test may change."""
    return Path(shutil.copytree(lived[0], tmp_path / "grid")), lived[1]


def room_of(lived: Lived) -> ControlRoom:
    return ControlRoom(lived[0], VirtualClock(lived[1]))


def test_a_row_says_what_the_ledger_and_the_store_say(lived: Lived) -> None:
    folder, now = lived
    view = room_of(lived).overview()
    assert view["counts"] == {"as_planned": 2, "with_care": 0, "do_not_use": 0}
    row = view["areas"][0]
    with Platform.open(folder, clock=VirtualClock(now)) as platform:
        newest = platform.ledger.find(ForecastRecord, area="F01", order_by="issued_at", descending=True, limit=1)[0]
        load = platform.store.read(["F01"], [LOAD], now - timedelta(days=1), as_of=now).latest()
    assert row["q50"] == [answer[1] for answer in newest.answers[newest.release]]
    assert row["peak_mw"] == max(row["q50"])
    assert row["issued_at"] == format_utc(newest.issued_at)
    assert [point[1] for point in row["actual"]] == load["value"].to_list()
    assert parse_utc(row["data_until"]) == load["at"].max() + timedelta(hours=1)  # type: ignore[operator]
    assert {point[0] for point in row["actual"]} <= {point[0] for point in row["trend"]} | {row["actual"][0][0]}
    json.dumps(jsonable(view))


def test_rows_are_found_paged_and_sorted_worst_first(lived: Lived) -> None:
    room = room_of(lived)
    assert [row["area"] for row in room.overview(OverviewAsk(find="f02"))["areas"]] == ["F02"]
    assert room.overview(OverviewAsk(abnormal=True))["areas"] == []
    far = room.overview(OverviewAsk(page=9))
    assert (far["page"], far["pages"]) == (1, 1)


def test_what_is_written_is_seen_at_once_and_nothing_is_read_again_without_need(own: Lived) -> None:
    folder, now = own
    with Platform.open(folder, clock=VirtualClock(now)) as platform:
        sight = Sight(platform)
        first = sight.forecasts(now)
        with platform.ledger.change("test", now) as change:
            change.note("test.nothing", "nothing")
        assert sight.forecasts(now) is first
        rollback_in(ControlLoop(platform, LoopOptions()), to=None, reason="looks wrong", actor="ann")
        assert sight.forecasts(now) is not first
        assert sight.load(now) is sight.load(now)
        assert sight.load(now + timedelta(minutes=2)) is not sight.load(now)


def test_a_recall_without_a_substitute_is_not_to_be_used(own: Lived) -> None:
    folder, now = own
    with Platform.open(folder, clock=VirtualClock(now)) as platform:
        record = platform.ledger.find(ForecastRecord, area="F02", order_by="issued_at", descending=True, limit=1)[0]
        gone = {"void": True, "void_at": now, "void_reason": "a test"}
        with platform.ledger.change("test", now) as change:
            change.put(type(record)(**{name: gone.get(name, getattr(record, name)) for name in record.__slots__}))
            change.note("test.recall", record.key)
        row = overview(platform)["areas"][0]
    assert (row["area"], row["state"]) == ("F02", 2)
    assert "recalled" in row["why"]
    view = ControlRoom(folder, VirtualClock(now)).area("F02")
    assert view["void"]
    assert max(point[0] for point in view["band"]) < format_utc(record.first_target)


def test_an_area_has_its_days_who_served_and_its_own_name(lived: Lived) -> None:
    room, now = room_of(lived), lived[1]
    view = room.area("F01")
    assert parse_utc(view["to"]) - parse_utc(view["from"]) == timedelta(days=4)
    assert parse_utc(view["to"]) > now
    assert [span["served_by"] for span in view["served"]] == ["champion"]
    assert len(view["band"]) == len({point[0] for point in view["band"]})
    assert view["load"][-1][0] < format_utc(now)
    assert view["doubted"] == []
    earlier = room.area("F01", parse_utc(view["from"]))
    assert earlier["to"] == view["from"]
    assert earlier["area"] == "F01"
    with pytest.raises(InvalidInput, match="F01"):
        room.area("F1")


def test_what_is_not_used_is_shown_with_its_flag(own: Lived) -> None:
    folder, now = own
    with Platform.open(folder, clock=VirtualClock(now)) as platform:
        at = now.replace(minute=0) - timedelta(hours=6)
        row = {"area": "F01", "quantity": LOAD, "at": at, "available_at": now, "value": 99.0, "quality": 8}
        schema = platform.store.read(["F01"], [LOAD], at, as_of=now).frame.schema
        platform.store.append(pl.DataFrame([{**row, "source": "test"}], schema=schema), "test")
    view = room_of(own).area("F01")
    assert view["doubted"] == [{"at": format_utc(at), "load_mw": 99.0, "quality": "SPIKE"}]
    assert format_utc(at) not in {point[0] for point in view["load"]}


def test_a_project_file_that_changes_is_read_again(own: Lived) -> None:
    room = room_of(own)
    assert room.name() == own[0].name
    file = own[0] / "recloser.toml"
    text = file.read_text()
    file.write_text(text.replace(f'name = "{own[0].name}"', 'name = "other grid"'))
    assert room.name() == "other grid"
    room.close()


def test_a_mistake_in_the_project_file_takes_no_page_and_no_rollback_away(
    own: Lived, caplog: pytest.LogCaptureFixture
) -> None:
    room, file = room_of(own), own[0] / "recloser.toml"
    text = file.read_text()
    assert room.name() == own[0].name
    file.write_text(text + "\n[rollout\nx =")
    assert room.name() == own[0].name
    assert room.overview()["areas"]
    assert "not valid TOML" in caplog.text
    restarted = room_of(own)
    account = Account("ann", frozenset({"operator"}), "")
    done = restarted.act(account, Wish("rollback", None, "ann", "it looks wrong"))
    assert "serves now" in done.document["sentence"]
    restarted.close()
    file.write_text(text.replace(f'name = "{own[0].name}"', 'name = "other grid"'))
    assert room.name() == "other grid"
    room.close()


def test_what_a_rollback_needs_is_loaded_once_and_again_only_when_the_route_changes(
    own: Lived, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified: list[str] = []
    verify = Platform.verify
    monkeypatch.setattr(Platform, "verify", lambda self, name: verified.append(name) or verify(self, name))
    room = room_of(own)
    room.get_ready()
    room.get_ready()
    assert len(verified) == len(set(verified)) == 1
