"""Two people with two tokens decide about a release over HTTP, against a real `recloser up`; nobody does so alone."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import polars as pl
import pytest

from recloser.app import Platform, add_token, run_pipeline
from recloser.ledger import ActRecord
from recloser.simulation import GridPlan, SimulatedGrid
from recloser.testing import QUICK, small_project

pytestmark = pytest.mark.story

SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"
PATIENCE_S = 240.0
SETTINGS = """
[gateway.log]
enabled = false

[rollout.approval]
before = ["promotion"]
people = 2
roles = { lead = ["ann"], owner = ["ben", "eve"] }
required = ["lead"]
override = ["lead"]
"""


def fits(document: Any, schema: str) -> Any:
    """Return the document, which fits the schema."""
    jsonschema.validate(document, json.loads((SCHEMAS / f"{schema}.json").read_text(encoding="utf-8")))
    return document


def until(found: Callable[[], Any], what: str) -> Any:
    """Return the first true answer; the limit only keeps a broken program from hanging the test."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if answer := found():
            return answer
        time.sleep(0.1)
    raise AssertionError(f"waited in vain: {what}")


@dataclass
class Gateway:
    """A running project, asked in the name of whoever holds a token."""

    folder: Path
    address: str
    tokens: dict[str, str]

    def ask(self, who: str | None, path: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
        """Return status and document of a request; with a body it is a POST."""
        link = http.client.HTTPConnection(urlsplit(self.address).netloc, timeout=60)
        headers = {} if who is None else {"authorization": f"Bearer {self.tokens[who]}"}
        content = None if body is None else json.dumps(body)
        try:
            link.request(
                "GET" if body is None else "POST", path, content, headers | {"content-type": "application/json"}
            )
            answer = link.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            link.close()

    def approve(self, who: str, release: str, evidence: str) -> tuple[int, Any]:
        """Let somebody approve what he has seen."""
        body = {"reason": "looked at the peaks", "evidence": evidence}
        return self.ask(who, f"/v1/rollouts/{release}/approve", body)

    def refused(self, who: str, release: str, evidence: str) -> str:
        """Return why somebody's approval is refused."""
        status, problem = self.approve(who, release, evidence)
        assert (status, problem["title"]) == (409, "Refused"), problem
        return str(problem["detail"])

    def ready(self) -> bool:
        """Tell whether it answers."""
        try:
            return self.ask("op", "/v1/rollouts")[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def explained(self, release: str) -> Any:
        """Return why the rollout of a release is where it is."""
        status, document = self.ask("op", f"/v1/rollouts/{release}")
        assert status == 200
        return fits(document, "rollout-explain")


@pytest.fixture
def release_and_gateway(tmp_path: Path) -> Iterator[tuple[str, Gateway]]:
    """A project whose first model, asked for by eve, waits for people; under `recloser up`, everybody with a token."""
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    start = now.replace(hour=0) - timedelta(days=120)
    plan = GridPlan(seed=3, feeders=2, start=start, days=121, resolution=timedelta(hours=1), substations=0)
    frame = SimulatedGrid(plan).frame().filter(pl.col("at") < now)
    folder = small_project(tmp_path / "grid", frame=frame, settings=QUICK + SETTINGS)
    made = run_pipeline(folder, as_of=None, engine="local", progress=lambda _line: None, actor="eve")
    assert made["verdict"] == "pass", made["reason"]
    scopes = dict.fromkeys(("ann", "ben", "eve", "dan"), ("read", "approve")) | {"op": ("read", "operate")}
    tokens = {name: add_token(folder, name=name, scopes=scope)["token"] for name, scope in scopes.items()}
    program = [sys.executable, "-c", "from recloser.cli.main import run; run()"]
    words = [*program, "up", "--port", "0", "--json", "--project", str(folder)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            said = "".join([*takewhile(lambda line: line != "}\n", process.stdout), "}"])
            gateway = Gateway(folder, json.loads(said)["gateway"], tokens)
            until(gateway.ready, "the gateway answers")
            until(lambda: gateway.explained(made["candidate"])["time_base"] == "clock", "a controller leads")
            yield made["candidate"], gateway
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=120)


def test_two_tokens_promote_what_neither_may_alone(release_and_gateway: tuple[str, Gateway]) -> None:
    release, gateway = release_and_gateway
    case = only_people_with_a_role_and_the_evidence_of_now(gateway, release)
    newer = an_override_makes_another_case(gateway, release, case)
    a_freeze_holds_what_two_people_want(gateway, release, newer)
    frozen_again_one_person_stops_it(gateway, release)
    what_was_decided_is_told_and_proven(gateway, release)


def only_people_with_a_role_and_the_evidence_of_now(gateway: Gateway, release: str) -> str:
    assert gateway.ask(None, "/v1/rollouts")[0] == 401
    (row,) = fits(gateway.ask("op", "/v1/rollouts")[1], "http-rollouts")["rollouts"]
    assert (row["release"], row["state"]) == (release, "awaiting_approval")
    case = str(row["case"])
    assert "who proposed a release cannot approve it" in gateway.refused("eve", release, case)
    assert gateway.approve("op", release, case)[0] == 403  # may operate, not approve
    assert gateway.approve("dan", release, case)[0] == 422  # may approve by his token, and has no role in the project
    assert "the evidence has changed since you saw it" in gateway.refused("ann", release, "0" * 64)
    return case


def an_override_makes_another_case(gateway: Gateway, release: str, case: str) -> str:
    """ann says yes, then takes the step upon herself: another case, for which nobody's first yes counts."""
    assert fits(gateway.approve("ann", release, case)[1], "act")["case"] == case
    status, done = gateway.ask("ann", f"/v1/rollouts/{release}/override", {"reason": "the ladder is poor"})
    assert (status, fits(done, "act")["state"]) == (200, "awaiting_approval")
    asked = gateway.explained(release)["approval"]
    newer = str(asked["case"])
    assert newer != case
    assert [yes["name"] for yes in asked["given"]] == ["ann"]
    assert asked["may_approve"] == [{"name": "ben", "roles": ["owner"]}]
    why = gateway.refused("ben", release, case)
    assert "the evidence has changed since you saw it" in why
    assert newer in why
    for _ in range(2):
        assert gateway.approve("ann", release, newer)[0] == 200  # twice is once
    assert gateway.explained(release)["approval"]["missing"] == ["1 of 2 people have approved: ann"]
    return newer


def a_freeze_holds_what_two_people_want(gateway: Gateway, release: str, case: str) -> None:
    status, storm = gateway.ask("op", "/v1/freezes", {"reason": "storm"})
    assert (status, fits(storm, "freeze")["to"]) == (200, None)
    assert gateway.approve("ben", release, case[:12])[0] == 200
    told = gateway.explained(release)
    assert (told["state"], told["approval"]["missing"]) == ("awaiting_approval", [])
    assert told["next"]["reason"] == "promotions are frozen: storm (until it is lifted)"
    assert fits(gateway.ask("op", "/v1/freezes")[1], "freeze-list")["in_force"][0]["freeze"] == storm["freeze"]
    assert gateway.ask("op", f"/v1/freezes/{storm['freeze']}/lift", {"reason": "it is over"})[0] == 200
    until(lambda: gateway.explained(release)["state"] == "champion", "the controller counts two people")
    assert "approved by ann, ben" in gateway.explained(release)["reason"]
    until(lambda: gateway.ask("op", "/v1/route")[1].get("champion") == release, "the gateway follows")


def frozen_again_one_person_stops_it(gateway: Gateway, release: str) -> None:
    assert gateway.ask("op", "/v1/freezes", {"reason": "storm"})[0] == 200
    status, back = gateway.ask("op", "/v1/rollback", {"reason": "looks wrong"})
    assert (status, fits(back, "http-rollback")["released"]) == (200, release)
    assert gateway.explained(release)["state"] == "rolled_back"


def what_was_decided_is_told_and_proven(gateway: Gateway, release: str) -> None:
    agreed = fits(gateway.ask("op", "/v1/agreement")[1], "agreement")
    followed = {row["name"]: (row["followed"], row["against"]) for row in agreed["by_person"]}
    assert followed == {"ann": (2, 1), "ben": (1, 0), "op": (0, 1)}
    with Platform.open(gateway.folder) as platform:
        assert platform.ledger.verify().ok
        entries = [(e.action, e.actor) for e in platform.ledger.entries(subject=release)]
        assert [who for what, who in entries if what == "rollout.approve"] == ["ann", "ann", "ann", "ben"]
        assert {act.name for act in platform.ledger.find(ActRecord, kind="approve")} == {"ann", "ben"}
