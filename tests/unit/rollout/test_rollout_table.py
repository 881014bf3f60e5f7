"""The transition table: whole, allowed, and as the documentation prints it."""

from __future__ import annotations

from pathlib import Path

from recloser.rollout import RolloutState
from recloser.rollout.decide import RULES
from recloser.rollout.machine.table import TABLE, printed
from recloser.rollout.rollout import FINISHED, TRANSITIONS

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


def test_what_the_table_allows_is_allowed():
    for state, events in TABLE.items():
        assert {to for ends in events.values() for to in ends} - {state} <= TRANSITIONS[state]
