"""One person alone never promotes: everything that one person can do, in every order, under every spelling."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from recloser.rollout import (
    Approval,
    CanaryStep,
    Command,
    CommandKind,
    Evidence,
    PairedDay,
    Promotion,
    Proposers,
    Rollout,
    RolloutPlan,
    RolloutState,
    decide,
    identity,
)
from recloser.rollout import apply as applied

S, K = RolloutState, CommandKind
DAY = timedelta(days=1)
T0 = datetime(2020, 3, 2, 9, tzinfo=UTC)
SPELLINGS = {
    "ann": ("ann", "Ann", " ANN ", "\uff41nn", "a\u200bnn"),
    "eve": ("eve", "EVE", "Eve ", "\uff25ve", "e\u00adve"),
}
PLAN = RolloutPlan(
    shadow_days=1,
    steps=(CanaryStep(0.5, 1),),
    probation_days=1,
    deadline_days=9000,
    promotion=Promotion.NO_EVIDENCE_OF_HARM,
    harmless_days=1,
    approve_before=("traffic", "promotion"),
    approver_roles=("lead",),
)


@dataclass(frozen=True)
class Node:
    """A rollout, the time, and what the one person has said."""

    rollout: Rollout
    now: datetime
    approvals: tuple[Approval, ...] = ()

    def key(self) -> tuple[object, ...]:
        r = self.rollout
        said = frozenset(a.name for a in self.approvals if a.case == r.case)
        return (r.state, r.held_from, r.step, bool(r.overridden), said, min(2, (self.now - r.since) // DAY))


def evidence(node: Node, command: Command | None = None) -> Evidence:
    days = tuple(
        PairedDay((T0 + k * DAY).date(), -0.1, 24, T0 + (k + 1) * DAY) for k in range(max(0, (node.now - T0) // DAY))
    )
    return Evidence(
        ready=True, target_ready=True, package="p", days=days, approvals=node.approvals, command=command, today=node.now
    )


def stepped(node: Node, command: Command | None = None) -> Node:
    action = decide(node.rollout, evidence(node, command), node.now)
    following = applied(node.rollout, action, node.now)
    said = node.approvals
    if command is not None and command.kind is K.OVERRIDE and action.handled and action.case:
        said = (*said, Approval(command.actor, "lead", action.case, node.now + 90 * DAY))
    return replace(node, rollout=following, approvals=said)


def alone(start: Node, names: tuple[str, ...]) -> set[RolloutState]:
    """Return every state that one person under these names reaches, with time and ticks on his side."""
    seen, edge = {start.key(): start}, [start]
    while edge:
        fresh: dict[tuple[object, ...], Node] = {}
        for node in edge:
            following = [stepped(node), replace(node, now=node.now + DAY)]
            for name in names:
                following += [stepped(node, Command(f"{kind}{name}{node.now}", kind, name, "why")) for kind in K]
                yes = Approval(name, "lead", node.rollout.case, node.now + 90 * DAY)
                following.append(replace(node, approvals=(*node.approvals, yes)))
            fresh |= {other.key(): other for other in following}
        edge = [node for key, node in fresh.items() if key not in seen]
        seen.update({node.key(): node for node in edge})
    return {node.rollout.state for node in seen.values()}


@pytest.mark.parametrize("champion", ["rel-old", None])
@pytest.mark.parametrize(
    ("person", "people", "proposers"),
    [
        ("ann", 2, Proposers()),  # two must approve, whoever proposed it
        ("ann", 2, Proposers(("eve",))),
        ("eve", 1, Proposers(("eve",))),  # one must approve, but nobody his own
        ("eve", 2, Proposers(("eve",))),
        ("ann", 1, Proposers((), ("operator",))),  # the stranger may be ann
        ("eve", 1, Proposers(("ann", "eve"))),
    ],
)
def test_one_person_alone_promotes_by_no_sequence_of_acts(build, person, people, proposers, champion):
    plan = replace(PLAN, approvers=people)
    first = build.rollout(S.QUEUED, plan, champion=champion, proposers=proposers)
    reached = alone(Node(first, T0), SPELLINGS[person][::2])
    assert not reached & {S.CANARY, S.PROBATION, S.CHAMPION}
    assert reached >= {S.AWAITING_APPROVAL, S.HELD, S.ROLLED_BACK}


@pytest.mark.parametrize("before", [("promotion",), ("traffic",)])
def test_the_first_model_is_promoted_by_nobody_alone_either(build, before):
    plan = replace(PLAN, approve_before=before)
    first = build.rollout(S.QUEUED, plan, champion=None, proposers=Proposers(("eve",)))
    assert S.CHAMPION not in alone(Node(first, T0), SPELLINGS["ann"])


def test_two_people_promote(build):
    first = build.rollout(S.QUEUED, PLAN, proposers=Proposers(("eve",)))
    assert {S.CANARY, S.PROBATION, S.CHAMPION} <= alone(Node(first, T0), ("ann", "ben"))


def test_what_a_machine_asked_for_needs_as_many_people_as_the_plan_says(build):
    first = build.rollout(S.QUEUED, replace(PLAN, approvers=1))
    assert S.CHAMPION in alone(Node(first, T0), ("ann",))
    assert S.CHAMPION in alone(Node(replace(first, proposers=Proposers(("eve",))), T0), ("ann",))


def test_who_overrides_is_one_of_two_people_and_waives_the_roles(build):
    start = Node(build.rollout(S.SHADOW, PLAN, proposers=Proposers(("eve",))), T0)
    asked = stepped(start, Command("o", K.OVERRIDE, "ann", "storm damage"))
    assert (asked.rollout.state, asked.rollout.held_from) == (S.AWAITING_APPROVAL, S.SHADOW)
    assert asked.rollout.overridden == "override by ann: storm damage"
    own = stepped(start, Command("o", K.OVERRIDE, "Eve", "mine"))
    assert own.rollout == start.rollout
    yes = Approval("ben", "owner", asked.rollout.case, T0 + DAY)
    done = stepped(replace(asked, approvals=(*asked.approvals, yes)))
    assert (done.rollout.state, done.rollout.overridden) == (S.CANARY, "")
    assert done.rollout.reason.startswith("override by ann: storm damage; approved by ann, ben")
    late = replace(asked, approvals=(*asked.approvals, yes), now=T0 + 91 * DAY)
    assert "expired" in decide(late.rollout, evidence(late), late.now).reason


def test_spellings_of_one_name_are_one_person():
    for spellings in SPELLINGS.values():
        assert len({identity(name) for name in spellings}) == 1
    assert identity("ann") != identity("anna")
    assert Proposers(("Ann",), ("x <x@y.org>",)).joined(Proposers(("ANN", "ben"))).known == ("Ann", "ben")
