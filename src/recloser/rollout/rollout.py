"""Owns the states of a rollout, its record and the set of those alive. Takes no decision and reads nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from recloser.core import InvalidInput, format_utc, parse_utc, require_utc, short_id
from recloser.ledger import ReleaseRecord, RolloutRecord, RouteRecord
from recloser.rollout.people.proposers import Proposers
from recloser.rollout.plan import RolloutPlan


class RolloutState(StrEnum):
    """Where a rollout stands; `held` and `awaiting_approval` remember the state they interrupted."""

    QUEUED = "queued"
    SHADOW = "shadow"
    CANARY = "canary"
    PROBATION = "probation"
    CHAMPION = "champion"
    HELD = "held"
    AWAITING_APPROVAL = "awaiting_approval"
    TRIPPED = "tripped"
    ROLLED_BACK = "rolled_back"
    RETIRED = "retired"
    ABORTED = "aborted"


FINISHED = frozenset({RolloutState.TRIPPED, RolloutState.ROLLED_BACK, RolloutState.RETIRED, RolloutState.ABORTED})
BARRED = frozenset({"tripped", "refused"})
"""States of a release that never serves again."""
STOPPED = frozenset({RolloutState.HELD, RolloutState.AWAITING_APPROVAL})
TRYING = frozenset({RolloutState.SHADOW, RolloutState.CANARY, RolloutState.PROBATION}) | STOPPED
HOLDABLE = frozenset({RolloutState.QUEUED, RolloutState.SHADOW, RolloutState.CANARY, RolloutState.PROBATION})


@dataclass(frozen=True, slots=True)
class Rollout:
    """Where the rollout of one release stands, with all that later decisions need to remember.

    Attributes:
        key: deterministic id.
        release: the release on trial.
        champion: who served when the trial began, None for the first model; the target of a rollback.
        state: see `RolloutState`.
        since: when this state, or this canary step, began (aware UTC).
        started_at: when it was queued (aware UTC).
        plan: how to go on.
        scale: sd of the pooled daily difference in the staging backtest, as part of the champion's loss; None unknown.
        tried_at: when the shadow began (aware UTC); the deadline counts from here.
        promoted_at: when it became champion on probation (aware UTC).
        finished_at: when it ended (aware UTC).
        held_from: the state before `held` or `awaiting_approval`.
        step: index of the canary step.
        pulled: True once the asymptotic sequence pulled its traffic; strict evidence is then needed to return.
        handled: key of the last operator command that took effect.
        case: digest of what people are asked to approve; empty unless it awaits approval.
        overridden: who overrides the gates of the step that people are asked about, and why; empty for nobody.
        proposers: the people behind this release, as known when it was queued; they may not approve it.
        reason: why it is in this state.
        facts: numbers behind the last change, JSON-ready.
    """

    key: str
    release: str
    champion: str | None
    state: RolloutState
    since: datetime
    started_at: datetime
    plan: RolloutPlan = field(default_factory=RolloutPlan)
    scale: float | None = None
    tried_at: datetime | None = None
    promoted_at: datetime | None = None
    finished_at: datetime | None = None
    held_from: RolloutState | None = None
    step: int = 0
    pulled: bool = False
    handled: str = ""
    case: str = ""
    overridden: str = ""
    proposers: Proposers = field(default_factory=Proposers)
    reason: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def phase(self) -> RolloutState:
        """The state that protections look at: the one it is stopped in, else its own."""
        if self.state in STOPPED and self.held_from is not None:
            return self.held_from
        return self.state

    @property
    def finished(self) -> bool:
        """True when nothing can happen to it any more."""
        return self.state in FINISHED

    @property
    def share(self) -> float:
        """Part of the traffic it may get as canary, in [0, 1]; 0 outside the canary phase."""
        if self.phase is not RolloutState.CANARY:
            return 0.0
        return self.plan.steps[min(self.step, len(self.plan.steps) - 1)].share

    def deadline(self) -> datetime | None:
        """Return when this phase ends undecided (I6, aware UTC), None where it has no deadline."""
        starts = {
            RolloutState.QUEUED: self.started_at,
            RolloutState.SHADOW: self.tried_at,
            RolloutState.CANARY: self.tried_at,
            RolloutState.PROBATION: self.promoted_at,
        }
        start = None if self.finished else starts.get(self.phase)
        try:
            return None if start is None else start + timedelta(days=self.plan.deadline_days)
        except OverflowError:  # beyond the calendar: a plan that never gives up
            return None

    def ended(self, state: RolloutState, reason: str, now: datetime) -> Rollout:
        """Return the same rollout, ended at `now` in a finished state."""
        return replace(
            self, state=state, since=now, finished_at=now, held_from=None, case="", overridden="", reason=reason
        )

    def restored(self, reason: str, now: datetime) -> Rollout:
        """Return the same rollout as champion again: its release is the target of somebody's rollback."""
        kept = replace(self, state=RolloutState.CHAMPION, since=now, finished_at=None, held_from=None, reason=reason)
        return replace(kept, champion=None, handled="")

    def to_record(self) -> RolloutRecord:
        """Return the ledger's record; what it has no column for goes under evidence['memory']."""
        memory = {
            "scale": self.scale,
            "tried_at": None if self.tried_at is None else format_utc(self.tried_at),
            "promoted_at": None if self.promoted_at is None else format_utc(self.promoted_at),
            "held_from": None if self.held_from is None else str(self.held_from),
            "step": self.step,
            "pulled": self.pulled,
            "handled": self.handled,
            "case": self.case,
            "overridden": self.overridden,
            "proposers": self.proposers.to_dict(),
        }
        return RolloutRecord(
            key=self.key,
            release=self.release,
            champion=self.champion,
            state=str(self.state),
            since=self.since,
            started_at=self.started_at,
            finished_at=self.finished_at,
            share=self.share,
            reason=self.reason,
            plan=self.plan.to_dict(),
            evidence={"memory": memory, "facts": self.facts},
        )

    @classmethod
    def from_record(cls, record: RolloutRecord) -> Rollout:
        """Return the rollout written by `to_record`.

        Raises:
            InvalidInput: the record was not written by this room.
        """
        memory = record.evidence.get("memory")
        if not isinstance(memory, dict) or record.state not in set(RolloutState):
            raise InvalidInput("not a rollout record", got=record.state, where=record.key)
        held_from = memory["held_from"]
        return cls(
            key=record.key,
            release=record.release,
            champion=record.champion,
            state=RolloutState(record.state),
            since=record.since,
            started_at=record.started_at,
            plan=RolloutPlan.from_dict(record.plan),
            scale=memory["scale"],
            tried_at=_time(memory["tried_at"]),
            promoted_at=_time(memory["promoted_at"]),
            finished_at=record.finished_at,
            held_from=None if held_from is None else RolloutState(held_from),
            step=memory["step"],
            pulled=memory["pulled"],
            handled=memory["handled"],
            case=memory.get("case", ""),
            overridden=memory.get("overridden", ""),
            proposers=Proposers.from_memory(memory),
            reason=record.reason,
            facts=record.evidence.get("facts", {}),
        )


def _time(text: str | None) -> datetime | None:
    return None if text is None else parse_utc(text, "rollout record")


def new_rollout(
    release: str, champion: str | None, plan: RolloutPlan, now: datetime, *, scale: float | None = None, reason: str
) -> Rollout:
    """Return a queued rollout of `release`; the id follows from release and `now` (aware UTC)."""
    at = require_utc(now, "new_rollout")
    return Rollout(
        key=short_id("rollout", [release, at]),
        release=release,
        champion=champion,
        state=RolloutState.QUEUED,
        since=at,
        started_at=at,
        plan=plan,
        scale=scale,
        reason=reason,
    )


@dataclass(frozen=True, slots=True)
class World:
    """The records a decision is about, as read at the beginning of a tick.

    Attributes:
        rollouts: those alive, and all of the releases concerned; by start.
        route: the present one, None before the first.
        releases: records of the releases concerned.
        fence: version of the controller's fence when reading began.
    """

    rollouts: tuple[Rollout, ...]
    route: RouteRecord | None
    releases: Mapping[str, ReleaseRecord]
    fence: int = 0

    @property
    def epoch(self) -> int:
        """Epoch of the present route, 0 when there is none."""
        return 0 if self.route is None else self.route.epoch

    @property
    def champion(self) -> str | None:
        """The release that serves by default."""
        return None if self.route is None else self.route.champion

    def latest_of(self, release: str) -> Rollout | None:
        """Return a release's rollout that was promoted once: the one that is not over, else the latest; or None."""
        found = [(r.promoted_at, r) for r in self.rollouts if r.release == release and r.promoted_at is not None]
        if not found:
            return None
        return max(found, key=lambda pair: (not pair[1].finished, pair[1].started_at, pair[0], pair[1].key))[1]


def trial_of(world: World) -> Rollout | None:
    """Return the one rollout on trial; a queued one that is held or awaits approval is not on trial."""
    found = [r for r in world.rollouts if r.state in TRYING and r.phase is not RolloutState.QUEUED]
    return found[0] if found else None


def against_present(world: World, rollout: Rollout) -> Rollout:
    """Return a rollout as it is decided about: while it waits, against the champion of now, not that of its submission.

    One that was to be the first model must not take the place of a champion that came meanwhile.
    """
    return replace(rollout, champion=world.champion) if rollout.phase is RolloutState.QUEUED else rollout


def later(one: Rollout, other: Rollout) -> bool:
    """Return whether `one` was queued after `other`."""
    return (one.started_at, one.key) > (other.started_at, other.key)


def in_turn(world: World) -> list[Rollout]:
    """Return the rollouts a tick looks at until one moves: the one on trial, the serving champion's, the queue."""
    trial = trial_of(world)
    serving = [r for r in world.rollouts if r.state is RolloutState.CHAMPION and r.release == world.champion]
    waiting = [r for r in world.rollouts if r.phase is RolloutState.QUEUED]
    return [*([trial] if trial else []), *serving, *(against_present(world, r) for r in waiting)]
