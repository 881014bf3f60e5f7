"""Each invariant can fail: the product is broken in one place, and the exploration says which promise that breaks."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import Any

import pytest
from explored_search import explore, play
from explored_world import World

from recloser.rollout import changes, controller
from recloser.rollout.control.verifying import ReleaseVerifier
from recloser.rollout.controller import RolloutController
from recloser.rollout.machine import forward, harm
from recloser.rollout.machine.action import Target, target_of
from recloser.rollout.moves import rollback_subject
from recloser.rollout.rollout import Rollout, RolloutState

decide = sys.modules["recloser.rollout.decide"]  # the package has a function of that name
CHAMPION = "submit, tick"
SHADOW = f"{CHAMPION}, submit, tick"
CANARY = f"{SHADOW}, a good day"
PROBATION = f"{CANARY}, a good day, a good day"
SECOND = f"{PROBATION}, a good day"
ASKED = "submit, tick, ann approves, ben approves, tick, submit, tick, a good day"


def without(event: str) -> tuple[Any, ...]:
    return tuple(rule for rule in decide.RULES if rule[0] != event)


def lose_memory(rollout: Rollout) -> Any:
    record = TO_RECORD(rollout)
    memory = {**record.evidence["memory"], "pulled": not rollout.pulled}
    return replace(record, evidence={**record.evidence, "memory": memory})


def tell_first(self: RolloutController, *given: Any, **named: Any) -> Any:
    """Tell the gateways before the ledger: they follow a decision that a crash makes unheard of."""
    world, moves, target, _, now = given
    changing = [move for move in moves if move.action.changes(move.rollout)]
    if changing and target is not None:
        planned = self._planned(world, changing, target, now)
        self._router.set_route(planned.route)
    return WRITE(self, *given, **named)


def mute(*given: Any) -> Any:
    world, first, trips, voids, _alarms, *rest = given
    return NOTICES_OF(world, first, trips, voids, (), *rest)


def no_look(self: ReleaseVerifier, rollout: Rollout, evidence: Any) -> Any:
    del self, rollout
    return replace(evidence, ready=True, target_ready=True)


def the_last(world: Any) -> Rollout:
    return world.rollouts[-1] if world.rollouts else rollback_subject(world)


def unload(rollout: Rollout, phase: RolloutState, step: int = 0) -> Any:
    return Target(rollout.release) if phase is RolloutState.PROBATION else target_of(rollout, phase, step)


def no_watch(_self: ReleaseVerifier, _rollout: Rollout, evidence: Any, _now: Any) -> Any:
    return evidence


TO_RECORD, WRITE, NOTICES_OF = Rollout.to_record, RolloutController._write, changes.notices_of


@dataclass(frozen=True)
class Mutant:
    """One thing broken, where it shows, and the invariant that it breaks."""

    breaks: str
    what: str
    place: Any
    name: str
    put: Any
    path: str
    plan: str = "plain"
    faults: bool = False


MUTANTS = [
    Mutant("I1", "nothing is verified before a switch", ReleaseVerifier, "verified", no_look, SHADOW),
    Mutant(
        "I1", "a bad package under a canary is not noticed", ReleaseVerifier, "watched", lambda _s, _r, e, _n: e, CANARY
    ),
    Mutant("I2", "the target is taken as good", ReleaseVerifier, "target_ready", lambda *_: True, PROBATION),
    Mutant("I2", "a harmed champion falls back to whoever was before it", harm, "_may", lambda *_: True, SECOND),
    Mutant("I3", "a rollback is not heard", decide, "RULES", without("rollback"), CANARY),
    Mutant("I3", "the trial goes, not the traffic", controller, "rollback_subject", the_last, f"{CANARY}, submit"),
    Mutant(
        "I3",
        "whoever meets a rival must ask again",
        controller,
        "decided_again",
        lambda act: act(),
        CANARY,
        faults=True,
    ),
    Mutant("I4", "the former champion is unloaded", forward, "target_of", unload, CANARY),
    Mutant("I5", "a newer release waits", decide, "RULES", without("newer"), CANARY),
    Mutant("I6", "no deadline", decide, "RULES", without("deadline"), CANARY),
    Mutant("I6", "no data passes", forward, "blockers", lambda *_: (), SHADOW),
    Mutant("I7", "a restart forgets what was pulled", Rollout, "to_record", lose_memory, CANARY),
    Mutant("I7", "gateways before the ledger", RolloutController, "_write", tell_first, SHADOW, faults=True),
    Mutant("I8", "a lost lease is forgotten", decide, "RULES", without("lost_lease"), CANARY),
    Mutant("I9", "alarms are not written", changes, "notices_of", mute, CHAMPION),
    Mutant("I10", "nobody needs to approve", forward, "missing", lambda *_: (), ASKED, "people"),
    Mutant("I10", "people are not asked", forward, "needs_approval", lambda _: False, ASKED, "people"),
    Mutant("Whole", "releases keep their state", changes, "_releases", lambda *_: (), PROBATION),
]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.breaks}: {mutant.what}")
def test_a_broken_product_breaks_its_invariant(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(mutant.plan)
    kept = play(world, mutant.path)
    monkeypatch.setattr(mutant.place, mutant.name, mutant.put)
    with pytest.raises(AssertionError) as caught:
        explore(world, 2, [kept], faults=mutant.faults)
    assert mutant.breaks in str(caught.value).replace(":", " ").replace(",", " ").split()


def test_the_unbroken_product_breaks_none_of_them() -> None:
    for path, plan in {(mutant.path, mutant.plan) for mutant in MUTANTS}:
        world = World(plan)
        assert explore(world, 1, [play(world, path)], faults=False).transitions
    assert controller.rollback_subject is rollback_subject
