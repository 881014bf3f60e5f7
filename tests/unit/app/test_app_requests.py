"""Requests to retrain: asked for once, answered once, by a person or by a new commit of the project's code."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recloser.app import Platform, ask_to_retrain
from recloser.app.loop.control_loop import ControlLoop, LoopOptions
from recloser.app.requests import commit_request, standing_requests
from recloser.cli import main
from recloser.core import InvalidInput, VirtualClock
from recloser.ledger import RunRecord, TriggerRecord

NOW = datetime(2020, 4, 30, 7, tzinfo=UTC)


class StandingClock:
    """A clock of real operation that stands still."""

    def now(self) -> datetime:
        return NOW


def git(folder: Path, *words: str) -> None:
    name = ("-c", "user.name=T", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", str(folder), *name, *words], check=True, capture_output=True)


def commit(folder: Path, text: str) -> None:
    (folder / "note.txt").write_text(text, encoding="utf-8")
    git(folder, "add", "note.txt")
    git(folder, "commit", "-q", "-m", text)


def test_a_request_starts_one_run_and_is_then_answered(project: Path) -> None:
    with Platform.open(project, clock=StandingClock()) as platform:
        loop = ControlLoop(platform, LoopOptions())
        assert loop.retraining.tick(NOW, frozenset()) is False
        assert standing_requests(platform) == []
    asked = ask_to_retrain(project, reason="new feeder", actor="ann")
    with Platform.open(project) as platform:
        (waiting,) = standing_requests(platform)
        assert (waiting.key, waiting.reason) == (asked["trigger"], "asked for by ann: new feeder")
        loop = ControlLoop(platform, LoopOptions())
        assert loop.retraining.tick(NOW, frozenset()) is True
        assert standing_requests(platform) == []
        (run,) = platform.ledger.find(RunRecord)
        assert (run.trigger, run.state) == ("api", "done")
        assert loop.retraining.tick(NOW, frozenset()) is False
        assert len(platform.ledger.find(RunRecord)) == 1
        assert platform.ledger.verify().ok


def test_the_verb_says_what_it_did_and_refuses_an_empty_reason(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["retrain", "--reason", "storm damage", "--actor", "ann", "--project", str(project), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["actor"] == "ann"
    assert document["trigger"].startswith("api:")
    assert main(["retrain", "--reason", " ", "--project", str(project)]) == 2
    with pytest.raises(InvalidInput):
        ask_to_retrain(project / "nothing", reason="x", actor="ann")


def test_a_new_commit_asks_for_a_run_once_and_the_first_one_seen_does_not(project: Path) -> None:
    git(project, "init", "-q")
    commit(project, "one")
    with Platform.open(project, clock=StandingClock()) as platform:
        assert commit_request(platform, NOW) is None
        assert commit_request(platform, NOW) is None
        (project / "note.txt").write_text("not committed", encoding="utf-8")
        assert commit_request(platform, NOW) is None
        commit(project, "two")
        trigger = commit_request(platform, NOW)
        assert trigger is not None
        assert trigger.key.startswith("commit:")
        loop = ControlLoop(platform, LoopOptions())
        assert loop.retraining.tick(NOW, frozenset()) is True
        assert commit_request(platform, NOW) is None
        (started,) = platform.ledger.find(TriggerRecord, decision="start")
        assert (started.kind, started.key) == ("commit", f"{trigger.key}/started")


def test_without_a_repository_nothing_is_asked(project: Path) -> None:
    with Platform.open(project, clock=StandingClock()) as platform:
        assert commit_request(platform, NOW) is None


def test_a_due_date_that_falls_into_a_restart_is_not_lost(project: Path) -> None:
    assert 'schedule = "monthly"' in (project / "recloser.toml").read_text(encoding="utf-8")
    before, after = NOW - timedelta(days=3), NOW + timedelta(days=2)  # the first of May lies between
    for now, due in ((before, False), (after, True), (after + timedelta(hours=1), False)):
        with Platform.open(project, clock=VirtualClock(now)) as platform:
            loop = ControlLoop(platform, LoopOptions())
            assert loop.retraining.tick(now, frozenset()) is due
    with Platform.open(project) as platform:
        assert [run.trigger for run in platform.ledger.find(RunRecord)] == ["schedule"]
