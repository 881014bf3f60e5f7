"""People and a project: roles of the project file, freezes declared and recurring, what status and explain show."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from recloser.app import Platform
from recloser.app.loop.control_loop import ControlLoop, LoopOptions
from recloser.app.project.settings import parse_project
from recloser.cli import main
from recloser.core import InvalidInput
from recloser.core.cron import Cron
from recloser.ledger import ActRecord, ReleaseRecord, RolloutRecord
from recloser.rollout import CanaryStep

APPROVAL = """
[rollout.approval]
before = ["traffic"]
roles = { lead = ["ann"], owner = ["ben"] }
required = ["lead"]
"""
FREEZE = """
[[rollout.freeze]]
reason = "peak"
begins = "0 16 * 11-12 1-5"
lasts_hours = 5
time_zone = "Europe/Amsterdam"
"""
HEAD = '[project]\nareas = ["N", "S"]\ntime_zone = "UTC"\n'


def run(capsys: pytest.CaptureFixture[str], project: Path, *words: str) -> tuple[int, dict]:
    code = main([*words, "--project", str(project), "--json"])
    return code, json.loads(capsys.readouterr().out)


def queue_release(project: Path, name: str = "rel-000000000001") -> None:
    with Platform.open(project) as platform:
        now = platform.clock.now()
        loop = ControlLoop(platform, LoopOptions())
        with platform.ledger.change("staging", now) as change:
            change.add(ReleaseRecord(name, "d", "p", "run-1", now, "accepted", None, {"scales": {"paired_sd": 0.1}}))
            change.note("release.accept", name)
        loop.retraining.submit(name, "passed")


def test_only_people_with_a_role_approve_and_only_what_is_asked(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (project / "recloser.toml").read_text(encoding="utf-8")
    (project / "recloser.toml").write_text(text + APPROVAL, encoding="utf-8")
    queue_release(project)
    with Platform.open(project) as platform:
        (record,) = platform.ledger.find(RolloutRecord)
        assert (record.plan["approve_before"], record.plan["approver_roles"]) == (["traffic"], ["lead"])
    who = ("rel-000000000001", "--reason", "checked")
    code, error = run(capsys, project, "approve", *who, "--as", "anne")
    assert (code, error["next_step"]) == (2, "Did you mean 'ann'?")
    assert run(capsys, project, "approve", "rel-0", "--as", "ann", "--reason", "x")[0] == 2
    code, error = run(capsys, project, "approve", *who, "--as", "ann")
    assert (code, error["what"]) == (1, "this rollout does not await approval")
    code, error = run(capsys, project, "override", *who, "--as", "ann")
    assert (code, error["what"]) == (1, "not a person who may override")
    assert run(capsys, project, "hold", *who, "--as", "anybody")[1]["state"] == "held"
    assert run(capsys, project, "resume", *who, "--as", "anybody")[1]["state"] == "queued"
    assert run(capsys, project, "reject", *who, "--as", "anybody")[0] == 2
    assert run(capsys, project, "reject", *who, "--as", "ben")[1]["state"] == "aborted"
    _, status = run(capsys, project, "status")
    assert status["agreement"]["by_kind"] == {"hold": 1, "reject": 1, "resume": 1}
    assert (status["agreement"]["against"], status["agreement"]["share"]) == (1, 0.0)
    with Platform.open(project) as platform:
        assert len(platform.ledger.find(ActRecord)) == 3
        assert platform.ledger.verify().ok


def test_a_freeze_is_declared_shown_and_lifted(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    queue_release(project)
    code, added = run(capsys, project, "freeze", "add", "--reason", "storm", "--actor", "ann")
    assert (code, added["to"]) == (0, None)
    assert run(capsys, project, "freeze", "add", "--to", "2020-01-01", "--reason", "over")[0] == 2
    _, status = run(capsys, project, "status")
    assert [row["reason"] for row in status["freezes"]] == ["storm"]
    assert any("frozen until it is lifted: storm" in line for line in status["sentences"])
    _, told = run(capsys, project, "rollout", "explain", "rel-000000000001")
    assert told["freeze"] == "storm (until it is lifted)"
    assert told["would_advance"][0] == "promotions are frozen: storm (until it is lifted)"
    _, listed = run(capsys, project, "freeze", "list")
    assert [row["freeze"] for row in listed["declared"]] == [added["freeze"]]
    assert run(capsys, project, "freeze", "lift", added["freeze"], "--reason", "over")[0] == 0
    assert run(capsys, project, "freeze", "lift", added["freeze"], "--reason", "over")[0] == 1
    assert run(capsys, project, "freeze", "lift", "freeze-0", "--reason", "over")[0] == 2
    assert run(capsys, project, "freeze", "list")[1] == {"in_force": [], "declared": [], "recurring": []}


def test_a_freeze_of_today_holds_what_is_made_of_older_data_and_no_rollback(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The data ends years ago; the freeze is of now: it holds the deployment of what `run` makes."""
    _, storm = run(capsys, project, "freeze", "add", "--reason", "storm")
    code, made = run(capsys, project, "run")
    assert (code, made["verdict"]) == (0, "pass")  # trained and judged all the same
    _, told = run(capsys, project, "rollout", "explain", made["candidate"])
    assert (told["state"], told["would_advance"]) == ("queued", ["promotions are frozen: storm (until it is lifted)"])
    assert run(capsys, project, "status")[1]["route"] is None
    run(capsys, project, "freeze", "lift", storm["freeze"], "--reason", "it is over")
    run(capsys, project, "run")
    assert run(capsys, project, "status")[1]["route"]["champion"] == made["candidate"]
    run(capsys, project, "freeze", "add", "--reason", "peak", "--to", "2199-01-01")
    code, back = run(capsys, project, "rollback", "--reason", "looks wrong")
    assert (code, back["from"], back["to"]) == (0, made["candidate"], None)


def test_a_cohort_is_a_wave_of_its_own() -> None:
    steps = '[rollout]\ncanary_steps = [["pilot", 3], [0.25, 7]]\n'
    plan = parse_project(HEAD + steps + 'cohorts = { pilot = ["N"] }\n', "x").rollout.plan()
    assert plan.steps == (CanaryStep(0.0, 3, ("N",)), CanaryStep(0.25, 7))
    for wrong in (steps, steps + 'cohorts = { pilot = ["X"] }\n'):
        with pytest.raises(InvalidInput):
            parse_project(HEAD + wrong, "x")


@pytest.mark.parametrize(
    "wrong",
    [
        '[rollout.approval]\nbefore = ["promotion"]\n',
        '[rollout.approval]\nrequired = ["lead"]\n',
        '[rollout.approval]\nbefore = ["promotions"]\n',
        FREEZE.replace("0 16", "0 24"),
        FREEZE.replace("Amsterdam", "Atlantis"),
        FREEZE.replace("= 5", "= 0"),
    ],
)
def test_approvals_nobody_could_give_and_freezes_that_never_come_are_refused(wrong: str) -> None:
    with pytest.raises(InvalidInput):
        parse_project(HEAD + wrong, "x")


def test_a_recurring_freeze_follows_the_local_clock() -> None:
    window = parse_project(HEAD + FREEZE, "x").rollout.freeze[0].window()
    inside = datetime(2026, 11, 26, 15, 0, tzinfo=UTC)  # a Thursday, 16:00 in Amsterdam
    lasts = timedelta(hours=5)
    assert window.begins.latest(inside, lasts) == inside
    assert window.begins.latest(inside - timedelta(seconds=1), lasts) is None
    assert window.begins.latest(inside + lasts - timedelta(seconds=1), lasts) == inside
    assert window.begins.latest(inside + lasts, lasts) is None
    assert window.begins.latest(inside + timedelta(days=2), lasts) is None  # Saturday


def test_cron_reads_lists_ranges_steps_and_takes_each_clock_change_once() -> None:
    zone, week = ZoneInfo("Europe/Amsterdam"), timedelta(days=7)
    cron = Cron.parse("*/30 2,14-15 * 3,10 7", zone)
    assert (cron.minutes, cron.hours, cron.weekdays) == ({0, 30}, {2, 14, 15}, {0})
    skipped = Cron.parse("30 2 * * 0", zone).latest(datetime(2026, 3, 29, 12, tzinfo=UTC), week)
    assert skipped == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
    twice = Cron.parse("30 2 * * 0", zone).latest(datetime(2026, 10, 25, 12, tzinfo=UTC), week)
    assert twice == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    for wrong in ("", "* * * *", "60 * * * *", "5-1 * * * *", "*/0 * * * *", "a * * * *"):
        with pytest.raises(InvalidInput):
            Cron.parse(wrong, zone)
