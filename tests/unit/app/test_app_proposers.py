"""Who stands behind a release is known in every way it comes into being, and one person alone promotes nothing."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recloser.app import Platform, ask_to_retrain
from recloser.app.loop.control_loop import ControlLoop, LoopOptions
from recloser.app.loop.retraining import RunOrder
from recloser.app.people.proposers import proposers_of
from recloser.app.project.settings import parse_project
from recloser.cli import main
from recloser.core import InvalidInput, VirtualClock
from recloser.ledger import RolloutRecord, RouteRecord, RunRecord, VerdictRecord
from recloser.rollout import Proposers, Rollout

NOW = datetime(2020, 4, 30, 7, tzinfo=UTC)
APPROVAL = """
[rollout.approval]
before = ["promotion"]
people = {people}
roles = {{ lead = ["ann", "ben"] }}
override = ["lead"]
known_as = {{ ann = ["Ann Smith <ann@example.org>"], eve = ["eve@example.org"] }}
"""
HEAD = '[project]\nareas = ["N", "S"]\ntime_zone = "UTC"\n[rollout.approval]\n'


class StandingClock:
    """A clock of real operation that stands still."""

    def now(self) -> datetime:
        return NOW


def asks(project: Path, people: int) -> Path:
    settings = project / "recloser.toml"
    settings.write_text(settings.read_text(encoding="utf-8") + APPROVAL.format(people=people), encoding="utf-8")
    return project


def call(capsys: pytest.CaptureFixture[str], project: Path, *words: str) -> tuple[int, dict]:
    code = main([*words, "--project", str(project), "--json"])
    return code, json.loads(capsys.readouterr().out)


def look(project: Path) -> tuple[Rollout, RouteRecord | None]:
    with Platform.open(project) as platform:
        (record,) = platform.ledger.find(RolloutRecord, finished_at=None)
        return Rollout.from_record(record), platform.ledger.get(RouteRecord, "route")


def tick(project: Path) -> Rollout:
    """Let the rollout go on in the time of its data; what people said is judged by the clock."""
    with Platform.open(project) as platform:
        platform.clock = VirtualClock(NOW)
        ControlLoop(platform, LoopOptions()).advance()
    return look(project)[0]


def test_who_runs_at_the_command_line_cannot_promote_what_comes_of_it(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asks(project, people=1)
    code, made = call(capsys, project, "run", "--actor", "Ann")
    assert (code, made["verdict"]) == (0, "pass")
    rollout, route = look(project)
    assert (str(rollout.state), rollout.proposers, route) == ("awaiting_approval", Proposers(("ann",)), None)
    release = made["candidate"]
    for name in ("ann", "ANN", " Ann ", "ann@example.org"):
        code, refused = call(capsys, project, "approve", release, "--as", name, "--reason", "mine")
        assert (code, refused["what"]) == (1, "who proposed a release cannot approve it"), name
        code, refused = call(capsys, project, "override", release, "--as", name, "--reason", "mine")
        assert (code, refused["what"]) == (1, "who proposed a release cannot approve it"), name
    call(capsys, project, "hold", release, "--as", "ann", "--reason", "round about")
    call(capsys, project, "resume", release, "--as", "ann", "--reason", "round about")
    assert call(capsys, project, "run", "--actor", "ann")[1] == made  # asked for again: the same run, the same rollout
    assert (str(tick(project).state), look(project)[1]) == ("awaiting_approval", None)
    call(capsys, project, "reject", release, "--as", "ben", "--reason", "not now")
    call(capsys, project, "run", "--actor", "eve")  # submitted anew by somebody else: ann stays a proposer
    rollout, route = look(project)
    assert (rollout.proposers.known, route) == (("eve", "ann"), None)
    assert call(capsys, project, "approve", release, "--as", "ann", "--reason", "mine")[0] == 1
    assert call(capsys, project, "approve", release, "--as", "ben", "--reason", "looked")[0] == 0
    assert str(tick(project).state) == "champion"
    assert "approved by ben" in look(project)[0].reason


def test_a_stranger_may_be_any_approver_so_that_two_must_say_yes(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asks(project, people=1)
    release = call(capsys, project, "run")[1]["candidate"]
    assert look(project)[0].proposers == Proposers((), ("operator",))
    for name in ("ann", "Ann"):  # twice is once
        assert call(capsys, project, "approve", release, "--as", name, "--reason", "looked")[0] == 0
    assert str(tick(project).state) == "awaiting_approval"
    _, told = call(capsys, project, "rollout", "explain", release)
    assert "1 of 2 people have approved: ann (two, because operator may be one of them)" in told["approval"]["missing"]
    assert call(capsys, project, "approve", release, "--as", "ben", "--reason", "looked")[0] == 0
    assert str(tick(project).state) == "champion"


def test_an_override_is_one_yes_and_asks_the_others(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asks(project, people=2)
    release = call(capsys, project, "run", "--actor", "eve")[1]["candidate"]
    code, done = call(capsys, project, "override", release, "--as", "ann", "--reason", "the champion is down")
    assert (code, done["state"]) == (0, "awaiting_approval")
    assert str(tick(project).state) == "awaiting_approval"
    _, told = call(capsys, project, "rollout", "explain", release)
    assert [row["name"] for row in told["approval"]["given"]] == ["ann"]
    assert call(capsys, project, "override", release, "--as", "ann", "--reason", "again")[1]["state"] != "champion"
    code, done = call(capsys, project, "override", release, "--as", "ben", "--reason", "I see it too")
    assert (code, done["state"]) == (0, "champion")
    with Platform.open(project) as platform:
        assert platform.ledger.verify().ok


def test_who_waives_a_check_is_a_proposer(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = asks(project, people=1) / "recloser.toml"
    text = settings.read_text(encoding="utf-8")
    strict = "[staging]\nmaximum_coverage80 = 70.0\nminimum_coverage80 = 69.0\n"
    settings.write_text(text.replace("[staging]\n", strict, 1), encoding="utf-8")
    code, refused = call(capsys, project, "run", "--actor", "eve")
    assert code == 1
    waiver = ["--check", "coverage", "--reason", "a test", "--expires", "2199-01-01"]
    code, _ = call(capsys, project, "gate", "waive", refused["candidate"], *waiver, "--name", "Ann")
    assert code == 0
    rollout, route = look(project)
    assert (sorted(rollout.proposers.known), route) == (["ann", "eve"], None)
    code, told = call(capsys, project, "approve", refused["candidate"], "--as", "ann", "--reason", "my waiver")
    assert (code, told["what"]) == (1, "who proposed a release cannot approve it")
    with Platform.open(project) as platform:  # given while the rollout is under way: by the ledger, at every look
        (verdict,) = platform.ledger.find(VerdictRecord)
        assert verdict.verdict == "pass"
    call(capsys, project, "gate", "waive", refused["candidate"], *waiver, "--name", "ben")
    code, told = call(capsys, project, "approve", refused["candidate"], "--as", "ben", "--reason", "my waiver")
    assert (code, told["what"]) == (1, "who proposed a release cannot approve it")


def test_a_waiver_that_expires_holds_the_rollout_until_it_is_renewed(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    strict = "[staging]\nmaximum_coverage80 = 70.0\nminimum_coverage80 = 69.0\n"
    settings = asks(project, people=1) / "recloser.toml"
    settings.write_text(settings.read_text(encoding="utf-8").replace("[staging]\n", strict, 1), encoding="utf-8")
    release = call(capsys, project, "run", "--actor", "eve")[1]["candidate"]
    waive = ["gate", "waive", release, "--check", "coverage", "--name", "eve", "--reason", "a test", "--expires"]
    assert call(capsys, project, *waive, "2100-01-01")[0] == 0
    assert call(capsys, project, "approve", release, "--as", "ann", "--reason", "looked")[0] == 0
    with Platform.open(project) as platform:
        platform.clock, platform.wall = VirtualClock(NOW), VirtualClock(datetime(2100, 1, 1, tzinfo=UTC))
        loop = ControlLoop(platform, LoopOptions())
        outcome = loop.controller.tick(loop.evidence)
        assert outcome.action is not None
        assert (str(outcome.action.state), outcome.writes) == ("awaiting_approval", None)
        lapsed = "the staging gate no longer passes it: the waiver of coverage by eve expired 2100-01-01T00:00:00Z"
        assert outcome.action.reason == lapsed
    call(capsys, project, *waive, "2150-01-01")
    with Platform.open(project) as platform:  # renewed: the yes counts still, unless it has expired itself
        platform.clock, platform.wall = VirtualClock(NOW), VirtualClock(datetime(2100, 1, 1, tzinfo=UTC))
        loop = ControlLoop(platform, LoopOptions())
        outcome = loop.controller.tick(loop.evidence)
        assert outcome.action is not None
        assert "expired: ann" in outcome.action.reason
    assert str(tick(project).state) == "champion"
    with Platform.open(
        project
    ) as platform:  # it serves; what it rests on has expired again: it is stopped all the same
        platform.wall = VirtualClock(datetime(2160, 1, 1, tzinfo=UTC))
        loop = ControlLoop(platform, LoopOptions())
        outcome = loop.controller.rollback(reason="odd", actor="ben")
        assert outcome.action is not None
        assert str(outcome.action.state) == "rolled_back"


def test_who_asks_by_the_interface_is_a_proposer(project: Path) -> None:
    asks(project, people=1)
    ask_to_retrain(project, reason="new feeder", actor="BEN")
    with Platform.open(project) as platform:
        loop = ControlLoop(platform, LoopOptions())
        assert loop.retraining.tick(NOW, frozenset()) is True
        (run,) = platform.ledger.find(RunRecord)
        assert proposers_of(platform, run.candidate) == Proposers(("ben",))
    assert tick(project).proposers == Proposers(("ben",))


def git(folder: Path, *words: str, author: str = "T <t@example.org>") -> None:
    name, _, address = author.removesuffix(">").partition(" <")
    config = ("-c", f"user.name={name}", "-c", f"user.email={address}", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", str(folder), *config, *words], check=True, capture_output=True)


def commit(folder: Path, text: str, author: str) -> None:
    (folder / "note.txt").write_text(text, encoding="utf-8")
    git(folder, "add", "note.txt", author=author)
    git(folder, "commit", "-q", "-m", text, author=author)


def test_authors_of_all_commits_since_the_last_run_are_proposers(project: Path) -> None:
    asks(project, people=1)
    git(project, "init", "-q")
    commit(project, "one", "First <first@example.org>")
    with Platform.open(project, clock=StandingClock()) as platform:
        loop = ControlLoop(platform, LoopOptions())
        assert loop.retraining.tick(NOW, frozenset()) is False
        commit(project, "two", "Anything <Ann@example.org>")
        commit(project, "three\n\nCo-authored-by: New Hand <new@example.org>", "Eve <eve@example.org>")
        assert loop.retraining.tick(NOW, frozenset()) is True
        (run,) = platform.ledger.find(RunRecord)
        found = proposers_of(platform, run.candidate)
    assert (sorted(found.known), found.strangers) == (["ann", "eve"], ("New Hand <new@example.org>",))


def test_a_process_killed_before_the_rollout_forgets_nobody(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asks(project, people=1)
    with Platform.open(project, clock=VirtualClock(NOW)) as platform:
        loop = ControlLoop(platform, LoopOptions())
        loop.retraining.submit = lambda *_: None  # type: ignore[method-assign] - as if it ended right here
        loop.retraining.run(RunOrder("run-1", NOW, "api", "recloser run", {}), "ann")
    with Platform.open(project, clock=VirtualClock(NOW + timedelta(minutes=1))) as platform:
        assert ControlLoop(platform, LoopOptions()).retraining.tick(NOW, frozenset()) is True
    assert look(project)[0].proposers == Proposers(("ann",))
    del capsys


@pytest.mark.parametrize(
    "wrong",
    [
        'roles = { lead = ["ann", "Ann"] }',
        'roles = { lead = ["ann"], owner = ["ANN "] }',
        'roles = { lead = ["ann", "ben"] }\nknown_as = { ann = ["ben"] }',
        'roles = { lead = ["ann"] }\nknown_as = { ann = ["x@y.org"], bob = ["X@Y.org"] }',
        'roles = { lead = ["ann", " "] }',
    ],
)
def test_one_person_under_two_names_is_refused(wrong: str) -> None:
    with pytest.raises(InvalidInput, match="two spellings of one"):
        parse_project(HEAD + wrong + "\n", "x")


def test_names_are_read_as_people_write_them() -> None:
    text = 'roles = { lead = ["ann"] }\nknown_as = { ann = ["ann@example.org"], bob = [] }\n'
    approval = parse_project(HEAD + text, "x").rollout.approval
    assert [approval.person(n) for n in ("ANN", "A <ann@Example.org>", "Bob", "bob@x.org")] == [
        "ann",
        "ann",
        "bob",
        None,
    ]
    assert approval.roles_of(" Ann ") == ("lead",)
    assert replace(Proposers(("ann",))).bar("ann")
