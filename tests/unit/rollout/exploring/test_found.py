"""What the explorations found wrong in the product, each as the shortest history that shows it."""

from __future__ import annotations

import pytest
from explored_events import Event, enabled
from explored_search import Fault, perform, play, settle
from explored_world import HOUR, SETTINGS, World

from recloser.core import Unavailable, VirtualClock
from recloser.rollout import RolloutController, RolloutState

S = RolloutState
CHAMPION = "submit, tick"
CANARY = f"{CHAMPION}, submit, tick, a good day"
SECOND = f"{CANARY}, a good day, a good day, a good day"
ASKED = "submit, tick, ann approves, ben approves, tick"


def stands(world: World) -> dict[str, str]:
    """Return the state of each release's last rollout."""
    return {rollout.release: str(rollout.state) for rollout in world.rollouts()}


def test_a_rollback_goes_by_traffic_and_not_by_phase() -> None:
    """The canary of a champion that has tripped answers for nobody any more; who does is rolled back."""
    world = World()
    play(world, f"{SECOND}, submit, tick, a good day, guard refuses rel-2, rollback")
    assert stands(world)["rel-1"] == "rolled_back"


def test_an_override_does_not_make_a_first_model_of_one_that_waited_while_a_champion_came_back() -> None:
    world = World("people")
    play(world, f"{ASKED}, rollback, submit, tick, rollback to rel-1, override")
    assert (world.route().champion, stands(world)["rel-2"]) == ("rel-1", "shadow")


def test_a_release_that_tripped_stays_tripped_when_another_is_restored() -> None:
    world = World()
    play(world, f"{SECOND}, rollback, guard refuses rel-1, rollback to rel-2")
    assert world.releases()["rel-1"].state == "tripped"
    assert world.route().champion == "rel-2"


def test_nobody_goes_back_to_a_release_that_tripped_when_it_was_tried_once_more() -> None:
    world = World()
    play(world, f"{SECOND}, submit rel-1 again, tick, it diverges")
    assert world.releases()["rel-1"].state == "tripped"
    kept = play(world, "rollback", world.end())
    world.begin(kept)
    assert world.route().champion is None
    assert world.alarms() == 1


def test_who_is_promoted_in_a_second_trial_serves_by_that_one_alone() -> None:
    """Its first rollout, which was rolled back, is not brought back beside it."""
    world = World()
    play(world, "submit, tick, submit, rollback, tick, submit rel-1 again, tick, a good day, a good day, a good day")
    assert world.route().champion == "rel-1"
    assert [r.state for r in world.rollouts() if r.release == "rel-1"] == [S.ROLLED_BACK, S.PROBATION]


def test_who_serves_by_a_second_rollout_is_not_replaced_by_its_first() -> None:
    world = World()
    play(world, "submit, tick, rollback, submit rel-1 again, tick, submit, tick")
    assert (world.route().champion, world.route().shadow) == ("rel-1", "rel-2")
    assert [r.state for r in world.rollouts() if r.release == "rel-1"] == [S.ROLLED_BACK, S.CHAMPION]


def test_a_wait_ends_when_a_person_brings_its_release_back() -> None:
    world = World()
    play(world, "submit, tick, rollback, submit rel-1 again, rollback to rel-1")
    assert [r.state for r in world.rollouts() if r.release == "rel-1"] == [S.CHAMPION, S.ABORTED]


def test_a_release_that_waits_for_a_second_trial_is_not_tried_against_itself() -> None:
    world = World()
    play(world, f"{SECOND}, submit rel-1 again, guard refuses rel-2")
    assert (world.route().champion, world.route().shadow) == ("rel-1", None)
    assert [r.state for r in world.rollouts() if r.release == "rel-1"] == [S.CHAMPION, S.ABORTED]


def test_a_rollback_ends_who_serves_and_not_a_wait_of_the_same_release() -> None:
    world = World("people")
    play(world, f"{ASKED}, rollback, submit rel-1 again, tick, rollback to rel-1, rollback")
    assert world.route().champion is None


def test_a_release_that_tripped_stays_tripped_when_a_wait_of_it_ends() -> None:
    world = World("people")
    play(world, f"{ASKED}, rollback, submit rel-1 again, tick, rollback to rel-1, guard refuses rel-1, rollback")
    assert world.releases()["rel-1"].state == "tripped"


def test_a_retired_release_that_is_submitted_again_stands_for_a_trial() -> None:
    world = World()
    play(world, f"{SECOND}, submit rel-1 again, tick, a good day")
    assert (world.route().canary, world.releases()["rel-1"].state) == ("rel-1", "accepted")


def test_who_is_submitted_later_is_newer_on_a_clock_that_was_set_back() -> None:
    world = World()
    kept = play(world, f"{CHAMPION}, submit, tick")
    world.begin(kept)
    submit = next(event for event in enabled(world) if event.name == "submit")

    def an_hour_before(world: World) -> None:
        submit.prepare(world)
        play_back(world)

    perform(world, kept, Event("submit", an_hour_before, submit.act, order=True))
    settle(world)
    assert stands(world) == {"rel-1": "champion", "rel-2": "aborted", "rel-3": "shadow"}


def play_back(world: World) -> None:
    world.kept = type(world.kept)(
        world.kept.moment, world.kept.now - HOUR, world.kept.told, submitted=world.kept.submitted
    )


class Shaky:
    """Verifies packages on a disk that can be read, cannot be read, or holds something else by now."""

    def __init__(self) -> None:
        self.says: str | None = ""
        self.looks = 0

    def __call__(self, _release: str) -> str:
        self.looks += 1
        if self.says is None:
            raise Unavailable("the disk does not answer")
        return self.says


@pytest.fixture
def steady() -> tuple[World, Shaky, VirtualClock, RolloutController]:
    """A canary that nothing happens to, and a controller that goes on living."""
    world, shaky = World(), Shaky()
    world.begin(play(world, CANARY))
    clock = VirtualClock(world.now())
    controller = RolloutController(world.ledger, world, clock, shaky, SETTINGS)
    controller.tick(world)
    assert shaky.looks == 2  # the canary and the champion, by a controller that has just begun
    return world, shaky, clock, controller


def test_a_package_that_changes_under_a_steady_canary_trips_it_within_the_recheck(steady) -> None:
    world, shaky, clock, controller = steady
    shaky.says = "signature does not match"
    controller.tick(world)
    assert (stands(world)["rel-2"], shaky.looks) == ("canary", 2)
    clock.advance_to(clock.now() + SETTINGS.recheck)
    controller.tick(world)
    assert stands(world)["rel-2"] == "tripped"
    assert (world.route().champion, world.route().canary) == (None, None)  # the champion's does not verify either
    assert world.alarms() == 1


def test_a_disk_that_does_not_answer_for_a_while_trips_nobody_but_not_for_ever(steady) -> None:
    world, shaky, clock, controller = steady
    shaky.says = None
    clock.advance_to(clock.now() + SETTINGS.recheck)
    controller.tick(world)
    assert stands(world)["rel-2"] == "canary"
    shaky.says = ""
    controller.tick(world)
    looks = shaky.looks
    controller.tick(world)
    assert (stands(world)["rel-2"], shaky.looks) == ("canary", looks)
    shaky.says = None
    clock.advance_to(clock.now() + 2 * SETTINGS.recheck)
    controller.tick(world)
    assert stands(world)["rel-2"] == "tripped"


def test_a_release_that_cannot_be_verified_now_waits_for_its_next_step() -> None:
    """Not known is neither passed nor failed: it holds."""
    world, shaky = World(), Shaky()
    world.begin(play(world, f"{CHAMPION}, submit, tick"))
    next(event for event in enabled(world) if event.name == "a good day").prepare(world)
    controller = RolloutController(world.ledger, world, world, shaky, SETTINGS)
    shaky.says = None
    controller.tick(world)
    assert stands(world)["rel-2"] == "shadow"
    shaky.says = ""
    controller.tick(world)
    assert stands(world)["rel-2"] == "canary"


def test_a_fault_of_each_kind_is_survived_by_a_trip() -> None:
    world = World()
    kept = play(world, CANARY)
    world.begin(kept)
    event = next(one for one in enabled(world) if one.name == "it diverges")
    for kind, index in (("crash", 0), ("crash", 3), ("failure", 2), ("rival", 0)):
        perform(world, kept, event, Fault(kind, index))
        settle(world)
        assert stands(world)["rel-2"] == "tripped"
