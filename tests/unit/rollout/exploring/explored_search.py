"""Explores a world breadth first: every state once, every event in it, every place where its process may die.

Two states are one if nothing that a later decision can read tells them apart at this scope: see `likeness`.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from explored_events import Event, enabled
from explored_invariants import Seen, Step, hold
from explored_world import DAY, Crash, Kept, World

from recloser.core import Conflict, InvalidInput, Refused, Unavailable
from recloser.ledger import ActRecord, NoticeRecord, RouteRecord, TripRecord
from recloser.rollout import Evidence, Rollout, RolloutState
from recloser.rollout.gates import promoted_days, t2_numbers
from recloser.rollout.rollout import TRYING

S = RolloutState
OLDEST = 5
TICK = Event("tick")
UNEQUAL = {"rollout.lease"}
"""Audit entries that a second beginning may write more or less often: each renewal follows from the time of day."""


@dataclass(slots=True)
class Counts:
    """What an exploration did.

    Attributes:
        states, transitions: visited, and taken without a fault.
        points: places at which a transition could be interrupted.
        faults: interrupted runs, each followed to its rest, by kind.
        left: states at the edge that were not looked into.
        moves: (state, state) of rollouts, as taken.
        events: names of what happened.
    """

    states: int = 0
    transitions: int = 0
    points: int = 0
    left: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    moves: set[tuple[RolloutState, RolloutState]] = field(default_factory=set)
    events: Counter[str] = field(default_factory=Counter)

    def row(self) -> list[int]:
        """Return the numbers that the documentation has."""
        return [self.states, self.transitions, self.points, sum(self.faults.values()), self.left]

    def line(self) -> str:
        faults = ", ".join(f"{count:,} {kind}" for kind, count in sorted(self.faults.items()))
        return (
            f"{self.states:,} states, {self.transitions:,} transitions, {self.points:,} crash points, "
            f"interrupted {sum(self.faults.values()):,} times ({faults}); {self.left:,} states at the edge"
        )


def begun(world: World, kept: Kept) -> Seen:
    """Set the world to a moment and return what is stored then."""
    world.begin(kept)
    return Seen.of(world)


def perform(world: World, kept: Kept, event: Event, fault: Fault | None = None) -> Step:
    """Let an event happen at a moment, interrupted or not, and hold the invariants over it."""
    before = begun(world, kept)
    event.prepare(world)
    world.at_point = None if fault is None else fault.strike(world)
    return _asked(world, before, event, fault)


def _asked(world: World, before: Seen, event: Event, fault: Fault | None = None) -> Step:
    done = refused = False
    world.verified.clear()
    try:
        event.act(world, world.controller())
        done = True
    except Conflict as error:
        if event.order:
            raise AssertionError(f"after {event.name!r}: I3: whoever asks must ask again") from error
        refused = True
    except Refused:
        refused = True
    except (Unavailable, Crash):
        pass
    except InvalidInput as error:
        raise AssertionError(f"after {event.name!r}: {error.explain()}") from error
    world.at_point = None
    world.rest()
    step = Step(
        before,
        Seen.of(world),
        event.name,
        frozenset(world.verified),
        done,
        refused,
        "" if fault is None else fault.kind,
        event.order,
        world.ledger,
    )
    hold(step)
    return step


def settle(world: World) -> None:
    """Let new controllers look until nothing changes, and hold the invariants over each look."""
    for _ in range(12):
        before = Seen.of(world)
        _asked(world, before, TICK)
        if (world.kept.moment, world.kept.told) == (before.kept.moment, before.kept.told):
            return
    raise AssertionError("it never comes to rest")


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong at one place: 'crash', 'failure' (the ledger or the gateways cannot be reached), 'rival'.

    Attributes:
        rival: what a rival does there instead of a look: what a person asks.
    """

    kind: str
    index: int
    rival: Event = TICK

    def strike(self, world: World) -> Any:
        def at_point(index: int, _name: str) -> None:
            if index != self.index:
                return
            if self.kind == "crash":
                raise Crash
            if self.kind == "failure":
                raise Unavailable("not now")
            world.at_point = None
            with suppress(Refused, Unavailable):
                self.rival.act(world, world.controller())

        return at_point


def faults_of(points: list[str]) -> Iterator[Fault]:
    """Return all that can go wrong: a crash anywhere, and before each write or call a failure and a rival."""
    for index, point in enumerate(points):
        yield Fault("crash", index)
        if point.startswith("before"):
            yield Fault("failure", index)
            yield Fault("rival", index)


def explore(world: World, depth: int, roots: Sequence[Kept] = (Kept(),), *, faults: bool = True) -> Counts:
    """Visit all states within so many events of the roots, and interrupt every transition at each of its places.

    Raises:
        AssertionError: an invariant does not hold; says after which events.
    """
    found = Counts()
    queue = deque((kept, (f"root {number}",)) for number, kept in enumerate(roots))
    known: set[Any] = set()
    while queue:
        kept, path = queue.popleft()
        world.begin(kept)
        like = likeness(world)
        if like in known:
            continue
        known.add(like)
        found.states += 1
        if len(path) > depth:
            found.left += 1
            continue
        for event in list(enabled(world)):
            way = (*path, event.name)
            try:
                queue.append((_transition(world, kept, event, found, faults=faults), way))
            except AssertionError as error:
                raise AssertionError(f"{' > '.join(way)}: {error}") from error
    return found


def _transition(world: World, kept: Kept, event: Event, counts: Counts, *, faults: bool) -> Kept:
    step = perform(world, kept, event)
    points = list(world.points)
    counts.transitions += 1
    counts.points += len(points)
    counts.events[event.name] += 1
    counts.moves |= {(old.state, new.state) for old, new in step.moved()}
    event.leave(world)
    after = world.end()
    if points and faults:
        _interrupt(world, kept, event, points, counts)
    return after


def _interrupt(world: World, kept: Kept, event: Event, points: list[str], counts: Counts) -> None:
    perform(world, kept, event)
    settle(world)
    ends = [outcome(world)]
    if event.order:  # who asked and got no answer does not know; it must be one of the two
        perform(world, kept, Event("not asked", event.prepare))
        settle(world)
        ends.append(outcome(world))
        perform(world, kept, Event("a rival came first", event.prepare))
        _asked(world, Seen.of(world), event)
        settle(world)
        ends.append(outcome(world))
    for fault in faults_of(points):
        try:
            perform(world, kept, event, fault)
            settle(world)
        except AssertionError as error:
            raise AssertionError(f"{fault.kind} {points[fault.index]!r}: {error}") from error
        counts.faults[fault.kind] += 1
        got, wanted = outcome(world), ends
        if event.order and fault.kind == "rival":  # the way may have a step more: what the rival did is undone
            got, wanted = state_of(got), [state_of(end) for end in ends]
        assert got in wanted, f"{event.name!r}, {fault.kind} {points[fault.index]!r}: {different(wanted[0], got)}"


def outcome(world: World) -> dict[str, Any]:
    """Return what must be the same however often it was interrupted: all but times, epochs and hashes."""
    ledger = world.ledger
    actions = Counter(note.action for change in ledger.moment.changes for note in change.notes)
    return {
        "like": likeness(world),
        "trips": sorted((trip.release, trip.tier) for trip in ledger.find(TripRecord)),
        "notices": sorted((notice.subject, notice.kind) for notice in ledger.find(NoticeRecord)),
        "acts": sorted((act.release, act.kind, act.name) for act in ledger.find(ActRecord)),
        "entries": sorted((action, count) for action, count in actions.items() if action not in UNEQUAL),
    }


def state_of(end: dict[str, Any]) -> dict[str, Any]:
    """Return an end without the way to it."""
    return {name: end[name] for name in ("like", "trips", "acts")}


def different(wanted: dict[str, Any], got: dict[str, Any]) -> str:
    return "; ".join(f"{key}: {wanted[key]} -> {got[key]}" for key in wanted if wanted[key] != got[key])


def likeness(world: World) -> tuple[Any, ...]:
    """Return what tells states apart.

    Left out are reasons, facts, epochs, hashes and times of day; ages count in whole days up to `OLDEST`, closed days
    by the verdicts of the tests over them and by how many the gates ask for, a route told by how it differs from the
    ledger's, approvals by who has said yes to the present case.
    """
    kept, now = world.kept, world.kept.now
    rollouts = world.rollouts()
    alive = tuple(_like(world, rollout) for rollout in rollouts if not rollout.finished)
    past = tuple(
        sorted((r.release, r.state, str(r.champion)) for r in rollouts if r.finished and r.promoted_at is not None)
    )
    releases = tuple(sorted((name, record.state) for name, record in world.releases().items()))
    route, told = world.route(), kept.told
    lag = None if told is None or route is None else (route.epoch == told.epoch, route.lease_until == told.lease_until)
    pending = tuple((key, len(days)) for key, days in kept.pending)
    return (
        alive,
        past,
        releases,
        _route(route, now),
        _route(told, now),
        lag,
        (kept.down, kept.tampered, bool(kept.freeze), kept.submitted, pending and len(pending)),
    )


def _route(route: RouteRecord | None, now: Any) -> tuple[Any, ...] | None:
    if route is None:
        return None
    left = None if route.lease_until is None else max(0, min(5, ceil((route.lease_until - now) / (DAY / 2))))
    return (route.champion, route.canary, route.share, tuple(route.cohort), route.shadow, left)


def _like(world: World, rollout: Rollout) -> tuple[Any, ...]:
    now = world.kept.now

    def age(since: Any) -> int | None:
        return None if since is None else min(OLDEST, max(-1, (now - since) // DAY))

    days = world.stored_days(rollout.key) if rollout.state in TRYING else []
    judged = promoted_days(rollout, Evidence(days=tuple(days)))
    numbers = t2_numbers(rollout, judged)
    mean = numbers["mean"]
    said = (
        min(numbers["days"], rollout.plan.harmless_days),
        numbers["worse"],
        numbers["good"],
        numbers["surely_worse"],
        mean is not None and mean > rollout.plan.margin,
        min(1, sum(1 for day in judged if day.closed_at > rollout.since)),
    )
    acts = world.ledger.find(ActRecord, rollout=rollout.key, kind="approve", evidence_digest=rollout.case or "none")
    yes = tuple(sorted(act.name for act in acts if act.expires_at is not None and act.expires_at > now))
    ages = (
        (age(rollout.started_at),)
        if rollout.state is S.QUEUED
        else (age(rollout.since), age(rollout.promoted_at) if rollout.phase is S.PROBATION else age(rollout.tried_at))
    )
    champion = None if rollout.phase is S.QUEUED else rollout.champion  # it is tried against who serves when it starts
    stands = (
        rollout.release,
        champion,
        rollout.state,
        rollout.held_from,
        rollout.step,
        rollout.pulled,
        bool(rollout.overridden),
    )
    return (*stands, () if rollout.state is S.CHAMPION else ages, said if days else (), yes)


LIVES = {  # event by event; one that does not begin with a submission goes on from the one before
    "plain": (
        "submit, tick, submit, tick, a good day, a good day, a good day, a good day, submit, tick, a good day",
        "submit, tick, submit, tick, a good day, late labels: harm, late labels: good, hold",
    ),
    "people": (
        "submit, tick, ann approves, ben approves, tick, submit, tick, a good day, ann approves, ben approves, tick",
        "a good day, ann approves, ben approves, tick, a good day, submit, tick, a good day, hold",
    ),
}


def play(world: World, names: str, kept: Kept | None = None) -> Kept:
    """Let events happen one after the other, by name, and return what is left; each holds the invariants."""
    left = Kept() if kept is None else kept
    for name in names.split(", "):
        world.begin(left)
        event = next((one for one in enabled(world) if one.name == name), None)
        assert event is not None, f"{name!r} cannot happen now"
        perform(world, left, event)
        event.leave(world)
        left = world.end()
    return left


def roots_of(plan: str) -> list[Kept]:
    """Return the moments of quiet lives, from nothing on: a first champion, a release that follows it, a third."""
    world = World(plan)
    found = [Kept()]
    for life in LIVES[plan]:
        kept = found[0] if life.startswith("submit") else found[-1]
        for name in life.split(", "):
            kept = play(world, name, kept)
            found.append(kept)
    return found
