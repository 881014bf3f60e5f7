"""All that may happen to a world, one small thing at a time; each says when it can."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta

from explored_world import DAY, HOUR, PROPOSER, SCALE, World

from recloser.ledger import ReleaseRecord
from recloser.rollout import (
    CommandKind,
    CutOff,
    Evidence,
    Harm,
    Order,
    PairedDay,
    Rival,
    Rollout,
    RolloutController,
    RolloutState,
)
from recloser.rollout.people.proposers import Proposers
from recloser.rollout.rollout import TRYING

S = RolloutState
K = CommandKind
GOOD, BAD = -0.2, 1.0
BATCHES = {
    "harm": (0.3, 6, date(2019, 1, 1)),
    "worse": (1.0, 10, date(2019, 3, 1)),
    "good": (-1.0, 10, date(2019, 5, 1)),
}
PEOPLE = {"ann": "lead", "ben": "owner", PROPOSER: "lead"}


def nothing(_world: World) -> None:
    """Nothing in the world changes."""


def tick(world: World, controller: RolloutController) -> None:
    controller.tick(world)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens.

    Attributes:
        name: what.
        prepare: what changes in the world; it stays so while processes die and come back.
        act: what is asked of a controller.
        order: a person, or another program, asks for it: if it died, it may not have happened.
        leave: what changes in the world when it is over.
    """

    name: str
    prepare: Callable[[World], None] = nothing
    act: Callable[[World, RolloutController], None] = tick
    order: bool = False
    leave: Callable[[World], None] = nothing


def enabled(world: World) -> Iterator[Event]:
    """Return all that may happen now."""
    yield Event("tick")
    if world.kept.submitted < world.releases_at_most:
        yield Event("submit", new_release, submit, order=True)
    if len(world.rollouts()) <= world.releases_at_most:
        for name in free_again(world):
            yield Event(f"submit {name} again", act=lambda w, c, name=name: submit(w, c, name), order=True)
    trial = next((r for r in world.rollouts() if r.state in TRYING and r.phase is not S.QUEUED), None)
    yield from _time(world, trial)
    if trial is not None:
        yield from _labels(trial)
    yield from _protections(world, trial)
    yield from _harm(world, trial)
    yield from _faults(world)
    asked = next((r for r in world.rollouts() if r.state in TRYING), None)
    yield from _people(world, asked)


def _time(world: World, trial: Rollout | None) -> Iterator[Event]:
    alive = [r for r in world.rollouts() if not r.finished and r.state is not S.CHAMPION]
    if alive:
        yield Event("a day without labels", a_day_without_labels)
        yield Event("an hour back", lambda world: shift(world, -HOUR), leave=lambda world: shift(world, HOUR))
    route = world.route()
    if route is not None and route.lease_until is not None:
        yield Event("silence longer than the lease", lambda world: shift(world, 2 * DAY))
    if trial is not None:
        yield Event("the deadline", lambda world: shift(world, 4 * DAY))


def _labels(trial: Rollout) -> Iterator[Event]:
    yield Event("a good day", lambda world: a_day(world, trial, GOOD))
    if trial.phase is not S.SHADOW:
        yield Event("a bad day", lambda world: a_day(world, trial, BAD))
    if trial.phase is S.CANARY:
        yield Event("late labels: harm", lambda world: batch(world, trial, "harm"))
        yield Event("late labels: worse", lambda world: batch(world, trial, "worse"))
        yield Event("labels corrected", lambda world: corrected(world, trial))
    if trial.pulled:
        yield Event("late labels: good", lambda world: batch(world, trial, "good"))


def _protections(world: World, trial: Rollout | None) -> Iterator[Event]:
    route = world.route()
    names = [] if route is None else [n for n in (route.champion, route.canary, route.shadow) if n is not None]
    for name in dict.fromkeys(names):
        yield Event(f"guard refuses {name}", lambda world, name=name: known(world, name, {name: 3}))
    if len(names) > 1:
        both = dict.fromkeys(names, 3)
        yield Event("guard refuses both", lambda world: [known(world, name, both) for name in names] and None)
    if trial is not None:
        cut = Evidence(cut_off=CutOff("3 failed answers"))
        yield Event("a gateway cuts it off", lambda world: world.evidence.update({trial.release: cut}))
        far = Evidence(divergence=9)
        yield Event("it diverges", lambda world: world.evidence.update({trial.release: far}))
        unready = Evidence(ready=False, ready_reason="not loaded")
        yield Event("it is not ready", lambda world: world.evidence.update({trial.release: unready}))


def _harm(world: World, trial: Rollout | None) -> Iterator[Event]:
    """A changed relation harms the champion: the one before it, or a rung of the ladder, would have been better."""
    champion = next((r for r in world.rollouts() if r.state is S.CHAMPION), None)
    if champion is None:
        return
    former = () if champion.champion is None else (champion.champion,)
    rivals = tuple(
        Rival(name, name in former, 9, 1.0, loss, 0.1, 0.5, better=True)
        for name, loss in ((*((name, 0.5) for name in former), ("persistence", 0.7)))
    )
    guard = Evidence(incidents={champion.release: 3})
    for words, critical in (("harms", False), ("ruins", True)):
        harm = Evidence(harm=Harm(("sig-1",), critical, "It is harmed.", rivals), rung_at_hand="persistence")
        yield Event(f"a changed relation {words} it", lambda world, harm=harm: said(world, champion, harm))
    if trial is not None:
        for words, told in (("it is ruined", harm), ("the guard refuses it", guard)):
            yield Event(f"a day ends, and {words}", lambda w, told=told: said(a_day(w, trial, GOOD), champion, told))


def _faults(world: World) -> Iterator[Event]:
    if world.kept.told is not None:
        yield Event("gateways restart", lambda world: set_kept(world, told=None))
    if not world.lasting:
        return
    for name in sorted(world.releases()):
        yield Event(f"package of {name} changes on disk", lambda world, name=name: tamper(world, name))
    yield Event("gateways go or come", lambda world: set_kept(world, down=not world.kept.down))
    freeze = "" if world.kept.freeze else "storm"
    yield Event("a freeze begins or ends", lambda world: set_kept(world, freeze=freeze))


def _people(world: World, asked: Rollout | None) -> Iterator[Event]:
    yield Event("rollback", act=lambda _w, c: c.rollback(reason="odd", actor="ann") and None, order=True)
    for name in sorted({r.release for r in world.rollouts()}):
        yield Event(
            f"rollback to {name}",
            act=lambda _w, c, name=name: c.rollback(reason="odd", actor="ann", to=name) and None,
            order=True,
        )
    if asked is None:
        return
    yield Event("hold" if asked.state is not S.HELD else "resume", act=ordered(K.HOLD, K.RESUME, asked), order=True)
    yield Event("reject", act=ordered(K.REJECT, K.REJECT, asked), order=True)
    yield Event("override", act=lambda world, c: overridden(world, c, asked), order=True)
    if asked.state is S.AWAITING_APPROVAL:
        for name in PEOPLE:
            yield Event(f"{name} approves", act=lambda _w, c, name=name: approved(c, name, asked), order=True)
        yield Event("approvals expire", lambda world: shift(world, DAY))


# What changes in the world.


def set_kept(world: World, **changes: object) -> None:
    world.kept = replace(world.kept, **changes)


def shift(world: World, by: timedelta) -> None:
    set_kept(world, now=world.kept.now + by)


def new_release(world: World) -> None:
    """Let staging accept a release: done before anybody submits it."""
    name = f"rel-{world.kept.submitted + 1}"
    set_kept(world, submitted=world.kept.submitted + 1)
    with world.aside() as ledger, ledger.change("staging", world.now()) as change:
        change.add(ReleaseRecord(name, "digest", "path", "run", world.now(), "accepted", None, {}))
        change.note("release.accept", name)


def a_day(world: World, trial: Rollout, difference: float) -> World:
    """Let a day go by whose labels are there at its end."""
    shift(world, DAY)
    offer(world, trial, (PairedDay(world.now().date(), difference, 24, world.now()),))
    return world


def a_day_without_labels(world: World) -> None:
    shift(world, DAY)
    missing = Evidence(labels_missing_since=world.now() - DAY)
    world.evidence.update({rollout.release: missing for rollout in world.rollouts()})


def batch(world: World, trial: Rollout, name: str) -> None:
    """Let the labels of many days come at once, late."""
    difference, count, first = BATCHES[name]
    days = (PairedDay(first + timedelta(days=k), difference, 24, world.now()) for k in range(count))
    offer(world, trial, tuple(days))


def corrected(world: World, trial: Rollout) -> None:
    """Let labels of closed days come again with other numbers, in another order."""
    days = [replace(day, difference=-5 * day.difference) for day in world.stored_days(trial.key)]
    offer(world, trial, tuple(reversed(days)))


def offer(world: World, trial: Rollout, days: tuple[PairedDay, ...]) -> None:
    before = dict(world.kept.pending)
    before[trial.key] = (*before.get(trial.key, ()), *days)
    set_kept(world, pending=tuple(sorted(before.items())))


def known(world: World, release: str, incidents: dict[str, int]) -> None:
    world.evidence[release] = Evidence(incidents=incidents)


def said(world: World, champion: Rollout, evidence: Evidence) -> None:
    world.evidence[champion.release] = evidence


def tamper(world: World, release: str) -> None:
    set_kept(world, tampered=world.kept.tampered ^ {release})


def free_again(world: World) -> list[str]:
    """Return the releases that were rolled out before, may be once more, and are not now."""
    alive = {rollout.release for rollout in world.rollouts() if not rollout.finished}
    states = {name: record.state for name, record in world.releases().items()}
    return sorted(name for name, state in states.items() if name not in alive and state in {"accepted", "retired"})


# What is asked of a controller.


def submit(world: World, controller: RolloutController, again: str = "") -> None:
    name = again or f"rel-{world.kept.submitted}"
    proposers = Proposers((PROPOSER,)) if world.people else Proposers()
    controller.submit(name, world.plan, scale=SCALE, reason="staging passed", proposers=proposers)


def ordered(kind: CommandKind, other: CommandKind, asked: Rollout) -> Callable[[World, RolloutController], None]:
    chosen = other if asked.state is S.HELD else kind
    return lambda _world, controller: controller.order(Order(chosen, "ann", "why", "lead", asked.key)) and None


def overridden(world: World, controller: RolloutController, asked: Rollout) -> None:
    controller.order(Order(K.OVERRIDE, "ann", "I answer for it", "lead", asked.key), world)


def approved(controller: RolloutController, name: str, asked: Rollout) -> None:
    controller.approve(Order(K.RESUME, name, "fine", PEOPLE[name], asked.key), case="", lasts=DAY / 2)
