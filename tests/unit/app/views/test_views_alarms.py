"""Alarms: one for each cause, the urgent first; marks of people end, and never outlive what they were about."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from recloser.app import ControlRoom, Platform
from recloser.app.security.accounts import Account
from recloser.app.views.alarms import alarms_of
from recloser.app.views.overview import alarms_in, judge
from recloser.app.views.sight import Sight
from recloser.app.views.trust import AreaFacts, opinion
from recloser.core import InvalidInput, Refused, VirtualClock
from recloser.ledger import ForecastRecord, SignalRecord

Lived = tuple[Path, datetime]
HOUR = timedelta(hours=1)
ANN = Account("ann", frozenset({"operator"}), "x")
EVE = Account("eve", frozenset({"viewer"}), "x")


@pytest.fixture
def own(lived: Lived, tmp_path: Path) -> Lived:
    return Path(shutil.copytree(lived[0], tmp_path / "grid")), lived[1]


def signal(own: Lived, key: str = "s-1", since: timedelta = 3 * HOUR, kind: str = "data_fault") -> None:
    folder, now = own
    record = SignalRecord(key, now - HOUR, kind, "warning", ["F02"], now - since, "stuck at 7 MW", {}, None)
    with Platform.open(folder, clock=VirtualClock(now)) as platform, platform.ledger.change("test", now) as change:
        change.put(record)
        change.note("signal.open", key)


def test_a_quiet_project_has_no_alarm_and_a_rollback_that_worked_is_none(own: Lived) -> None:
    found = ControlRoom(own[0], VirtualClock(own[1])).alarms()
    assert (found["alarms"], found["active"], found["unacknowledged"]) == ([], 0, 0)


def test_one_cause_under_a_thousand_areas_is_one_alarm_that_names_the_first(lived: Lived) -> None:
    with Platform.open(lived[0], clock=VirtualClock(lived[1])) as platform:
        record = platform.ledger.find(ForecastRecord, area="F01", order_by="issued_at", descending=True, limit=1)[0]
    now = lived[1]
    facts = AreaFacts(record, False, now - 2 * HOUR, now - 30 * HOUR, (), HOUR, timedelta(0))
    judged = {}
    for k in range(1000):
        mine = replace(facts, data_until=now - timedelta(hours=30 + (k == 500)))
        judged[f"A{k:03d}"] = (mine, opinion(mine, now))
    found = alarms_of(judged, {}, now)
    assert [(alarm.key, alarm.priority, alarm.first, len(alarm.areas)) for alarm in found] == [
        ("old_data", 1, "A500", 1000)
    ]


def test_the_most_urgent_comes_first_and_says_what_to_do(own: Lived) -> None:
    signal(own)
    later = own[1] + timedelta(days=3)
    with Platform.open(own[0], clock=VirtualClock(later)) as platform:
        alarms = alarms_in(platform, judge(platform, Sight(platform), later), later)
    assert [alarm.priority for alarm in alarms] == sorted(alarm.priority for alarm in alarms)
    assert alarms[0].key == "ended"
    assert {"s-1", "ended"} <= {alarm.key for alarm in alarms}
    assert all(alarm.response and alarm.sentence for alarm in alarms)


def test_a_mark_has_a_name_a_reason_and_an_end(own: Lived) -> None:
    signal(own)
    folder, now = own
    room = ControlRoom(folder, VirtualClock(now))
    assert room.overview()["alarms"] == {"active": 1, "unacknowledged": 1}
    with pytest.raises(Refused, match="your roles"):
        room.mark_alarm(EVE, "acknowledge", "s-1", "seen", None)
    assert "acknowledged" in room.mark_alarm(ANN, "acknowledge", "s-1", "seen", None)
    row = room.alarms()["alarms"][0]
    assert (row["mark"]["by"], row["mark"]["kind"], row["mark"]["reason"]) == ("ann", "acknowledge", "seen")
    assert room.overview()["alarms"] == {"active": 1, "unacknowledged": 0}
    assert "shelved" in room.mark_alarm(ANN, "shelve", "s-1", "known", 2.0)
    assert room.overview()["alarms"] == {"active": 0, "unacknowledged": 0}
    for hours, of in ((1.9, 1), (2.0, 0)):
        later = ControlRoom(folder, VirtualClock(now + timedelta(hours=hours))).alarms()
        assert later["shelved"] == of
    with Platform.open(folder) as platform:
        told = [(entry.actor, entry.action) for entry in platform.ledger.entries(subject="s-1")]
    assert told[1:] == [("ann", "alarm.acknowledge"), ("ann", "alarm.shelve")]


def test_an_alarm_that_comes_back_asks_again(own: Lived) -> None:
    signal(own)
    room = ControlRoom(own[0], VirtualClock(own[1]))
    room.mark_alarm(ANN, "acknowledge", "s-1", "seen", None)
    signal(own, since=2 * HOUR)
    assert room.alarms()["unacknowledged"] == 1


def test_a_mark_holds_where_nobody_knows_since_when(own: Lived) -> None:
    folder, now = own
    later = now + timedelta(days=9)  # by then the last load is older than what is looked at
    for moment, waiting in ((later, True), (later + HOUR, False)):
        room = ControlRoom(folder, VirtualClock(moment))
        row = next(row for row in room.alarms()["alarms"] if row["key"] in {"no_data", "old_data"})
        assert (row["mark"] is None) is waiting
        if waiting:
            room.mark_alarm(ANN, "acknowledge", row["key"], "the feed is being moved", None)


@pytest.mark.parametrize("hours", [None, 0.0, -1.0, 73.0, float("nan"), float("inf")])
def test_a_shelf_without_an_end_is_refused(own: Lived, hours: float | None) -> None:
    signal(own)
    room = ControlRoom(own[0], VirtualClock(own[1]))
    with pytest.raises(InvalidInput, match="a shelf ends"):
        room.mark_alarm(ANN, "shelve", "s-1", "known", hours)
    with pytest.raises(InvalidInput, match="no such alarm"):
        room.mark_alarm(ANN, "acknowledge", "s-9", "seen", None)
