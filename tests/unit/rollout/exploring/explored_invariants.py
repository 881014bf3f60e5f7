"""The ten invariants of a rollout, one class each, held over every transition of a world.

Each is written from what people were promised (the docstring says it), not from the code, and looks only at what is
stored before and after, and at what was verified in between.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from explored_world import PROPOSER, SETTINGS, Kept, World, as_route, rollouts_of, weight

from recloser.ledger import ActRecord, NoticeRecord, PairedDayRecord, ReleaseRecord, RolloutRecord, RouteRecord
from recloser.rollout import Rollout, RolloutState
from recloser.rollout.machine.table import BY_OTHERS, TABLE
from recloser.rollout.rollout import FINISHED, TRYING
from recloser.testing import MemoryLedger

S = RolloutState


@dataclass(frozen=True, slots=True)
class Seen:
    """What is stored at one moment, read once."""

    kept: Kept
    rollouts: dict[str, Rollout]
    route: RouteRecord | None
    releases: dict[str, ReleaseRecord]
    alarms: int

    @classmethod
    def of(cls, world: World) -> Seen:
        ledger = world.ledger
        return cls(
            world.kept,
            {rollout.key: rollout for rollout in rollouts_of(ledger)},
            ledger.get(RouteRecord, "route"),
            {record.key: record for record in ledger.find(ReleaseRecord)},
            len(ledger.find(NoticeRecord, kind="alarm")),
        )

    @property
    def trial(self) -> Rollout | None:
        found = [r for r in self.rollouts.values() if r.state in TRYING and r.phase is not S.QUEUED]
        return found[0] if found else None

    def serving(self) -> set[str]:
        """Return the releases that answer for somebody by the ledger's route."""
        return set() if self.route is None else {self.route.champion, self.route.canary} - {None}


@dataclass(frozen=True, slots=True)
class Step:
    """One transition: what was stored before and after it, what happened, and what was verified meanwhile.

    Attributes:
        done: the controller came to the end of what it was asked; False if it was refused, failed or died.
        refused: it said no (of an order: it must not be carried out).
        disturbed: the kind of fault that was put into it, empty without one.
        order: somebody asked for something; it is not a look of the controller.
    """

    before: Seen
    after: Seen
    event: str
    verified: frozenset[str]
    done: bool
    refused: bool
    disturbed: str
    order: bool
    ledger: MemoryLedger

    @property
    def switched(self) -> bool:
        """Return whether the ledger's route is another decision than before."""
        old, new = self.before.route, self.after.route
        return new is not None and (old is None or old.epoch != new.epoch)

    def moved(self) -> list[tuple[Rollout, Rollout]]:
        """Return the rollouts that stand elsewhere than before."""
        pairs = [(self.before.rollouts.get(key), now) for key, now in self.after.rollouts.items()]
        return [(old, new) for old, new in pairs if old is not None and (old.state, old.step) != (new.state, new.step)]


class I1:
    """Traffic never points at a version without passed readiness and signature."""

    @staticmethod
    def check(step: Step) -> None:
        new = step.after.serving() - step.before.serving()
        for name in new:
            assert name in step.verified, f"{name} got traffic and was not tried"
            assert name not in step.after.kept.tampered, f"{name} got traffic and does not verify"
        for name in step.after.serving():
            state = step.after.releases[name].state
            assert state in {"accepted", "champion"}, f"{name} has traffic and is {state}"
        quiet = step.event == "tick" and step.done and not step.after.kept.down
        if quiet and step.before.kept == step.after.kept:  # nothing was left to do: whoever serves is fit to serve
            bad = step.after.serving() & step.after.kept.tampered
            assert not bad, f"{bad} serves on although its package is bad"


class I2:
    """The target of a rollback is verified again before the switch."""

    @staticmethod
    def check(step: Step) -> None:
        if not step.switched or step.before.route is None:
            return
        old, new = step.before.route.champion, step.after.route.champion
        if new is not None and new != old:
            assert new in step.verified, f"back to {new} without a look at it"
            assert new not in step.after.kept.tampered, f"back to {new}, which does not verify"


class I3:
    """A rollback is allowed in every phase, waiting, promoting and frozen included, and at once."""

    @staticmethod
    def check(step: Step) -> None:
        if step.event != "rollback" or step.disturbed not in {"", "rival"}:
            return
        if step.disturbed:  # whoever else writes meanwhile, what had the traffic has it no more
            assert not step.refused or not step.before.serving(), "whoever asks must not be refused for a rival"
            I3._gone(step)
            return
        serving = step.before.serving()
        alive = step.before.trial is not None
        if step.refused:
            assert not serving, f"{serving} should have been rolled back"
            assert not alive, "the trial should have been rolled back"
            return
        ends = [new for old, new in step.moved() if new.state is S.ROLLED_BACK]
        assert ends, "nothing was rolled back"
        I3._gone(step)

    @staticmethod
    def _gone(step: Step) -> None:
        canary = None if step.before.route is None else step.before.route.canary
        gone = canary if canary is not None else (step.before.route.champion if step.before.route else None)
        assert gone not in step.after.serving() or not gone, f"{gone} still has traffic"


class I4:
    """The former champion stays loaded until the probation ends."""

    @staticmethod
    def check(step: Step) -> None:
        for rollout in step.after.rollouts.values():
            if rollout.phase is S.PROBATION and not rollout.finished:
                route = step.after.route
                assert route is not None
                assert (route.champion, route.shadow) == (rollout.release, rollout.champion)
                told = step.after.kept.told
                if told is not None and told.epoch == route.epoch:
                    assert rollout.champion in as_route(told).names()


class I5:
    """A new release during a trial ends it, and says so."""

    @staticmethod
    def check(step: Step) -> None:
        trial = step.before.trial
        if trial is None or trial.phase not in {S.SHADOW, S.CANARY} or not step.done or step.order:
            return
        waiting = [r for r in step.before.rollouts.values() if r.state is S.QUEUED and r.started_at >= trial.started_at]
        newer = [r for r in waiting if (r.started_at, r.key) > (trial.started_at, trial.key)]
        if newer:
            now = step.after.rollouts[trial.key]
            assert now.finished, f"{trial.release} goes on although {newer[-1].release} waits"
            if now.state is S.ABORTED and "newer" in now.reason:
                assert newer[-1].release in now.reason


class I6:
    """No data holds; a deadline rolls back."""

    @staticmethod
    def check(step: Step) -> None:
        for old, new in step.moved():
            onward = new.state in {S.CANARY, S.PROBATION, S.CHAMPION} and old.phase in TRIAL
            resumed = old.state is S.HELD or (old.state is S.AWAITING_APPROVAL and new.state is old.held_from)
            waived = step.event == "override" or bool(old.overridden)
            if onward and not (resumed and new.step == old.step) and not waived:
                days = step.ledger.find(PairedDayRecord, rollout=old.key)
                fresh = [day for day in days if day.closed_at > old.since or old.state is S.AWAITING_APPROVAL]
                assert fresh, f"{old.state} -> {new.state} without a day since {old.since}"
                assert step.event != "a day without labels", f"{old.state} -> {new.state} while labels are missing"
        if step.done and not step.order:
            for rollout in step.after.rollouts.values():
                start = rollout.promoted_at if rollout.phase is S.PROBATION else rollout.tried_at
                if rollout.state in TRYING and rollout.phase is not S.QUEUED and start is not None:
                    least = timedelta(days=rollout.plan.deadline_days)
                    late = step.after.kept.now - start >= least
                    assert not late or rollout.key not in step.before.rollouts, (
                        f"{rollout.release} outlives its deadline"
                    )


class I7:
    """Killed at any place and started again: the same verdict, and never more canary traffic than before.

    That the end is the same is compared by the exploration; here: what a restart reads decides as what was written.
    """

    @staticmethod
    def check(step: Step) -> None:
        for rollout in step.after.rollouts.values():
            assert Rollout.from_record(rollout.to_record()) == rollout
        more = weight(step.after.kept.told, step.after.kept.now) - weight(step.before.kept.told, step.before.kept.now)
        if more:  # canary traffic grows by a step forward that is in the ledger, and by nothing else
            route = step.after.route
            assert route is not None
            told = step.after.kept.told
            assert told is not None
            assert told.epoch <= route.epoch
            assert told.canary is not None
            known = step.before.route is not None and told.epoch <= step.before.route.epoch
            heard = step.before.kept.told
            # Gateways that had been away hear a decision, or a lease made longer, that the ledger has had for a while.
            came_back = heard is None or heard.epoch < told.epoch or heard != step.before.route
            back = step.after.kept.now < step.before.kept.now
            assert not known or came_back or back, "the canary got more without a decision"


class I8:
    """A controller that is silent for longer than the lease leaves 100 % to the champion."""

    @staticmethod
    def check(step: Step) -> None:
        told, route, now = step.after.kept.told, step.after.route, step.after.kept.now
        if told is not None and told.canary is not None:
            assert told.lease_until is not None, "a canary without a lease"
            if now >= told.lease_until:
                assert not weight(told, now), "the lease is over and the canary answers"
        old = step.before.route
        if (
            route is not None
            and route.lease_until is not None
            and (old is None or old.lease_until != route.lease_until)
        ):
            # When it is given: a clock that is set back afterwards makes one that was given longer.
            assert route.lease_until <= now + SETTINGS.lease, "a lease longer than the silence it bridges"
        if old is not None and old.lease_until is not None and step.after.kept.now >= old.lease_until and step.done:
            again = route is not None and route.canary == old.canary and route.epoch == old.epoch
            assert not again or step.order, "a canary whose lease was lost goes on"


class I9:
    """Both models bad: the fallback ladder serves, with one alarm that nothing can lose."""

    @staticmethod
    def check(step: Step) -> None:
        route = step.after.route
        if route is not None:
            assert route.fallback, "nothing below the champion"
        raised = step.after.alarms - step.before.alarms
        if step.switched and route.champion is None and step.before.route is not None:
            had = step.before.route.champion is not None
            assert raised == 1 or not had, f"{raised} alarms when nobody but the ladder was left"
        assert 0 <= raised <= 1


class I10:
    """An approval is bound to the evidence: enough people, none of them the proposer, for this case, not expired."""

    @staticmethod
    def check(step: Step) -> None:
        for old, new in step.moved():
            plan = old.plan
            first = old.phase is S.SHADOW and new.state is S.CANARY
            last = old.phase is S.CANARY and new.state is S.PROBATION
            asked = (first and "traffic" in plan.approve_before) or (last and "promotion" in plan.approve_before)
            if not asked or old.state is S.HELD:
                continue
            overridden = bool(old.overridden) or step.event == "override"
            assert old.state is S.AWAITING_APPROVAL or overridden, f"{old.phase} -> {new.state} and nobody was asked"
            acts = step.ledger.find(ActRecord, rollout=old.key, kind="approve", evidence_digest=old.case or "none")
            valid = {act.name: act.role for act in acts if act.expires_at > step.after.kept.now}
            if step.event == "override":
                valid |= {"ann": "lead"}  # who overrides is one yes, and never goes alone
            assert PROPOSER not in valid
            assert len(valid) >= plan.approvers, f"{sorted(valid)} are not enough"
            assert overridden or set(plan.approver_roles) <= set(valid.values())
            assert not step.after.kept.freeze, "promoted in a freeze"


class Whole:
    """What holds besides: no look is in its own way, the table is kept, one trial at a time, records agree."""

    @staticmethod
    def check(step: Step) -> None:
        look = not step.order and not step.disturbed
        assert not (look and step.refused), "a look was refused although nobody else had come"
        for old, new in step.moved():
            ends = {to for table in (TABLE, BY_OTHERS) for found in table.get(old.state, {}).values() for to in found}
            assert new.state in ends, f"{old.state} -> {new.state} is not in the table"
        seen = step.after
        trials = [r for r in seen.rollouts.values() if r.state in TRYING and r.phase is not S.QUEUED]
        assert len(trials) <= 1, "two on trial"
        open_ones = [r.release for r in seen.rollouts.values() if r.state not in FINISHED]
        assert len(open_ones) == len(set(open_ones)), f"two open rollouts of one release: {sorted(open_ones)}"
        route = seen.route
        if route is None:
            assert not trials
            return
        as_route(route)
        assert (route.canary is None) == (route.lease_until is None)
        for name in seen.serving():
            states = [r.state for r in seen.rollouts.values() if r.release == name]
            assert any(state not in FINISHED for state in states), f"{name} has traffic and no rollout"
        for trial in trials:
            if trial.champion == route.champion and trial.phase is S.CANARY:
                assert (route.canary, route.share) == (trial.release, trial.share)
                assert tuple(route.cohort) == trial.plan.cohort_at(trial.step)
            elif trial.champion == route.champion and trial.phase is S.SHADOW:
                assert (route.canary, route.shadow) == (None, trial.release)
        named = {name for name, record in seen.releases.items() if record.state == "champion"}
        assert named == {route.champion} - {None}, f"champions {named}, route {route.champion}"
        for name, record in seen.releases.items():
            tripped = [r for r in seen.rollouts.values() if r.release == name and r.state is S.TRIPPED]
            assert not tripped or record.state == "tripped", f"{name} tripped and is {record.state}"
        for record in step.ledger.find(RolloutRecord):
            assert (record.finished_at is not None) == (RolloutState(record.state) in FINISHED)
        if step.switched and step.before.route is not None:
            assert route.epoch == step.before.route.epoch + 1 or step.disturbed


TRIAL = {S.SHADOW, S.CANARY, S.PROBATION}
INVARIANTS: tuple[type, ...] = (I1, I2, I3, I4, I5, I6, I7, I8, I9, I10, Whole)


def hold(step: Step) -> None:
    """Check all of them over one transition.

    Raises:
        AssertionError: names each that does not hold.
    """
    broken = [(invariant.__name__, said) for invariant in INVARIANTS if (said := _broken(invariant, step)) is not None]
    if broken:
        raise AssertionError(f"after {step.event!r}: " + "; ".join(f"{name}: {said}" for name, said in broken))


def _broken(invariant: type, step: Step) -> str | None:
    try:
        invariant.check(step)
    except AssertionError as error:
        return str(error) or "it does not hold"
    return None
