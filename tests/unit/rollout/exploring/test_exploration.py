"""Every state of the rollout machine at small scope, every event in it, every place where its process may die.

`make test` looks a few events far from each moment of quiet lives; `make chaos` (RECLOSER_FULL=1) looks further. Both
print what they did; docs/rooms/rollout.md has the counts, and a test here compares them.
"""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from itertools import product
from pathlib import Path

import pytest
from explored_events import Event, enabled
from explored_invariants import INVARIANTS
from explored_search import Counts, Fault, begun, explore, outcome, perform, roots_of, settle
from explored_world import Kept, World

from recloser.core import Refused, Unavailable
from recloser.rollout import RolloutState
from recloser.rollout.machine.table import BY_OTHERS, TABLE

FULL = bool(os.environ.get("RECLOSER_FULL"))
DEPTH = 3 if FULL else 1
ENDLESS = 10**6
ROOM = Path(__file__).parents[4] / "docs/rooms/rollout.md"
S = RolloutState


@pytest.mark.parametrize("plan", ["plain", "people"])
def test_no_invariant_breaks_whatever_happens_and_wherever_it_dies(
    plan: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exploration itself raises at the first broken invariant, and at an end that an interruption changed."""
    counts = explore(World(plan), DEPTH, roots_of(plan))
    with capsys.disabled():
        sys.stdout.write(f"\nexplored {plan}, {DEPTH} events from each root: {counts.line()}\n")
    assert counts.points > counts.transitions
    assert set(counts.faults) == {"crash", "failure", "rival"}
    assert counts.faults["crash"] == counts.points
    _reaches_every_state_and_keeps_to_the_table(plan, counts)
    _is_documented(plan, counts)


def _reaches_every_state_and_keeps_to_the_table(plan: str, counts: Counts) -> None:
    reached = {state for pair in counts.moves for state in pair}
    wanted = set(S) if plan == "people" else set(S) - {S.AWAITING_APPROVAL}
    assert wanted - reached == set()
    moves = {(old, new) for old, new in counts.moves if old is not new}
    allowed = {
        (state, to)
        for table in (TABLE, BY_OTHERS)
        for state, events in table.items()
        for ends in events.values()
        for to in ends
    }
    assert moves <= allowed


def _is_documented(plan: str, counts: Counts) -> None:
    """Within a fifth, so that a rule more or less needs no new table; where the depth has a row."""
    rows = re.findall(rf"^\| {plan} \| (\d) \| ([\d ,|]+) \|$", ROOM.read_text(encoding="utf-8"), flags=re.MULTILINE)
    said = {int(depth): [int(cell.replace(",", "")) for cell in cells.split("|")] for depth, cells in rows}
    assert 1 in said
    if DEPTH in said:
        assert counts.row() == pytest.approx(said[DEPTH], rel=0.2)


WHOLE = [("plain", 1, True, True), ("people", 1, False, True)]
WHOLE_IN_FULL = [("people", 1, True, True), ("plain", 2, False, False)]


@pytest.mark.parametrize(("plan", "releases", "lasting", "faults"), WHOLE + (WHOLE_IN_FULL if FULL else []))
def test_nothing_is_left_to_explore(
    plan: str, releases: int, *, lasting: bool, faults: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Event after event until no state is new; the counts are in the documentation, within a fifth."""
    counts = explore(World(plan, releases=releases, lasting=lasting), ENDLESS, faults=faults)
    with capsys.disabled():
        sys.stdout.write(f"\nexplored {plan} with {releases} whole: {counts.line()}\n")
    assert counts.left == 0
    told = "yes" if lasting else "no"
    row = re.search(
        rf"^\| {plan} \| {releases} \| {told} \| ([\d ,|]+) \|$", ROOM.read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    assert row is not None
    said = [int(cell.replace(",", "")) for cell in row[1].split("|")]
    assert counts.row()[:4] == pytest.approx(said, rel=0.2)


@pytest.mark.parametrize("plan", ["plain", "people"])
def test_what_two_people_ask_at_once_ends_as_if_one_had_asked_first(plan: str) -> None:
    """Both in either order, or the one alone whose wish the other had fulfilled, undone or made impossible."""
    world, pairs = World(plan), 0
    for number, kept in enumerate(roots_of(plan)):
        world.begin(kept)
        orders = [event for event in enabled(world) if event.order and not event.name.startswith("submit")]
        for first, second in product(orders, repeat=2):
            met = _end(world, kept, (first,), Fault("rival", 0, second))
            ends = [_end(world, kept, way) for way in ((first, second), (second, first), (first,), (second,))]
            assert met in ends, f"root {number}: {first.name} while somebody asks {second.name}"
            pairs += met != ends[2]
    assert pairs > 100


def _end(world: World, kept: Kept, way: tuple[Event, ...], fault: Fault | None = None) -> tuple[object, object]:
    begun(world, kept)
    world.at_point = None if fault is None else fault.strike(world)
    for event in way:
        with suppress(Refused, Unavailable):
            event.act(world, world.controller())
    world.at_point = None
    world.rest()
    settle(world)
    end = outcome(world)
    return end["like"], end["trips"]


def test_every_invariant_has_a_class_of_its_own() -> None:
    names = [invariant.__name__ for invariant in INVARIANTS]
    assert names == [*(f"I{number}" for number in range(1, 11)), "Whole"]


def test_a_crash_point_is_there_for_each_write_and_each_call() -> None:
    """Of a trip: before and after the one change, before and after the gateways hear of it."""
    world = World()
    canary = next(kept for kept in roots_of("plain") if _has_canary(world, kept))
    world.begin(canary)
    diverges = next(event for event in enabled(world) if event.name == "it diverges")
    perform(world, canary, Event(diverges.name, diverges.prepare, diverges.act))
    assert world.points == ["before ledger rollout.trip", "after ledger rollout.trip", "before router", "after router"]


def _has_canary(world: World, kept: object) -> bool:
    world.begin(kept)
    route = world.route()
    return route is not None and route.canary is not None
