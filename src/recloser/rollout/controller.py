"""Owns the thin shell around `decide`: read, decide, write one change, then tell the router. Holds no rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from recloser.core import Clock, Refused, Unavailable, short_id
from recloser.ledger import Ledger, NoticeRecord, ReleaseRecord, RouteRecord, decided_again
from recloser.rollout.changes import Settings, Writes, renewed, writes_of
from recloser.rollout.control.reading import RolloutReader
from recloser.rollout.control.router import Router, Verify, named, same_route
from recloser.rollout.control.verifying import ReleaseVerifier, hopeful
from recloser.rollout.control.writing import put_days, put_fence, put_writes
from recloser.rollout.decide import Action, Target, decide
from recloser.rollout.evidence import Command, CommandKind, Evidence, EvidenceSource
from recloser.rollout.moves import Move, companions, reopening, rollback_subject
from recloser.rollout.notices import silence_of
from recloser.rollout.paired.pairing import PairedDay, merge_days
from recloser.rollout.people.orders import Order, approval_act, refusal, require_approvable, subject_of
from recloser.rollout.people.proposers import Proposers
from recloser.rollout.plan import RolloutPlan
from recloser.rollout.rollout import (
    TRYING,
    Rollout,
    RolloutState,
    World,
    against_present,
    in_turn,
    later,
    new_rollout,
    trial_of,
)

ACTOR = "rollout"
NOBODY = Proposers()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a tick did: the rollout looked at, the action taken (None: nothing to do) and what was written."""

    rollout: Rollout | None
    action: Action | None
    writes: Writes | None


class RolloutController:
    """Moves rollouts, one step per tick; every tick may be repeated, and a crash at any line only delays it.

    The ledger is the truth: nothing is kept between ticks but when releases last verified, and the router is brought
    in line with the ledger first.
    Two controllers cannot both win: a record changed by the other since it was read makes the change a Conflict. A tick
    is repeated by whoever runs the controller; what a person asks is decided again here.
    """

    def __init__(self, ledger: Ledger, router: Router, clock: Clock, verify: Verify, settings: Settings) -> None:
        self._ledger = ledger
        self._router = router
        self._clock = clock
        self._reader = RolloutReader(ledger)
        self._verifier = ReleaseVerifier(self._reader.standing, verify, router, settings.recheck)
        self._settings = settings

    def submit(
        self,
        release: str,
        plan: RolloutPlan,
        *,
        scale: float | None,
        reason: str,
        proposers: Proposers = NOBODY,
    ) -> Rollout:
        """Queue the rollout of a release that passed staging; submitting it again while it is alive changes nothing.

        Args:
            release: an accepted release of the ledger.
            plan: how to roll it out.
            scale: sd of the pooled daily difference against the champion in staging, no unit; None if unknown.
            reason: why it is rolled out.
            proposers: the people behind it, who may not approve it.

        Raises:
            Refused: staging has not accepted the release.
        """
        return decided_again(lambda: self._submit(release, plan, scale=scale, reason=reason, proposers=proposers))

    def _submit(
        self, release: str, plan: RolloutPlan, *, scale: float | None, reason: str, proposers: Proposers
    ) -> Rollout:
        now = self._clock.now()
        world = self._reader.world()
        before = self._reader.of_release(release)
        alive = [r for r in before if not r.finished]
        if alive:
            return alive[-1]
        record = self._ledger.get(ReleaseRecord, release)
        if record is None or record.state not in {"accepted", "retired"}:
            raise Refused(
                "only a release that passed staging is rolled out",
                got="unknown" if record is None else record.state,
                expected="accepted",
                where=release,
                next_step="Run staging on it, or train another one.",
            )
        # Who comes later is newer, also at one instant and on a clock that was set back.
        started_at = max([now, *(r.started_at + timedelta(microseconds=1) for r in (*world.rollouts, *before))])
        rollout = new_rollout(release, world.champion, plan, started_at, scale=scale, reason=reason)
        if before:  # submitted, rejected and submitted again at one instant: two rollouts
            rollout = replace(rollout, key=short_id("rollout", [release, started_at, len(before)]))
        rollout = replace(rollout, proposers=proposers)
        with self._ledger.change(ACTOR, now) as change:
            put_fence(change, now, world.fence)
            change.add(rollout.to_record())
            if record.state == "retired":  # it stands for a trial again
                change.put(replace(record, state="accepted"))
            facts = {"rollout": rollout.key, "reason": reason, "plan": plan.to_dict()}
            change.note("rollout.submit", release, {**facts, "proposers": proposers.to_dict()})
        return rollout

    def tick(self, source: EvidenceSource) -> Outcome:
        """Take at most one step: gather, decide, write one change, tell the router.

        Raises:
            Unavailable: ledger, source or router cannot be reached now; tick again later.
            Conflict: somebody else changed the records meanwhile; tick again.
        """
        now = self._clock.now()
        world = self._reader.world()
        reachable, sound = self._sync(world.route)
        trial = trial_of(world)
        outcome = Outcome(trial, None, None)
        for rollout in in_turn(world):
            evidence, fresh = self._evidence(world, rollout, trial, source, now)
            if not reachable:
                evidence = replace(evidence, settled=False)
            if not sound:
                evidence = self._verifier.verified(rollout, evidence)
            elif named(world.route, rollout.release):
                evidence = self._verifier.watched(rollout, evidence, now)
            action, evidence = self._decide_verified(rollout, evidence, now)
            writes = self._write(world, [Move(rollout, action, evidence)], action.target, fresh, now)
            outcome = Outcome(rollout, action, writes)
            if action.changes(rollout):
                return outcome
            if fresh:  # its days alone were written, by a swap of the fence: it stands one further, if nobody else came
                world = replace(world, fence=world.fence + 1)
            if trial is not None and rollout.key == trial.key:
                self._warn(silence_of(rollout, evidence, now), now)
        self._renew(world, now)
        return outcome

    def rollback(self, *, reason: str, actor: str, to: str | None = None) -> Outcome:
        """Roll back now, in any state: the canary if one has traffic, else the champion; or to a retained release.

        What somebody else writes meanwhile makes it decide again, about the same rollout: if that is over by then, it
        was stopped without us, nothing more is, and the outcome has no action.

        Raises:
            Refused: nothing to roll back, or `to` was never champion, was tripped, or does not verify.
        """
        if to is not None:
            return decided_again(lambda: self._return(to, reason=reason, actor=actor))
        about = rollback_subject(self._reader.world()).key
        return decided_again(lambda: self._stop(about, reason=reason, actor=actor))

    def _stop(self, about: str, *, reason: str, actor: str) -> Outcome:
        now = self._clock.now()
        world = self._reader.world()
        subject = next((rollout for rollout in world.rollouts if rollout.key == about), None)
        if subject is None:
            return self._stopped_before(about, now, reason=reason, actor=actor)
        command = self._rollback_command(world, None, now, reason=reason, actor=actor)
        # A shadow whose champion was stopped must not bring that champion back.
        evidence = Evidence(command=command, reference_serves=subject.champion == world.champion)
        # Whether the one that is stopped still loads does not matter, and may take long to find out.
        evidence = replace(evidence, target_ready=self._verifier.target_ready(subject, evidence))
        action = decide(subject, evidence, now)
        writes = self._write(world, [Move(subject, action, evidence)], action.target, (), now, actor=actor)
        return Outcome(subject, action, writes)

    def _stopped_before(self, about: str, now: datetime, *, reason: str, actor: str) -> Outcome:
        rollout = self._reader.rollout(about)
        assert rollout is not None, "rollouts are never deleted"
        with self._ledger.change(actor, now) as change:
            facts = {"rollout": about, "reason": reason, "state": str(rollout.state), "why": rollout.reason}
            change.note("rollout.stopped_before", rollout.release, facts)
        return Outcome(rollout, None, None)

    def _return(self, to: str, *, reason: str, actor: str) -> Outcome:
        now = self._clock.now()
        world = self._reader.world()
        command = self._rollback_command(world, to, now, reason=reason, actor=actor)
        problem = self._verifier.problem(to)
        evidence = Evidence(command=command, target_ready=not problem, ready_reason=problem)
        moves, target = reopening(self._reader.with_releases(world, [to]), to, evidence)
        writes = self._write(world, moves, target, (), now, actor=actor)
        return Outcome(moves[0].rollout, moves[0].action, writes)

    @staticmethod
    def _rollback_command(world: World, to: str | None, now: datetime, *, reason: str, actor: str) -> Command:
        key = short_id("cmd", [actor, reason, to, now, world.fence])
        return Command(key, CommandKind.ROLLBACK, actor, reason)

    def require_return(self, to: str, *, reason: str, actor: str) -> None:
        """See that `rollback` could return to a release, but for whether it verifies; changes nothing.

        Raises:
            Refused: it serves already, was never champion, or was tripped.
        """
        world = self._reader.world()
        command = self._rollback_command(world, to, self._clock.now(), reason=reason, actor=actor)
        reopening(self._reader.with_releases(world, [to]), to, Evidence(command=command, target_ready=True))

    def hold(self, *, reason: str, actor: str) -> Outcome:
        """Stop the rollout on trial where it stands; protections and its deadline go on.

        Raises:
            Refused: no rollout is on trial, or it is held already.
        """
        return self.order(Order(CommandKind.HOLD, actor, reason))

    def resume(self, *, reason: str, actor: str) -> Outcome:
        """Let a held rollout go on from where it stood; the time of its phase starts anew.

        Raises:
            Refused: no rollout is held.
        """
        return self.order(Order(CommandKind.RESUME, actor, reason))

    def order(self, order: Order, source: EvidenceSource | None = None) -> Outcome:
        """Carry out what a person asks of a rollout: hold, resume, reject, or, with a source of evidence, override.

        What somebody else writes meanwhile makes it decide again, about the same rollout.

        Raises:
            Refused: no such rollout is alive, or its state or what nobody may override forbids it.
        """
        about = replace(order, rollout=subject_of(self._reader.world(), order).key)
        return decided_again(lambda: self._order(about, source))

    def _order(self, order: Order, source: EvidenceSource | None) -> Outcome:
        now = self._clock.now()
        world = self._reader.world()
        subject = against_present(world, subject_of(world, order))
        key = short_id("cmd", [str(order.kind), order.actor, order.reason, subject.key, now, world.fence])
        command = Command(key, order.kind, order.actor, order.reason, order.role)
        evidence = Evidence(reference_serves=subject.champion == world.champion)
        fresh: tuple[PairedDay, ...] = ()
        if source is not None:
            gathered, fresh = self._evidence(world, subject, trial_of(world), source, now)
            evidence = self._verifier.verified(subject, gathered)
        evidence = replace(evidence, command=command)
        action = decide(subject, evidence, now)
        if action.handled != key:
            raise refusal(order, subject, evidence, action)
        writes = self._write(world, [Move(subject, action, evidence)], action.target, fresh, now, actor=order.actor)
        return Outcome(subject, action, writes)

    def approve(self, order: Order, *, case: str, lasts: timedelta, proposers: Proposers = NOBODY) -> Rollout:
        """Write a person's yes to the case a rollout awaits approval of; the next tick counts it.

        Args:
            order: who, in which role, why, about which rollout.
            case: what the person has seen: the digest, or its beginning; empty takes the present one.
            lasts: how long it counts.
            proposers: who had a hand in the release since it was queued.

        Raises:
            Refused: it does not await approval, of this case, or not of this person.
        """
        return decided_again(lambda: self._approve(order, case, lasts, proposers))

    def _approve(self, order: Order, case: str, lasts: timedelta, proposers: Proposers) -> Rollout:
        now = self._clock.now()
        world = self._reader.world()
        rollout = subject_of(world, order)
        require_approvable(rollout, order, case, proposers)
        act = approval_act(rollout, order, now, now + lasts)
        with self._ledger.change(order.actor, now) as change:
            put_fence(change, now, world.fence)
            change.put(act)
            facts = {"rollout": rollout.key, "case": rollout.case, "role": order.role, "reason": order.reason}
            change.note("rollout.approve", rollout.release, {**facts, "expires_at": act.expires_at})
        return rollout

    def inspect(self, source: EvidenceSource, key: str | None = None) -> tuple[Rollout, Evidence] | None:
        """Return a rollout (by key; else the one a tick looks at first) and the evidence on it; writes nothing."""
        now = self._clock.now()
        world = self._reader.world()
        found = self._reader.rollout(key) if key else None
        chosen = [against_present(world, found)] if found else [] if key else in_turn(world)
        if not chosen:
            return None
        evidence, _ = self._evidence(world, chosen[0], trial_of(world), source, now)
        return chosen[0], self._verifier.verified(chosen[0], evidence)

    def _sync(self, route: RouteRecord | None) -> tuple[bool, bool]:
        """Bring the router in line with the ledger; return whether it follows, and whether the route's releases load.

        Neither an unreachable router nor a release that no longer verifies may stop a trip from being written.
        """
        try:
            if route is not None and not same_route(self._router.current(), route):
                self._router.set_route(route)
        except Unavailable:
            return False, True
        except Refused:
            return False, False
        return True, True

    def _evidence(
        self, world: World, rollout: Rollout, trial: Rollout | None, source: EvidenceSource, now: datetime
    ) -> tuple[Evidence, tuple[PairedDay, ...]]:
        """Return the evidence with what only the controller knows, and the days that are not yet in the ledger."""
        found = source.gather(rollout, now)
        stored = self._reader.days(rollout)
        known = {item.day for item in stored}
        newer = [r for r in world.rollouts if r.state is RolloutState.QUEUED and later(r, rollout)]
        lease = None if world.route is None else world.route.lease_until
        evidence = replace(
            found,
            days=merge_days(stored, found.days) if rollout.state in TRYING else (),
            settled=found.settled and (world.route is None or self._settled(world.route.epoch)),
            newer=newer[-1].release if newer else None,
            slot_free=trial is None or trial.key == rollout.key,
            reference_serves=rollout.champion == world.champion,
            lease_lost=lease is not None and now >= lease,
            package=self._reader.package(rollout.release),
            approvals=self._reader.approvals(rollout),
        )
        return evidence, tuple(item for item in evidence.days if item.day not in known)

    def _settled(self, epoch: int) -> bool:
        try:
            return self._router.settled(epoch)
        except Unavailable:
            return False

    def _decide_verified(self, rollout: Rollout, evidence: Evidence, now: datetime) -> tuple[Action, Evidence]:
        """Decide as if everything verified; verify for real before anything is switched, and decide again (I1, I2)."""
        supposed = hopeful(evidence)
        action = decide(rollout, supposed, now)
        if action.target is None:
            return action, supposed
        verified = self._verifier.verified(rollout, evidence)
        return decide(rollout, verified, now), verified

    def _write(
        self,
        world: World,
        moves: Sequence[Move],
        target: Target | None,
        fresh: Sequence[PairedDay],
        now: datetime,
        *,
        actor: str = ACTOR,
    ) -> Writes | None:
        changing = [move for move in moves if move.action.changes(move.rollout)]
        if not changing and not fresh:
            return None
        writes = self._planned(world, changing, target, now) if changing else None
        rollout = moves[0].rollout
        with self._ledger.change(actor, now) as change:
            put_fence(change, now, world.fence)
            if fresh:
                put_days(change, rollout, fresh)
            if writes is not None:
                put_writes(change, writes)
        if writes is not None and writes.route is not None:
            self._router.set_route(writes.route)
        return writes

    def _planned(self, world: World, moves: Sequence[Move], target: Target | None, now: datetime) -> Writes:
        moves = [*moves, *companions(world, moves, target)]
        ends = [target.champion] if target is not None else []
        names = {move.rollout.release for move in moves} | {move.rollout.champion for move in moves} | set(ends)
        complete = self._reader.with_releases(world, sorted(name for name in names if name is not None))
        after = now - self._settings.resolution
        stood_in = self._settings.fallback if moves[0].action.event == "rollback_to" else ()
        recalled = [move.rollout.release for move in moves if move.action.recall]
        forecasts = self._reader.forecasts([*recalled, *stood_in], after)
        return writes_of(complete, moves, target, forecasts, self._settings, now)

    def _warn(self, alarm: NoticeRecord | None, now: datetime) -> None:
        """Write an alarm that belongs to no step, once."""
        if alarm is None or self._ledger.get(NoticeRecord, alarm.key) is not None:
            return
        with self._ledger.change(ACTOR, now) as change:
            change.add(alarm)
            change.note("rollout.alarm", alarm.subject, alarm.data)

    def _renew(self, world: World, now: datetime) -> None:
        """Renew the lease of a canary when half of it is used up, after a tick that changed nothing."""
        longer = None if world.route is None else renewed(world.route, self._settings, now)
        if longer is None:
            return
        fence = self._reader.fence()
        if self._ledger.get(RouteRecord, "route") != world.route:
            return
        with self._ledger.change(ACTOR, now) as change:
            put_fence(change, now, fence)
            change.put(longer)
            change.note("rollout.lease", longer.canary or "", {"until": longer.lease_until, "epoch": longer.epoch})
        self._router.set_route(longer)
