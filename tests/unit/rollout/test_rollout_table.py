"""The transition table: whole, allowed, and as the documentation prints it."""

from __future__ import annotations

from pathlib import Path

from recloser.rollout import RolloutState
from recloser.rollout.decide import RULES
from recloser.rollout.machine.table import BY_OTHERS, TABLE, printed
from recloser.rollout.rollout import FINISHED

ROOM = Path(__file__).parents[3] / "docs/rooms/rollout.md"


def test_the_documentation_prints_the_table():
    assert printed() in ROOM.read_text(encoding="utf-8")


def test_the_table_names_every_state_and_every_rule_and_leaves_no_finished_one():
    assert set(TABLE) == set(RolloutState)
    assert {event for events in TABLE.values() for event in events} == {name for name, _ in RULES} | {
        "ask",
        "void",
        "advance",
    }
    assert all(not TABLE[state] for state in FINISHED)


def test_only_a_rollback_to_a_release_brings_a_finished_rollout_back():
    revived = {state: events for state, events in BY_OTHERS.items() if state in FINISHED}
    assert set(revived) == {RolloutState.RETIRED, RolloutState.ROLLED_BACK}
    assert all(set(events) == {"restored"} for events in revived.values())
