"""Requests in the ledger: written by many at once, bounded, run once, explained; and the people behind the run."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from recloser.app import Platform
from recloser.app.inlets.telling import triggers_document
from recloser.app.loop.control_loop import ControlLoop, LoopOptions
from recloser.app.people.proposers import proposers_of
from recloser.app.requests import MOST, Request, Standing, data_request, put_request, standing_requests
from recloser.cli import main
from recloser.core import LOAD, Unavailable
from recloser.ledger import ReleaseRecord, RunRecord
from recloser.triggers import Trigger, TriggerKind, api_trigger, commit_trigger

NOW = datetime(2020, 4, 28, 7, tzinfo=UTC)
COMMIT = "bffeb74224043ba2feb48d137756c8a9331c449a"


class SetClock:
    """A clock of real operation that stands where it is set."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at


def push(who: str = "ann", commit: str = COMMIT, at: datetime = NOW) -> Request:
    return Request(commit_trigger(commit, at, (who,)), "inlet forge", who, {"ref": "refs/heads/main"})


def test_many_gateways_at_once_write_one_request_with_all_who_asked(grid: Path) -> None:
    found: list[Standing] = []
    begin = threading.Barrier(6)

    def ask(who: str) -> None:
        with Platform.open(grid) as platform:
            begin.wait(60)
            found.append(put_request(platform, push(who)))

    threads = [threading.Thread(target=ask, args=(f"person-{n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert sorted(item.repeated for item in found) == [False] + [True] * 5
    with Platform.open(grid) as platform:
        (standing,) = standing_requests(platform)
        assert sorted(standing.asked_by) == [f"person-{n}" for n in range(6)]
        actions = [e.action for e in platform.ledger.entries() if e.action in {"trigger.request", "trigger.merge"}]
        assert sorted(actions) == ["trigger.merge"] * 5 + ["trigger.request"]
        assert platform.ledger.verify().ok


def test_so_many_may_wait_and_no_more(platform: Platform) -> None:
    now = platform.clock.now()
    for n in range(MOST):
        put_request(platform, push(commit=f"{n:040x}", at=now))
    with pytest.raises(Unavailable, match="too many"):
        put_request(platform, push(commit="f" * 40, at=now))
    assert put_request(platform, push(commit=f"{3:040x}")).repeated  # what waits already is still answered


@pytest.fixture
def standing(grid: Path) -> Any:
    clock = SetClock(NOW)
    with Platform.open(grid, clock=clock) as platform:
        loop = ControlLoop(platform, LoopOptions())
        loop.retraining.tick(clock.at, frozenset())  # watching begins; the first commit seen counts for nothing
        yield clock, platform, loop


def test_a_start_names_who_asked_and_what_its_run_covers(
    standing: Any, grid: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clock, platform, loop = standing
    put_request(platform, push())
    trigger = api_trigger("eve", "new feeder", NOW)
    put_request(platform, Request(trigger, "retrain", "eve"))
    assert [row["code"] for row in triggers_document(platform)["waiting"]] == [None, None]
    assert loop.retraining.tick(clock.at, frozenset()) is True
    (run,) = platform.ledger.find(RunRecord)
    assert (run.trigger, run.state) == ("api", "done")
    (release,) = platform.ledger.find(ReleaseRecord)
    assert set(proposers_of(platform, release.key).strangers) == {"ann", "eve"}
    assert main(["triggers", "--project", str(grid), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["waiting"] == []
    started, covered = sorted(document["decided"], key=lambda row: row["decision"] != "start")
    assert (started["trigger"], started["run"], started["covers"]) == (trigger.key, run.key, [f"commit:{COMMIT}"])
    assert set(started["asked_by"]) == {"ann", "eve"}
    assert (covered["code"], covered["asked_by"]) == ("covered", ["ann"])
    assert any(f"-> {run.key}" in line and "covers commit:" in line for line in document["sentences"])
    assert put_request(platform, push()).repeated  # told again after its run: the same request, and no new run
    assert loop.retraining.tick(clock.at + timedelta(days=20), frozenset()) is False


def test_what_waits_tells_what_is_in_its_way_and_is_given_up_with_a_reason(standing: Any) -> None:
    clock, platform, loop = standing
    put_request(platform, Request(api_trigger("eve", "first", NOW), "retrain", "eve"))
    assert loop.retraining.tick(clock.at, frozenset()) is True
    loop.advance()
    clock.at = NOW + timedelta(days=1)
    put_request(platform, push(at=clock.at))
    assert loop.retraining.tick(clock.at, frozenset()) is False
    (waiting,) = triggers_document(platform)["waiting"]
    assert (waiting["code"], waiting["via"], waiting["asked_by"]) == ("cooldown", "inlet forge", ["ann"])
    assert waiting["why"].startswith("cooling down until 2020-05-12")
    for hour in (2, 30):  # a person's request meets a data fault everywhere, and is given up after a day
        clock.at = NOW + timedelta(days=1, hours=hour)
        if hour == 2:
            put_request(platform, Request(api_trigger("eve", "again", clock.at), "retrain", "eve"))
        assert loop.retraining.tick(clock.at, frozenset(platform.areas)) is False
    codes = [row["code"] for row in triggers_document(platform)["decided"] if row["reason"].endswith("again")]
    assert codes == ["expired", "data_fault"]
    assert [row["trigger"] for row in triggers_document(platform)["waiting"]] == [f"commit:{COMMIT}"]


def test_new_data_ask_once_for_each_run(standing: Any) -> None:
    clock, platform, loop = standing
    triggers = platform.project.triggers.model_copy(update={"new_data_days": 7})
    platform.project = platform.project.model_copy(update={"triggers": triggers})
    assert data_request(platform, clock.at) is None  # nothing was trained yet
    extent = platform.store.extent(LOAD)
    assert extent is not None
    put_request(platform, Request(api_trigger("eve", "first", NOW), "retrain", "eve"))
    clock.at = NOW
    assert loop.retraining.tick(clock.at, frozenset()) is True
    (run,) = platform.ledger.find(RunRecord)
    later = replace(run, parameters={**run.parameters, "as_of": (extent[1] - timedelta(days=8)).isoformat()})
    with platform.ledger.change("test", clock.at) as change:
        change.put(later)
        change.note("test", run.key)
    found = data_request(platform, clock.at + timedelta(days=30))
    assert isinstance(found, Trigger)
    assert (found.kind, found.key, found.asked_by) == (TriggerKind.DATA, f"data:{run.key}", ())
    assert found.reason == f"8 days of new data since {run.key}"
    short = replace(run, parameters={**run.parameters, "as_of": (extent[1] - timedelta(days=6)).isoformat()})
    with platform.ledger.change("test", clock.at) as change:
        change.put(short)
        change.note("test", run.key)
    assert data_request(platform, clock.at + timedelta(days=30)) is None


def test_a_budget_of_nothing_starts_nothing(grid: Path) -> None:
    settings = grid / "recloser.toml"
    text = settings.read_text(encoding="utf-8").replace("[triggers]", "[triggers]\nbudget_per_90_days = 0")
    settings.write_text(text, encoding="utf-8")
    with Platform.open(grid, clock=SetClock(NOW)) as platform:
        put_request(platform, Request(api_trigger("eve", "first", NOW), "retrain", "eve"))
        assert ControlLoop(platform, LoopOptions()).retraining.tick(NOW, frozenset()) is False
        (waiting,) = triggers_document(platform)["waiting"]
        assert (waiting["code"], waiting["why"]) == ("disabled", "api triggers are switched off")
