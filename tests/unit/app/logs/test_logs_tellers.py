"""What controller and gateway tell their logs: entries of the ledger with ids, routes, what the guard held back."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recloser.app.logs.entries import EntryTeller, told_entry
from recloser.app.logs.gateways import GatewayTeller
from recloser.app.logs.told import Told, level_of
from recloser.ledger import Ledger, RouteRecord
from recloser.serving import Gateway, GuardPolicy, Incident, Route
from recloser.testing.lives import lived_project

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ONE, TWO = "rel-00000000000a", "rel-00000000000b"


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """An embedded ledger with one entry."""
    found = Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}")
    with found.change("test", NOW) as change:
        change.note("freeze.add", "before", {})
    return found


def test_each_entry_from_now_on_is_told_once_with_its_ids(ledger: Ledger) -> None:
    heard: list[str] = []
    teller = EntryTeller(ledger, heard.append)
    teller.tick()
    assert heard == []
    with ledger.change("rollout", NOW) as change:
        facts = {"reason": f"late answers of {ONE}", "moves": [{"to": TWO, "run": "run-00000000000c"}]}
        change.note("rollout.trip", "rollout-00000000000d", facts)
        change.note("rollout.lease", "x", {})
    teller.tick()
    teller.tick()
    assert [str(line) for line in heard] == [
        f"rollout.trip rollout-00000000000d: late answers of {ONE}",
        "rollout.lease x",
    ]
    trip, lease = heard
    assert isinstance(trip, Told)
    assert (level_of(trip), level_of(lease)) == ("warning", "debug")
    assert trip.about["release"] == [TWO]
    assert trip.about["run"] == ["run-00000000000c"]
    assert trip.about["entry"] == ["2"]
    ledger.close()


def test_an_issue_names_the_forecasts_that_were_made(tmp_path: Path) -> None:
    folder, _ = lived_project(tmp_path / "grid")
    with Ledger.open(f"sqlite:///{folder / 'state' / 'ledger.db'}") as ledger:
        heard: list[str] = []
        teller = EntryTeller(ledger, heard.append)
        teller._seen = 0
        teller.tick()
    issues = [line for line in heard if line.startswith("forecast.issue")]
    assert issues
    assert all(isinstance(line, Told) and len(line.about["forecast"]) == 2 for line in issues)


def test_a_long_fact_is_told_in_brief(ledger: Ledger) -> None:
    with ledger.change("test", NOW) as change:
        change.note("days.close", "x", {"areas": ["a" * 30] * 1_000})
    entry = ledger.latest(1)[0]
    assert len(told_entry(entry, [])) < 100
    ledger.close()


def test_a_gateway_tells_a_new_route_once_and_what_its_guard_held_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    gateway = Gateway({}, Route(epoch=1, champion=None, fallback=()), {}, GuardPolicy())
    teller = GatewayTeller(gateway)
    until = NOW + timedelta(hours=1)
    route = RouteRecord("route", 3, ONE, TWO, 0.1, ["F01"], None, [], until, "a canary begins", NOW)
    with caplog.at_level(logging.INFO, "recloser.app.logs.gateways"):
        teller.follows(route)
        teller.follows(replace(route, lease_until=until + timedelta(hours=1)))
        teller.look()
        gateway.tally.add_incidents([Incident("late", "x", NOW, release=TWO)] * 3)
        teller.look()
        teller.look()
    said = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert said == [
        ("INFO", f"follows route epoch 3: champion {ONE}, canary {TWO} for 10 % and 1 pilot areas"),
        ("WARNING", f"the guard held back 3 answers that came too late of {TWO}"),
    ]
