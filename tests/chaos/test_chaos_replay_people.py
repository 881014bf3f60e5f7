"""`recloser replay` with people who answer, killed around each of their answers, goes on to the same report.

What people say is decided by the ledger alone, so an answer that was given before the kill is not given again, and one
that was not is given at its time.
"""

from __future__ import annotations

import sqlite3
import subprocess
import time
from pathlib import Path

import pytest
from replay_process import Replay

from recloser.testing import QUICK, small_project

pytestmark = pytest.mark.chaos

WINDOW = ["--from", "2020-04-04", "--to", "2020-04-12", "--policy", "recloser"]
SCENARIO = """
[[candidate]]
at = 2020-04-06T06:00:00Z
reason = "as asked for"

[[answer]]
name = "ann"
reason = "read the evidence"
after_hours = 3

[[answer]]
name = "ben"
reason = "the peaks look right"
after_hours = 6.5
"""
HURRIED = {
    "shadow_days = 7": "shadow_days = 1\nprobation_days = 1\nharmless_days = 1\ndeadline_days = 20",
    "canary_steps = [[0.25, 7], [0.5, 7]]": "canary_steps = [[0.5, 1]]",
    'promotion = "evidence"': 'promotion = "no_evidence_of_harm"',
}
APPROVAL = """
[rollout.approval]
before = ["traffic", "promotion"]
roles = { lead = ["ann"], forecasting = ["ben"] }
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = small_project(tmp_path_factory.mktemp("people") / "grid", settings=QUICK + APPROVAL)
    file = folder / "recloser.toml"
    text = file.read_text(encoding="utf-8")
    for old, new in HURRIED.items():
        assert old in text
        text = text.replace(old, new)
    file.write_text(text, encoding="utf-8")
    (folder / "scenario.toml").write_text(SCENARIO, encoding="utf-8")
    return folder


def entries(out: Path) -> list[tuple[str, str]]:
    """Return action and time of each audit entry, by looking at the ledger from outside."""
    database = out / "work" / "recloser" / "state" / "ledger.db"
    if not database.exists():
        return []
    view = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        return [
            (str(action), str(at)) for action, at in view.execute("select action, at from audit_entries order by seq")
        ]
    except sqlite3.OperationalError:
        return []  # being made
    finally:
        view.close()


def answered(out: Path) -> int:
    """Return how often people have said something."""
    return sum(action in {"rollout.approve", "rollout.reject"} for action, _ in entries(out))


def test_killed_around_every_answer(project: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    replay = Replay(WINDOW, environment)
    calm = replay.finished(project, tmp_path / "calm")
    acts = calm["policies"]["recloser"]["acts"]
    assert {act["name"] for act in acts} == {"ann", "ben"}
    assert len(acts) >= 2
    out, lives = tmp_path / "out", 0
    while answered(out) < len(acts):  # a life lasts until somebody has spoken once more
        least = answered(out) + 1
        process = subprocess.Popen(
            replay.words(project, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
        )
        try:
            while process.poll() is None and answered(out) < least:
                time.sleep(0.003)
        finally:
            process.kill()
            process.wait()
        lives += 1
        assert lives <= 4 * len(acts)
    assert replay.finished(project, out) == calm
