"""What a replay says of stages that never came."""

from __future__ import annotations

from typing import Any

from recloser.app.replay.telling.shown import STAGES, missing

REFUSED = {"candidate": "rel-2", "verdict": "refuse", "reason": "data.clock: shifted load"}
PASSED = {"candidate": "rel-3", "verdict": "pass", "reason": "all checks passed"}


def life(**rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {"runs": [], "rollouts": [], "trips": [], "acts": [], **rows}


def move(release: str, to: str, reason: str = "") -> dict[str, Any]:
    return {"release": release, "to": to, "reason": reason}


def test_refused_candidates_are_why_nothing_was_shown() -> None:
    told = missing(life(runs=[REFUSED, {**REFUSED, "reason": "data.order: scrambled"}, REFUSED, PASSED]))
    assert list(told) == list(STAGES)
    assert told["canary"] == (
        "never: 3 of 4 candidates did not pass staging, 2 of them by data.clock, the last: data.clock: shifted load"
    )
    assert told["trip"] == told["shadow"] == told["canary"]


def test_a_rollout_that_ended_in_shadow_is_why_none_served() -> None:
    told = missing(life(runs=[PASSED], rollouts=[move("rel-3", "shadow"), move("rel-3", "rolled_back", "too bad")]))
    assert "shadow" not in told
    assert told["canary"] == "never: no rollout went beyond shadow; the last ended so: too bad"


def test_what_came_is_not_told() -> None:
    acts = [{"kind": "approve"}, {"kind": "reject"}]
    moves = [move("rel-3", "shadow"), move("rel-3", "canary")]
    trips = [{"release": "rel-3", "recalled": 2}]
    assert missing(life(runs=[PASSED], rollouts=moves, trips=trips, acts=acts)) == {}
    assert list(missing(life(runs=[PASSED], rollouts=moves, acts=acts))) == ["trip", "recall"]
