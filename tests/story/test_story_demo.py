"""The demo: what it is made of; with RECLOSER_FULL=1 the whole of it: every stage shown, better than standing still."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from recloser.app.replay.demo import DAYS, PEOPLE, START, ZONE, demo_project, demo_scenario
from recloser.app.replay.telling.shown import STAGES
from recloser.cli import main
from recloser.simulation import GridPlan, SimulatedGrid

pytestmark = pytest.mark.story


@pytest.mark.parametrize("feeders", [4, 24])
def test_the_demo_asks_people_who_have_roles_and_begins_with_pilot_feeders(feeders: int) -> None:
    grid = SimulatedGrid(GridPlan(seed=7, feeders=feeders, start=START, days=DAYS, zone=ZONE))
    project, _ = demo_project(grid)
    plan, scenario = project.rollout.plan(), demo_scenario(grid, 7)
    assert plan.approve_before == ("traffic", "promotion")
    assert plan.steps[0].share == 0.0
    assert 0 < len(plan.steps[0].cohort) < feeders
    assert set(plan.steps[0].cohort) < set(grid.areas)
    named = {name for names in project.rollout.approval.roles.values() for name in names}
    assert {answer.name for answer in scenario.answers} == named == set(PEOPLE.values())
    assert len(named) >= plan.approvers
    assert not {candidate.actor for candidate in scenario.candidates} & named
    (turned_down,) = [answer for answer in scenario.answers if answer.reject]
    assert [turned_down.about in candidate.reason for candidate in scenario.candidates].count(True) == 1
    assert all(START < candidate.at < datetime(2021, 1, 1, tzinfo=UTC) for candidate in scenario.candidates)


@pytest.mark.skipif(not os.environ.get("RECLOSER_FULL"), reason="the whole demo takes minutes: RECLOSER_FULL=1")
def test_the_demo_shows_every_stage_and_pays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--out", str(tmp_path / "out"), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert list(document["shown"]) == list(STAGES)
    assert "the pilot areas F01, F02, F03, F04, F05, F06 alone" in document["shown"]["canary"]
    counts = document["counts"]
    assert (counts["false_alarms"], counts["trips"], counts["rejections"]) == (0, 1, 1)
    assert counts["refusals"] >= 1
    report = json.loads(Path(document["report_json"]).read_text(encoding="utf-8"))
    loop, never = (report["policies"][name]["total"] for name in ("recloser", "never"))
    assert loop["wmape"] < 0.95 * never["wmape"]
    assert loop["rcrps"] < never["rcrps"]
    assert never["wmape"] < report["naive"]["total"]["wmape"]
