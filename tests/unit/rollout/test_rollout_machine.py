"""A tiny world of releases, gateways and operators run at random: the invariants of a rollout after each step."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from recloser.core import Refused
from recloser.ledger import ReleaseRecord, RouteRecord
from recloser.rollout import (
    Approval,
    CanaryStep,
    Command,
    CommandKind,
    Evidence,
    PairedDay,
    Promotion,
    Rollout,
    RolloutPlan,
    RolloutState,
    Settings,
    decide,
    new_rollout,
)
from recloser.rollout.changes import writes_of
from recloser.rollout.gates import needs_approval
from recloser.rollout.moves import Move, companions, reopening, rollback_subject
from recloser.rollout.people.case import case_digest
from recloser.rollout.rollout import FINISHED, TRYING, World, in_turn, later, trial_of

S = RolloutState
T0 = datetime(2020, 3, 2, 9, tzinfo=UTC)
NAMES = ("ann", "ben", "cat")
SETTINGS = Settings(resolution=timedelta(hours=1), lease=timedelta(days=2))


class RolloutWorld(RuleBasedStateMachine):
    """The controller's ticks in memory, on the real `decide` and `writes_of`; gateways keep a copy of the route."""

    def __init__(self) -> None:
        super().__init__()
        self.now = T0
        self.rollouts: dict[str, Rollout] = {}
        self.releases: dict[str, ReleaseRecord] = {}
        self.route: RouteRecord | None = None
        self.told: RouteRecord | None = None
        self.days: dict[str, list[PairedDay]] = {}
        self.tampered: set[str] = set()
        self.bad: dict[str, int] = {}
        self.divergence = 0
        self.freeze = ""
        self.approvals: dict[str, list[Approval]] = {}
        self.alarms: list[str] = []
        self.count = 0

    @initialize(good_days=st.integers(0, 18), champions=st.integers(1, 3))
    def a_trial_under_way(self, good_days: int, champions: int) -> None:
        for _ in range(champions):
            self.try_a_better_one(18, Promotion.NO_EVIDENCE_OF_HARM)
        self.try_a_better_one(good_days, Promotion.EVIDENCE)

    @rule(days=st.integers(1, 18), promotion=st.sampled_from(list(Promotion)))
    def try_a_better_one(self, days: int, promotion: Promotion) -> None:
        self.new_release(0.2, promotion, 0)
        self.live(days, -0.3, labels=True)

    @rule(people=st.integers(1, 2), days=st.integers(1, 18), names=st.sets(st.sampled_from(NAMES)))
    def try_one_that_people_must_approve(self, people: int, days: int, names: set[str]) -> None:
        self.new_release(0.2, Promotion.NO_EVIDENCE_OF_HARM, people)
        for _ in range(days):
            self.live(1, -0.3, labels=True)
            for name in sorted(names):
                self.somebody_approves(name)

    @rule(name=st.sampled_from(NAMES))
    def somebody_approves(self, name: str) -> None:
        trial = next((r for r in self.rollouts.values() if r.state is S.AWAITING_APPROVAL), None)
        if trial is not None:
            yes = Approval(name, "lead", trial.case, self.now + timedelta(days=3))
            self.approvals.setdefault(trial.key, []).append(yes)

    @rule(
        scale=st.sampled_from([0.1, 0.2]),
        promotion=st.sampled_from(list(Promotion)),
        people=st.sampled_from([0, 0, 2]),
    )
    def new_release(self, scale: float, promotion: Promotion, people: int) -> None:
        if self.count >= 12:
            return
        self.count += 1
        name = f"rel-{self.count}"
        self.releases[name] = ReleaseRecord(name, "d", "p", "r", self.now, "accepted", None, {})
        plan = RolloutPlan(
            shadow_days=2,
            steps=(CanaryStep(0.2, 2), CanaryStep(0.6, 2)),
            probation_days=6,
            deadline_days=20,
            harmless_days=6,
            promotion=promotion,
            approve_before=("traffic", "promotion") if people else (),
            approvers=max(1, people),
        )
        champion = self.route.champion if self.route else None
        rollout = new_rollout(name, champion, plan, self.now, scale=scale or None, reason="new")
        self.rollouts[rollout.key] = rollout

    @rule(days=st.integers(1, 12), difference=st.sampled_from([-0.3, 0.0, 0.3]), labels=st.booleans())
    def live(self, days: int, difference: float, *, labels: bool) -> None:
        """Let days pass with a controller that ticks daily."""
        for _ in range(days):
            self.now += timedelta(days=1)
            trial = trial_of(self.world())
            if trial is not None and labels:
                day = PairedDay((self.now - timedelta(days=1)).date(), difference, 24, self.now)
                self.days.setdefault(trial.key, []).append(day)
            self.tick()

    @rule(days=st.integers(1, 4))
    def controller_is_dead(self, days: int) -> None:
        self.now += timedelta(days=days)
        lease = self.told.lease_until if self.told else None
        if lease is not None and self.now >= lease:
            assert self.effective_share() == 0.0  # I8: the gateway alone goes back to the champion

    @rule(back=st.integers(0, 2), count=st.sampled_from([1, 3]))
    def guard_trips(self, back: int, count: int) -> None:
        self.bad[self.recent(back)] = count
        self.tick()

    @rule()
    def guard_is_quiet(self) -> None:
        self.bad.clear()

    @rule(steps=st.sampled_from([0, 1, 5]))
    def diverge(self, steps: int) -> None:
        self.divergence = steps
        self.tick()
        self.divergence = 0

    @rule(back=st.integers(0, 2))
    def tamper(self, back: int) -> None:
        self.tampered ^= {self.recent(back)}

    @rule()
    def toggle_freeze(self) -> None:
        self.freeze = "" if self.freeze else "storm"

    @rule(kind=st.sampled_from([CommandKind.HOLD, CommandKind.RESUME]))
    def hold_or_resume(self, kind: CommandKind) -> None:
        trial = trial_of(self.world())
        if trial is not None:
            self.step(trial, Evidence(command=Command(f"{kind}{self.now}", kind, "ann", "why")))

    @precondition(lambda self: self.route is not None and self.route.champion is not None)
    @rule()
    def operator_rolls_back(self) -> None:
        """I3: whatever the state, the release with the traffic goes."""
        subject = rollback_subject(self.world())
        command = Command(f"rollback{self.now}", CommandKind.ROLLBACK, "ann", "why")
        self.step(subject, self.verified(subject, Evidence(command=command, freeze=self.freeze)))
        assert self.route is not None
        assert subject.release not in {self.route.champion, self.route.canary}
        assert self.rollouts[subject.key].state is S.ROLLED_BACK

    @precondition(lambda self: self.route is not None)
    @rule(back=st.integers(0, 4))
    def operator_rolls_back_to(self, back: int) -> None:
        to = self.recent(back)
        command = Command(f"to{to}{self.now}", CommandKind.ROLLBACK, "ann", "why")
        evidence = Evidence(command=command, target_ready=to not in self.tampered)
        before = (self.route, dict(self.rollouts))
        try:
            moves, target = reopening(self.world(), to, evidence)
        except Refused:
            assert before == (self.route, self.rollouts)
            return
        self.carry_out(moves, target)
        assert self.route is not None
        assert (self.route.champion, self.route.canary) == (to, None)
        assert to not in self.tampered

    @rule()
    def gateways_restart(self) -> None:
        """I7: they come back with what the ledger says, never with more."""
        before = self.effective_share()
        self.told = self.route
        assert self.effective_share() <= max(before, self.route.share if self.route else 0.0)

    def recent(self, back: int) -> str:
        return f"rel-{max(1, self.count - back)}"

    def world(self) -> World:
        alive = sorted(self.rollouts.values(), key=lambda r: (r.started_at, r.key))
        return World(tuple(alive), self.route, self.releases)

    def effective_share(self) -> float:
        if self.told is None or self.told.canary is None:
            return 0.0
        expired = self.told.lease_until is not None and self.now >= self.told.lease_until
        return 0.0 if expired else self.told.share

    def verified(self, rollout: Rollout, evidence: Evidence) -> Evidence:
        target_ready = None if rollout.champion is None else rollout.champion not in self.tampered
        return replace(evidence, ready=rollout.release not in self.tampered, target_ready=target_ready)

    def evidence(self, rollout: Rollout) -> Evidence:
        world = self.world()
        trial = trial_of(world)
        newer = [r for r in world.rollouts if r.state is S.QUEUED and later(r, rollout)]
        lease = None if self.route is None else self.route.lease_until
        return self.verified(
            rollout,
            Evidence(
                incidents=dict(self.bad),
                divergence=self.divergence,
                days=tuple(self.days.get(rollout.key, ())),
                freeze=self.freeze,
                newer=newer[-1].release if newer else None,
                slot_free=trial is None or trial.key == rollout.key,
                reference_serves=rollout.champion == world.champion,
                lease_lost=lease is not None and self.now >= lease,
                settled=self.told == self.route,
                approvals=tuple(self.approvals.get(rollout.key, ())),
            ),
        )

    def tick(self) -> None:
        self.told = self.route
        self.tick_once()
        for rollout in self.rollouts.values():  # I6: what is past its deadline does not survive a tick
            if rollout.phase in {S.SHADOW, S.CANARY} and rollout.tried_at is not None and not rollout.finished:
                assert self.now - rollout.tried_at < timedelta(days=rollout.plan.deadline_days)

    def tick_once(self) -> None:
        for rollout in in_turn(self.world()):
            if self.step(rollout, self.evidence(rollout)):
                return
        if self.route is not None and self.route.lease_until is not None and self.now < self.route.lease_until:
            self.route = replace(self.route, lease_until=self.now + SETTINGS.lease)
            self.told = self.route

    def step(self, rollout: Rollout, evidence: Evidence) -> bool:
        action = decide(rollout, evidence, self.now)
        # I7: the same verdict from what the ledger holds, as after a restart.
        assert decide(Rollout.from_record(rollout.to_record()), evidence, self.now) == action
        if not action.changes(rollout):
            return False
        moves_on = action.state in {S.PROBATION, S.CANARY} and action.state is not rollout.held_from
        if moves_on and rollout.state is S.AWAITING_APPROVAL:  # I10: enough people, all of them for this evidence
            assert not evidence.freeze
            valid = {a.name for a in evidence.approvals if a.case == rollout.case and self.now < a.expires_at}
            assert len(valid) >= rollout.plan.approvers
            assert case_digest(rollout, evidence, rollout.since) == rollout.case
        elif moves_on and needs_approval(rollout):
            raise AssertionError("it went on without asking people")
        if action.state in {S.PROBATION, S.CANARY} and rollout.state in {S.SHADOW, S.CANARY}:
            assert not evidence.freeze
            assert evidence.days  # I6: no data, no step
        self.carry_out([Move(rollout, action, evidence)], action.target)
        return True

    def carry_out(self, moves: list[Move], target: object) -> None:
        world = self.world()
        moves = [*moves, *companions(world, moves, target)]
        before = self.route
        writes = writes_of(world, moves, target, {}, SETTINGS, self.now)
        for rollout in writes.rollouts:
            self.rollouts[rollout.key] = rollout
        for release in writes.releases:
            self.releases[release.key] = release
        self.alarms += writes.alarms
        if writes.route is not None:
            self.route = self.told = writes.route
            self.check_switch(before, writes.route)

    def check_switch(self, before: RouteRecord | None, after: RouteRecord) -> None:
        had = set() if before is None else {before.champion, before.canary}
        new = {after.champion, after.canary} - had - {None}
        assert not new & self.tampered  # I1, I2
        assert before is None or after.epoch == before.epoch + 1
        if after.champion is None and before is not None and before.champion is not None:
            assert self.alarms  # I9

    @invariant()
    def at_most_one_on_trial(self) -> None:
        trials = [r for r in self.rollouts.values() if r.state in TRYING and r.phase is not S.QUEUED]
        assert len(trials) <= 1
        for trial in trials:
            assert self.route is not None
            if trial.phase is S.PROBATION:
                assert (self.route.champion, self.route.shadow) == (trial.release, trial.champion)  # I4
            elif trial.champion == self.route.champion and trial.phase is S.CANARY:
                assert (self.route.canary, self.route.share) == (trial.release, trial.share)
            elif trial.champion == self.route.champion:
                assert (self.route.canary, self.route.shadow) == (None, trial.release)

    @invariant()
    def a_finished_release_has_no_traffic(self) -> None:
        if self.route is None:
            return
        serving = {self.route.champion, self.route.canary} - {None}
        for name in serving:
            states = [r.state for r in self.rollouts.values() if r.release == name]
            assert any(state not in FINISHED for state in states), (name, states)
        assert self.route.canary is None or self.route.lease_until is not None

    @invariant()
    def the_ledger_says_who_is_champion(self) -> None:
        named = {name for name, record in self.releases.items() if record.state == "champion"}
        assert named == ({self.route.champion} - {None} if self.route else set())


RolloutWorld.TestCase.settings = settings(max_examples=20, stateful_step_count=25, deadline=None)
TestRolloutWorld = RolloutWorld.TestCase
