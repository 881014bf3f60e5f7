"""`rollout explain` of a real project in every state: the schema holds, the time is right, people have names."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from recloser.app import Platform
from recloser.app.explanations import explain_rollout
from recloser.core import VirtualClock, format_utc
from recloser.ledger import Leadership, ReleaseRecord
from recloser.rollout import Rollout, RolloutPlan, RolloutState, reach_words

SCHEMA = json.loads((Path(__file__).parents[3] / "docs/schemas/rollout-explain.json").read_text(encoding="utf-8"))
RELEASE, OTHER = "rel-0123456789ab", "rel-ba9876543210"
DATA_ENDS = "2020-04-30T00:00:00Z"
S = RolloutState
APPROVAL = """
[rollout.approval]
before = ["promotion"]
roles = { lead = ["ann"], owner = ["ben", "cat"] }
required = ["lead"]
"""


def put(project: Path, state: RolloutState, **more: Any) -> None:
    """Write a release and its rollout as they stand in the ledger."""
    with Platform.open(project) as platform:
        at = platform.store.extent("load_mw")[1] - timedelta(days=10)
        facts = {"scales": {"paired_sd": 0.1}}
        since = at if state is S.QUEUED else at + timedelta(days=3)
        values = {
            "key": "rollout-1",
            "release": RELEASE,
            "champion": OTHER,
            "state": state,
            "since": since,
            "started_at": at,
            "plan": RolloutPlan(approve_before=("promotion",), approver_roles=("lead",)),
            "scale": 0.1,
            "tried_at": None if state is S.QUEUED else at,
            "promoted_at": at if state in {S.PROBATION, S.CHAMPION, S.RETIRED} else None,
            "reason": "as written",
        }
        rollout = Rollout(**{**values, **more})
        finished = rollout.ended(state, "as written", since) if rollout.finished else rollout
        with platform.ledger.change("test", at) as change:
            change.add(ReleaseRecord(RELEASE, "d", "p", "run-1", at, "accepted", None, facts))
            change.add(finished.to_record())
            change.note("test", RELEASE)


@pytest.mark.parametrize("state", RolloutState)
def test_every_state_is_explained_as_the_schema_says(project: Path, state: RolloutState) -> None:
    with (project / "recloser.toml").open("a", encoding="utf-8") as file:
        file.write(APPROVAL)
    stopped = {"held_from": S.CANARY, "case": "c" * 64 if state is S.AWAITING_APPROVAL else ""}
    put(project, state, **(stopped if state in {S.HELD, S.AWAITING_APPROVAL} else {}))
    for name in (RELEASE, "rollout-1"):
        document = json.loads(json.dumps(explain_rollout(project, name)))
        jsonschema.validate(document, SCHEMA)
        assert document["state"] == str(state)
        assert (document["time_base"], document["as_of"]) == ("data", DATA_ENDS)
        assert document["sentences"][0].startswith(f"{RELEASE}: {state}")
        assert document["sentences"][0].endswith(" - as written")
    if state is S.AWAITING_APPROVAL:
        assert document["approval"]["may_approve"][0] == {"name": "ann", "roles": ["lead"]}
        assert "May approve it: ann (lead), ben (owner), cat (owner)" in document["sentences"]


def test_an_accepted_release_that_nobody_queued_is_staged(project: Path) -> None:
    with Platform.open(project) as platform:
        now = platform.clock.now()
        with platform.ledger.change("staging", now) as change:
            change.add(ReleaseRecord(RELEASE, "d", "p", "run-1", now, "accepted", None, {"scales": {}}))
            change.note("staging.pass", RELEASE)
    document = json.loads(json.dumps(explain_rollout(project, RELEASE)))
    jsonschema.validate(document, SCHEMA)
    assert (document["state"], document["next"]["state"], document["rollout"]) == ("staged", "queued", None)


def test_a_leading_controller_makes_it_the_clock_s_time(project: Path) -> None:
    put(project, S.SHADOW)
    with Platform.open(project) as platform:
        lead = Leadership(platform.ledger, "controller", "a test", platform.clock, timedelta(minutes=5))
        with lead:
            before = platform.clock.now()
            document = explain_rollout(project, RELEASE)
    assert document["time_base"] == "clock"
    assert document["as_of"] >= format_utc(before)
    assert "the clock: a controller leads" in document["sentences"][-1]
    long_ago = VirtualClock(platform.clock.now() - timedelta(days=1))
    with (
        Platform.open(project) as platform,
        Leadership(platform.ledger, "controller", "a test", long_ago, timedelta(minutes=5)),
    ):
        pass
    assert explain_rollout(project, RELEASE)["time_base"] == "data"  # its lease has ended


def test_a_queued_release_names_the_one_on_trial(project: Path) -> None:
    put(project, S.QUEUED)
    with Platform.open(project) as platform:
        at = platform.store.extent("load_mw")[1]
        other = Rollout("rollout-2", OTHER, None, S.SHADOW, at, at, tried_at=at)
        with platform.ledger.change("test", at) as change:
            change.add(other.to_record())
            change.note("test", OTHER)
    document = explain_rollout(project, RELEASE)
    assert document["on_trial"] == OTHER
    assert f"On trial before it: {OTHER}" in document["sentences"]
    assert "another rollout is on trial" in document["would_advance"]


@pytest.mark.parametrize(
    ("share", "cohort", "words"),
    [
        (0.0, [], "0 % of the areas"),
        (0.25, [], "25 % of the areas"),
        (0.0, ["F01", "F02"], "the pilot areas F01, F02 alone"),
        (0.25, ["F01"], "the pilot areas F01 and 25 % of the areas"),
        (
            0.0,
            [f"F{k}" for k in range(20)],
            f"the pilot areas {', '.join(f'F{k}' for k in range(12))} and 8 more alone",
        ),
    ],
)
def test_a_canary_of_pilot_areas_is_not_told_as_one_of_none(share: float, cohort: list[str], words: str) -> None:
    assert reach_words({"share": share, "cohort": cohort}, "areas") == words
