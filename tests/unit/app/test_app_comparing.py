"""What policies are compared on beside accuracy: what people would have had to do, and CPU time."""

import json
from pathlib import Path

import polars as pl

from recloser.app.project.settings import Project, parse_project
from recloser.app.replay.outcome import PolicyResult
from recloser.app.replay.policies.comparing import human_actions, write_costs


def project(approval: str = "") -> Project:
    return parse_project(f'[project]\nareas = ["A"]\ntime_zone = "UTC"\n{approval}', "test")


MOVES = [
    {"from": "queued", "to": "shadow"},
    {"from": "shadow", "to": "canary"},
    {"from": "canary", "to": "canary"},
    {"from": "canary", "to": "held"},
    {"from": "canary", "to": "probation"},
]
LIVED = PolicyResult(
    "recloser",
    pl.DataFrame(),
    signals=[{"class": "data_fault"}, {"class": "concept_drift"}, {"class": "data_fault"}],
    rollouts=MOVES,
)
APPROVAL = """
[rollout.approval]
before = ["traffic", "promotion"]
people = 2
roles = { operator = ["ann", "bob", "cy"] }
"""


def test_faults_held_rollouts_and_approvals_ask_for_people() -> None:
    assert human_actions(LIVED, project()) == 2 + 1
    assert human_actions(LIVED, project(APPROVAL)) == 2 + 1 + 2 * 2
    assert human_actions(PolicyResult("never", pl.DataFrame()), project(APPROVAL)) == 0


def test_costs_stand_in_a_file_of_their_own(tmp_path: Path) -> None:
    path = write_costs({"never": 12.345, "recloser": 100.0}, tmp_path)
    assert json.loads(path.read_text(encoding="utf-8")) == {
        "policies": {"never": {"cpu_s": 12.3}, "recloser": {"cpu_s": 100.0}}
    }
