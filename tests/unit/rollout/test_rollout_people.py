"""Approvals, freezes and orders of people: every reachable state at small scope; the controller on a real ledger."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from recloser.core import Refused, VirtualClock
from recloser.ledger import ActRecord, NoticeRecord, RolloutRecord, RouteRecord
from recloser.rollout import (
    Approval,
    CanaryStep,
    Command,
    CommandKind,
    Evidence,
    Order,
    PairedDay,
    Promotion,
    Proposers,
    Rollout,
    RolloutController,
    RolloutPlan,
    RolloutState,
    Settings,
    agreement,
    decide,
    explain,
)
from recloser.rollout import apply as applied
from recloser.rollout.machine.table import TABLE
from recloser.rollout.rollout import FINISHED

S = RolloutState
K = CommandKind
DAY = timedelta(days=1)
T0 = datetime(2020, 3, 2, 9, tzinfo=UTC)
PLAN = RolloutPlan(
    shadow_days=1,
    steps=(CanaryStep(0.0, 1, ("north",)), CanaryStep(0.5, 1)),
    probation_days=1,
    deadline_days=9000,
    promotion=Promotion.NO_EVIDENCE_OF_HARM,
    harmless_days=2,
    approve_before=("traffic", "promotion"),
    approvers=2,
    approver_roles=("lead",),
)
ROLES = {"ann": "lead", "ben": "owner", "cat": "owner", "eve": "lead"}  # eve proposed the release


@dataclass(frozen=True)
class Node:
    """One state of a tiny world: the rollout, what people said, a freeze, guard incidents, the days so far."""

    rollout: Rollout
    now: datetime
    approvals: tuple[Approval, ...] = ()
    freeze: str = ""
    incidents: int = 0
    days: tuple[PairedDay, ...] = ()

    def evidence(self, command: Command | None = None) -> Evidence:
        return Evidence(
            ready=True,
            target_ready=True,
            package="p",
            incidents={"rel-new": self.incidents},
            days=self.days,
            freeze=self.freeze,
            approvals=self.approvals,
            command=command,
        )

    def valid(self) -> set[str]:
        return {a.name for a in self.approvals if a.case == self.rollout.case and self.now < a.expires_at}

    def enough(self) -> bool:
        names = self.valid() - {"eve"}
        lead = self.rollout.overridden or "lead" in {ROLES.get(name) for name in names}
        return len(names) >= 2 and bool(lead)

    def key(self) -> tuple[object, ...]:
        r = self.rollout
        age = min(1, (self.now - r.since) // DAY)
        proven = len(self.days) >= 2
        void = {a.name for a in self.approvals} - self.valid()
        names = (frozenset(self.valid()), bool(void))
        stands = (r.state, r.held_from, r.step, r.pulled, bool(r.overridden))
        return (*stands, names, self.freeze, self.incidents, age, proven)


def moved(node: Node, command: Command | None) -> Node:
    """Take one step of the machine and hold the invariants of people over it."""
    rollout, evidence = node.rollout, node.evidence(command)
    action = decide(rollout, evidence, node.now)
    again = Rollout.from_record(rollout.to_record())  # a crash after any write: the same verdict
    assert decide(again, evidence, node.now) == action
    if action.changes(rollout):
        assert action.state in TABLE[rollout.state][action.event]
    following = applied(rollout, action, node.now)
    kind = None if command is None or action.handled != command.key else command.kind
    gains = following.phase in {S.CANARY, S.PROBATION, S.CHAMPION} and (
        (following.phase, following.step) != (rollout.phase, rollout.step)
    )
    if gains:
        assert not node.freeze
        assert rollout.state is not S.HELD
        asked = rollout.phase is S.SHADOW or following.phase is S.PROBATION or following.state is S.CHAMPION
        two = kind is K.OVERRIDE and len(node.valid() - {"eve", "dan"}) >= 1  # dan, who overrides, is the other one
        assert not asked or rollout.phase is S.PROBATION or two or (rollout.case and node.enough())
    if command is not None and command.kind is K.ROLLBACK and rollout.state not in FINISHED:
        assert following.state is S.ROLLED_BACK  # I3: whatever is frozen, held or awaited
    if following.state is S.AWAITING_APPROVAL:
        assert following.case
        assert following.share == rollout.share
    said = node.approvals
    if kind is K.OVERRIDE and following.overridden:  # written with it, as `changes.acts_of` says
        said = (*said, Approval("dan", "chief", following.case, node.now + 3 * DAY))
    return replace(node, rollout=following, approvals=said)


def neighbours(node: Node) -> list[Node]:
    day = PairedDay((node.now - DAY).date(), -0.1, 24, node.now + DAY)
    later = replace(node, now=node.now + DAY, days=(*node.days, day))
    found = [moved(later, None), moved(node, None)]
    found += [moved(node, Command(f"{kind}{node.now}", kind, "dan", "why")) for kind in K]
    case = node.rollout.case
    if case:
        for name, role in ROLES.items():
            if name not in node.valid():
                yes = Approval(name, role, case, node.now + 3 * DAY)
                found.append(replace(node, approvals=(*node.approvals, yes)))
        found.append(replace(node, now=node.now + 4 * DAY))
    found.append(replace(node, freeze="" if node.freeze else "storm"))
    if node.incidents < 1:
        found.append(replace(node, incidents=node.incidents + 1))
    return found


def test_every_reachable_state_with_people_keeps_the_invariants(build):
    first = build.rollout(S.QUEUED, PLAN, proposers=Proposers(("eve",)))
    start = Node(first, T0)
    seen, edge = {start.key(): start}, [start]
    while edge:
        fresh = {other.key(): other for node in edge for other in neighbours(node)}
        edge = [node for key, node in fresh.items() if key not in seen]
        seen.update({node.key(): node for node in edge})
    reached = {node.rollout.state for node in seen.values()}
    assert reached >= {S.AWAITING_APPROVAL, S.HELD, S.CANARY, S.PROBATION, S.CHAMPION, S.ROLLED_BACK, S.ABORTED}
    stopped = {(n.rollout.state, n.rollout.held_from) for n in seen.values()}
    assert {(S.AWAITING_APPROVAL, S.SHADOW), (S.AWAITING_APPROVAL, S.CANARY), (S.HELD, S.CANARY)} <= stopped
    assert len(seen) > 300


def asking(build) -> Node:
    """A canary at its last step that asks people about its promotion."""
    days = build.days([-0.1] * 6, closed=T0 + DAY)
    canary = build.rollout(S.CANARY, PLAN, step=1, proposers=Proposers(("eve",)))
    node = moved(Node(canary, T0 + 9 * DAY, days=days), None)
    assert (node.rollout.state, node.rollout.held_from) == (S.AWAITING_APPROVAL, S.CANARY)
    return node


def approved(node: Node, *names: str) -> Node:
    case, until = node.rollout.case, node.now + 3 * DAY
    return replace(node, approvals=tuple(Approval(name, ROLES[name], case, until) for name in names))


@pytest.mark.parametrize(
    ("names", "promoted"),
    [
        (("ann",), False),
        (("ann", "ann"), False),
        (("ben", "cat"), False),
        (("eve", "ben"), False),
        (("ann", "ben"), True),
    ],
)
def test_two_people_one_of_them_a_lead_and_not_the_proposer(build, names, promoted):
    state = moved(approved(asking(build), *names), None).rollout.state
    assert (state is S.PROBATION) is promoted


def test_changed_evidence_voids_approvals_and_asks_anew(build):
    node = approved(asking(build), "ann", "ben")
    changes = {
        "incident": replace(node, incidents=1),
        "an earlier day": replace(node, days=(replace(node.days[0], difference=-0.4), *node.days[1:])),
    }
    for changed in changes.values():
        after = moved(changed, None)
        assert (after.rollout.state, "void" in after.rollout.reason) == (S.AWAITING_APPROVAL, True)
        assert after.rollout.case != node.rollout.case
        assert moved(after, None).rollout == after.rollout
        assert moved(approved(after, "ann", "ben"), None).rollout.state is S.PROBATION
    later = build.days([-0.2], start=(node.now + DAY).date(), closed=node.now + DAY)
    assert moved(replace(node, days=(*node.days, *later)), None).rollout.state is S.PROBATION


def test_evidence_that_no_longer_carries_the_promotion_takes_the_question_back(build):
    node = approved(asking(build), "ann", "ben")
    harm = build.days([1.2], start=(node.now + DAY).date(), closed=node.now + DAY)
    after = moved(replace(node, days=(*node.days, *harm)), None)
    assert (after.rollout.state, after.rollout.case) == (S.CANARY, "")


def test_expired_approvals_do_not_count_and_are_named(build):
    node = approved(asking(build), "ann", "ben")
    late = replace(node, now=node.now + 3 * DAY)
    assert moved(late, None).rollout == node.rollout
    assert "expired: ann, ben" in decide(late.rollout, late.evidence(), late.now).reason


def test_nobody_overrides_a_freeze_or_signs_of_harm(build):
    node = asking(build)
    order = Command("o", K.OVERRIDE, "ann", "needed tonight")
    assert moved(approved(node, "ben"), order).rollout.state is S.PROBATION
    assert moved(approved(replace(node, freeze="storm"), "ben"), order).rollout == node.rollout
    harmful = build.rollout(S.CANARY, PLAN, step=1, pulled=True)
    kept = Node(harmful, T0 + 9 * DAY, days=build.days([0.06, 0.08] * 2))
    assert moved(kept, order).rollout.state is S.CANARY
    unready = replace(node.evidence(order), ready=None)
    assert not decide(node.rollout, unready, node.now).changes(node.rollout)


@pytest.fixture
def controller(ledger, router, build):
    return RolloutController(ledger, router, VirtualClock(build.t0), lambda _: "", Settings(timedelta(hours=1)))


def accept(controller, ledger, build, name, plan):
    with ledger.change("staging", build.t0) as change:
        change.add(build.release(name))
        change.note("release.accept", name)
    return controller.submit(name, plan, scale=0.1, reason="passed", proposers=Proposers(("eve",)))


def test_the_first_model_waits_for_two_people_and_each_act_is_in_the_log(controller, ledger, source, build):
    rollout = accept(controller, ledger, build, "rel-1", PLAN)
    controller.tick(source)
    asked = Rollout.from_record(ledger.get(RolloutRecord, rollout.key))
    assert (asked.state, ledger.get(RouteRecord, "route")) == (S.AWAITING_APPROVAL, None)
    told = explain(*controller.inspect(source, rollout.key), build.t0)
    assert told["approval"]["case"] == asked.case
    assert "0 of 2 people" in told["approval"]["missing"][0]

    def approve(name, case=""):
        order = Order(K.RESUME, name, "checked", ROLES[name], "rel-1")
        controller.approve(order, case=case, lasts=DAY)

    approve("ann", asked.case[:12])
    with pytest.raises(Refused, match="proposed"):
        approve("eve")
    with pytest.raises(Refused, match="changed since you saw it"):
        approve("ben", "0123456789ab")
    controller.tick(source)
    assert ledger.get(RouteRecord, "route") is None
    approve("ben")
    controller.tick(source)
    assert ledger.get(RouteRecord, "route").champion == "rel-1"
    assert "approved by ann, ben" in ledger.get(RolloutRecord, rollout.key).reason
    with pytest.raises(Refused, match="does not await"):
        approve("ann")
    actions = [(entry.action, entry.actor) for entry in ledger.entries() if entry.action == "rollout.approve"]
    assert actions == [("rollout.approve", "ann"), ("rollout.approve", "ben")]
    assert agreement(ledger.find(ActRecord))["share"] == 1.0
    assert ledger.verify().ok


def test_reject_override_and_rollback_are_acts_against_the_advice(controller, ledger, source, build):
    free = replace(PLAN, approve_before=())
    accept(controller, ledger, build, "rel-1", free)
    controller.tick(source)
    accept(controller, ledger, build, "rel-2", free)
    controller.tick(source)
    with pytest.raises(Refused, match="no such rollout"):
        controller.order(Order(K.REJECT, "ann", "odd", rollout="rel-9"))
    controller.order(Order(K.OVERRIDE, "ann", "needed tonight", "lead"), source)
    route = ledger.get(RouteRecord, "route")
    assert (route.canary, route.share, route.cohort) == ("rel-2", 0.0, ["north"])
    source.by_release["rel-2"] = Evidence(freeze="storm (until it is lifted)")
    with pytest.raises(Refused, match="nobody may override this: promotions are frozen: storm"):
        controller.order(Order(K.OVERRIDE, "ann", "again"), source)
    controller.order(Order(K.REJECT, "ben", "not in this season", rollout="rel-2"))
    assert ledger.get(RouteRecord, "route").canary is None
    with pytest.raises(Refused, match="use `recloser rollback`"):
        controller.order(Order(K.REJECT, "ben", "no", rollout="rel-1"))
    controller.rollback(reason="odd", actor="cat")
    kinds = [(act.kind, act.name, act.followed) for act in ledger.find(ActRecord, order_by="at")]
    assert sorted(kinds) == [("override", "ann", False), ("reject", "ben", False), ("rollback", "cat", False)]
    assert {"rollout.override", "rollout.reject", "rollout.rollback"} <= {e.action for e in ledger.entries()}
    assert agreement(ledger.find(ActRecord))["against"] == 3
    assert [notice.kind for notice in ledger.find(NoticeRecord)] == ["alarm"]  # nothing had been forecast
