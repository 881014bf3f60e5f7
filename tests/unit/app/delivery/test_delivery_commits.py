"""Forges show how a commit's run and rollout stand: said to a real HTTP server that checks what it is sent."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from recloser.app import Platform
from recloser.app.delivery.commits.courier import StatusCourier
from recloser.app.delivery.commits.forge import Forge
from recloser.app.delivery.commits.opening import Wanted, forge_document, forges_of
from recloser.app.delivery.commits.states import LONGEST, CommitStatus, Mark, statuses_of
from recloser.app.delivery.telling import check_delivery
from recloser.app.delivery.thread import delivering
from recloser.app.project.settings import parse_project
from recloser.app.verbs import status_document
from recloser.core import InvalidInput, Refused, Unavailable, VirtualClock
from recloser.ledger import DeliveryRecord, Ledger, RolloutRecord, RunRecord, TriggerRecord, VerdictRecord
from recloser.rollout import RolloutState

NOW = datetime(2024, 3, 1, 9, tzinfo=UTC)
SHA = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "a-token-of-the-forge"
PATHS = {
    "github": rf"/repos/org/grid/statuses/{SHA}",
    "gitea": rf"/api/v1/repos/org/grid/statuses/{SHA}",
    "gitlab": rf"/api/v4/projects/org%2Fgrid/statuses/{SHA}",
}
TOKENS = {
    "github": ("authorization", f"Bearer {TOKEN}"),
    "gitea": ("authorization", f"token {TOKEN}"),
    "gitlab": ("private-token", TOKEN),
}
KEYS = {"github": "context", "gitea": "context", "gitlab": "name"}
WORDS = {
    "github": {"error", "failure", "pending", "success"},
    "gitea": {"error", "failure", "pending", "success", "warning"},
    "gitlab": {"pending", "running", "success", "failed", "canceled", "skipped"},
}


class ForgeServer(HTTPServer):
    """Answers as GitHub, GitLab and Gitea do, and fails on demand; keeps what it shows by context."""

    def __init__(self, kind: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.kind, self.known = kind, {SHA}
        self.failing: tuple[int, dict[str, Any]] | None = None
        self.shown: dict[str, tuple[str, str]] = {}
        self.asked = 0
        self.arrived = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def judged(self, path: str, headers: dict[str, str], body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self.asked += 1
        if self.failing is not None:
            return self.failing
        header, token = TOKENS[self.kind]
        if headers.get(header) != token:
            return 401, {"message": "Bad credentials"}
        if self.kind == "github" and not ("user-agent" in headers and "github" in headers.get("accept", "")):
            return 403, {"message": "Request forbidden by administrative rules"}
        commit = path.rpartition("/")[2]
        if commit not in self.known:
            text = {"github": f"No commit found for SHA: {commit}", "gitlab": "404 Commit Not Found"}
            return (422 if self.kind == "github" else 404), {"message": text.get(self.kind, "object does not exist")}
        if not re.fullmatch(PATHS[self.kind], path):
            return 404, {"message": "Not Found"}
        called, state, said = body[KEYS[self.kind]], body["state"], body["description"]
        if state not in WORDS[self.kind] or not 0 < len(said) <= 140 or not body["target_url"].startswith("https://"):
            return 422, {"message": "Validation Failed"}
        if self.kind == "gitlab" and self.shown.get(called, ("", ""))[0] == state:
            return 400, {"message": f"Cannot transition status via :run from :{state}"}
        self.shown[called] = (state, said)
        return 201, {"id": 1}


class Handler(BaseHTTPRequestHandler):
    server: ForgeServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        headers = {key.lower(): item for key, item in self.headers.items()}
        code, answer = self.server.judged(self.path, headers, body)
        self.send_response(code)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())
        self.server.arrived.set()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(params=["github", "gitlab", "gitea"])
def server(request: pytest.FixtureRequest) -> Iterator[ForgeServer]:
    with ForgeServer(request.param) as opened:
        thread = threading.Thread(target=opened.serve_forever, args=(0.01,))
        thread.start()
        yield opened
        opened.shutdown()
        thread.join()


@pytest.fixture
def forge(server: ForgeServer, tmp_path: Path) -> Forge:
    (tmp_path / "forge.token").write_text(TOKEN + "\n", encoding="utf-8")
    place = (server.url, "org/grid", tmp_path / "forge.token")
    return Forge("forge", server.kind, *place, console="https://console.example/")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(f"sqlite:///{tmp_path}/statuses.db") as opened:
        yield opened


def status(mark: Mark = Mark.PENDING, said: str = "rel-1 shadow: begun", at: datetime = NOW) -> CommitStatus:
    return CommitStatus(SHA, "rollout", mark, said, "rel-1", at)


class Said:
    """What the ledger wants; set by a test."""

    def __init__(self, *statuses: CommitStatus) -> None:
        self.statuses: Sequence[CommitStatus] = statuses

    def __call__(self) -> Sequence[CommitStatus]:
        return self.statuses


def test_a_status_is_shown_once_and_again_when_it_changes(ledger: Ledger, server: ForgeServer, forge: Forge) -> None:
    said = Said(status())
    courier = StatusCourier(ledger, forge, said, VirtualClock(NOW))
    assert (courier.tick(), courier.tick()) == (1, 0)
    said.statuses = [status(said="rel-1 canary: next step")]
    assert (courier.tick(), courier.tick()) == (1, 0)  # GitLab refuses the same state again: it has it
    said.statuses = [status(Mark.SUCCESS, "rel-1 champion: promoted")]
    assert (courier.tick(), courier.tick()) == (1, 0)
    assert server.shown["recloser/rollout"][0] == "success"
    assert server.asked == 3
    assert StatusCourier(ledger, forge, said, VirtualClock(NOW)).tick() == 0  # a new process knows what was shown
    assert [entry.action for entry in ledger.entries(subject=SHA)] == 3 * ["status.delivered"]


def test_while_the_forge_is_away_waits_grow_and_then_it_is_told_how_it_stands_now(
    ledger: Ledger, server: ForgeServer, forge: Forge
) -> None:
    said, clock = Said(status()), VirtualClock(NOW)
    courier = StatusCourier(ledger, forge, said, clock)
    server.failing = (503, {"message": "down"})
    for second in range(8):
        clock.advance_to(NOW + timedelta(seconds=second))
        courier.tick()
    assert server.asked == 4  # at 0, 1, 3 and 7 seconds
    said.statuses = [status(Mark.FAILURE, "rel-1 tripped: limits")]
    server.failing = None
    clock.advance_to(NOW + timedelta(minutes=1))
    assert courier.tick() == 1
    assert server.shown["recloser/rollout"][1] == "rel-1 tripped: limits"
    assert server.asked == 5  # what was overtaken is not told
    assert [record.state for record in ledger.find(DeliveryRecord)] == ["delivered"]


@pytest.mark.parametrize("code", [401, 403, 429, 500, 502, 503])
def test_what_the_forge_cannot_do_now_keeps_all_waiting(server: ForgeServer, forge: Forge, code: int) -> None:
    server.failing = (code, {"message": "API rate limit exceeded"})
    with pytest.raises(Unavailable, match="takes no statuses"):
        forge.send(status())


def test_a_commit_that_the_forge_does_not_have_holds_up_no_other(
    ledger: Ledger, server: ForgeServer, forge: Forge
) -> None:
    stranger = replace(status(at=NOW - timedelta(hours=1)), commit="f" * 40)
    clock = VirtualClock(NOW)
    courier = StatusCourier(ledger, forge, Said(stranger, status()), clock)
    with pytest.raises(Refused):
        forge.send(stranger)
    assert courier.tick() == 1
    assert list(server.shown) == ["recloser/rollout"]
    clock.advance_to(NOW + timedelta(days=8))
    courier.tick()
    states = {record.key.partition("/")[0]: record.state for record in ledger.find(DeliveryRecord)}
    assert states == {"f" * 40: "given_up", SHA: "delivered"}
    before = server.asked
    clock.advance_to(NOW + timedelta(days=9))
    assert courier.tick() == 0
    assert server.asked == before


def test_a_wrong_token_and_a_missing_one_are_told_and_no_token_is_kept(
    ledger: Ledger, server: ForgeServer, forge: Forge
) -> None:
    forge.token_file.write_text("another", encoding="utf-8")
    with pytest.raises(Unavailable, match="takes no statuses"):
        forge.send(status())
    forge.token_file.unlink()
    courier = StatusCourier(ledger, forge, Said(status()), VirtualClock(NOW))
    assert courier.tick() == 0
    (record,) = ledger.find(DeliveryRecord)
    assert "a secret cannot be read" in str(record.error)
    forge.token_file.write_text(TOKEN, encoding="utf-8")
    assert StatusCourier(ledger, forge, Said(status()), VirtualClock(NOW)).tick() == 1
    told = json.dumps([entry.facts for entry in ledger.entries()])
    assert TOKEN not in told
    assert server.shown


def run(
    key: str, at: datetime, trigger: str = "commit", state: str = "done", release: str | None = "rel-1"
) -> RunRecord:
    ended = None if state == "running" else at + timedelta(minutes=5)
    return RunRecord(key, trigger, "pushed", at, state, at, ended, release, None, {})


def verdict(word: str, reason: str = "all 30 checks passed") -> VerdictRecord:
    return VerdictRecord("verdict-rel-1", "rel-1", NOW, word, reason, [], "d")


def rollout(state: str, share: float = 0.0) -> RolloutRecord:
    return RolloutRecord("ro-1", "rel-1", "rel-0", state, NOW, NOW, None, share, "because " * 40, {}, {})


@pytest.mark.parametrize("state", list(RolloutState))
def test_every_state_of_a_rollout_has_a_mark_that_fits(state: RolloutState) -> None:
    commits = {"run-1": [SHA]}
    found = statuses_of([run("run-1", NOW)], commits, {"rel-1": verdict("pass")}, {"rel-1": rollout(state, 0.25)})
    told = {item.context: item for item in found}
    assert told["gate"].mark is Mark.SUCCESS
    wanted = {"champion": "success", "retired": "success", "tripped": "failure", "rolled_back": "failure"}
    assert told["rollout"].mark == {**wanted, "aborted": "failure"}.get(state, "pending")
    assert len(told["rollout"].description) <= LONGEST
    assert told["rollout"].description.startswith(f"rel-1 {'champion' if state == 'retired' else state[:4]}")


def test_the_gate_has_a_mark_for_every_end_of_a_run() -> None:
    def gate(record: RunRecord, *verdicts: VerdictRecord) -> CommitStatus:
        (found,) = statuses_of([record], {record.key: [SHA]}, {v.release: v for v in verdicts}, {})
        return found

    assert gate(run("run-1", NOW, state="running", release=None)).mark is Mark.PENDING
    assert gate(run("run-1", NOW, state="failed", release=None)).mark is Mark.ERROR
    assert gate(run("run-1", NOW), verdict("pass")).mark is Mark.SUCCESS
    refused = gate(run("run-1", NOW), verdict("refuse", "coverage: 40 % of the truth lies in the band"))
    assert (refused.mark, refused.description[:40]) == (Mark.FAILURE, "rel-1 refused: coverage: 40 % of the tru")
    assert gate(run("run-1", NOW), verdict("hold")).mark is Mark.FAILURE  # not enough evidence is no pass


def test_the_newest_run_speaks_for_a_commit_and_a_schedule_for_none() -> None:
    runs = [run("run-2", NOW + timedelta(days=1), release=None, state="running"), run("run-1", NOW)]
    commits = {"run-1": [SHA], "run-2": [SHA], "run-3": [SHA]}
    known = ({"rel-1": verdict("pass")}, {"rel-1": rollout("shadow")})
    (only,) = statuses_of(runs, commits, *known)
    assert (only.context, only.mark) == ("gate", Mark.PENDING)
    for trigger in ("schedule", "drift", "degradation", "data"):
        assert statuses_of([run("run-3", NOW, trigger)], commits, *known) == []
    assert {item.context for item in statuses_of(runs[1:], commits, *known)} == {"gate", "rollout"}


SETTINGS = """
[[notify.forges]]
name = "forge"
kind = "{kind}"
url = "{url}"
repository = "org/grid"
token_file = "forge.token"
console = "https://console.example"
timeout_seconds = 60  # a machine that is busy is no forge that is away
"""


@pytest.fixture
def platform(project: Path, server: ForgeServer) -> Iterator[Platform]:
    file = project / "recloser.toml"
    told = SETTINGS.format(kind=server.kind, url=server.url)
    file.write_text(file.read_text(encoding="utf-8") + told, encoding="utf-8")
    (project / "forge.token").write_text(TOKEN, encoding="utf-8")
    with Platform.open(project) as opened:
        yield opened


def write_run(platform: Platform, *records: object) -> None:
    now = platform.clock.now()
    with platform.ledger.change("test", now) as change:
        for record in records:
            change.put(record)
        change.note("test", "run-1")


def test_a_push_shows_on_its_commit_from_start_to_end_by_the_controllers_own_threads(
    platform: Platform, server: ForgeServer
) -> None:
    now = platform.clock.now()
    started = TriggerRecord(f"commit:{SHA}/started", now, "commit", "new code", "start", "", "run-1")
    with delivering(platform, lambda _line: None):
        write_run(platform, started, run("run-1", now, state="running", release=None))
        until(server, lambda: "recloser/gate" in server.shown)
        assert server.shown["recloser/gate"][0] in {"pending", "running"}
        write_run(platform, run("run-1", now), verdict("pass"), rollout("shadow"))
        until(server, lambda: "recloser/rollout" in server.shown)
        write_run(platform, rollout("champion"))
        until(server, lambda: server.shown["recloser/rollout"][0] == "success")
        row = settled(platform)  # the forge has it; that it has may not be written down yet
    assert server.shown["recloser/gate"][0] == "success"
    assert (row["name"], row["kind"], row["state"], row["waiting"]) == ("forge", server.kind, "ok", 0)
    assert check_delivery(platform)["state"] == "ok"


def settled(platform: Platform) -> dict[str, Any]:
    """Return how the forge stands once nothing waits for it; the limit only keeps a broken program from hanging."""
    pause = threading.Event()
    for _ in range(3_000):
        (row,) = status_document(platform)["notify"]
        if not row["waiting"]:
            break
        pause.wait(0.1)
    return dict(row)


def until(server: ForgeServer, condition: Any) -> None:
    while not condition():
        assert server.arrived.wait(300), "nothing came"
        server.arrived.clear()


def test_status_and_doctor_tell_what_a_forge_was_not_told(platform: Platform, server: ForgeServer) -> None:
    now = platform.clock.now()
    started = TriggerRecord(f"commit:{SHA}/started", now, "commit", "new code", "start", "", "run-1")
    write_run(platform, started, run("run-1", now, state="running", release=None))
    server.failing = (500, {"message": "broken"})
    (forge,) = forges_of(platform)
    StatusCourier(platform.ledger, forge, Wanted(platform), platform.clock).tick()
    (row,) = forge_document(platform)
    assert (row["state"], row["waiting"]) == ("failing", 1)
    assert "broken" in row["error"]
    assert any("1 notice waits for forge" in line for line in status_document(platform)["sentences"])
    assert check_delivery(platform)["state"] == "note"


@pytest.mark.parametrize(
    "wrong",
    [
        'kind = "gitea"\nrepository = "org/grid"\ntoken_file = "t"',
        'kind = "github"\nrepository = "grid"\ntoken_file = "t"',
        'kind = "github"\nrepository = "org/grid"',
        'kind = "github"\nrepository = "org/../../x?y"\ntoken_file = "t"',
        'kind = "bitbucket"\nrepository = "org/grid"\ntoken_file = "t"',
    ],
)
def test_a_forge_that_could_not_be_told_is_refused(wrong: str) -> None:
    with pytest.raises(InvalidInput):
        parse_project(f'[project]\nareas = ["N"]\ntime_zone = "UTC"\n[[notify.forges]]\nname = "f"\n{wrong}\n', "x")
